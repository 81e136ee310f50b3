"""What a container gets, in the terms of the Container Device Interface (CDI).

Types are checked as values are made: what a plugin puts here is journalled and written for the runtime, and must not
turn out unreadable after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from attrs.validators import deep_iterable, instance_of, optional

from drakit.model.claim import AllocatedDevice, ClaimRef
from drakit.model.converters import frozen_tuple, string_mapping
from drakit.model.device import DeviceRef
from drakit.model.status import DeviceStatus

_TEXT = instance_of(str)
_TEXTS = deep_iterable(_TEXT)


@frozen
class DeviceNode:
    """A device node. `path` is in the container; `host_path` on the host, where it differs. Permissions: r, w, m."""

    path: str = field(validator=_TEXT)
    host_path: str | None = field(default=None, validator=optional(_TEXT))
    permissions: str = field(default="rw", validator=_TEXT)


@frozen
class Mount:
    """A bind mount of `host_path` at `container_path`."""

    host_path: str = field(validator=_TEXT)
    container_path: str = field(validator=_TEXT)
    options: tuple[str, ...] = field(
        default=("ro", "nosuid", "nodev", "bind"), converter=frozen_tuple, validator=_TEXTS
    )


@frozen
class ContainerHook:
    """An OCI hook: `hook_name` is e.g. createContainer, `path` an executable on the host."""

    hook_name: str = field(validator=_TEXT)
    path: str = field(validator=_TEXT)
    args: tuple[str, ...] = field(default=(), converter=frozen_tuple, validator=_TEXTS)
    env: tuple[str, ...] = field(default=(), converter=frozen_tuple, validator=_TEXTS)


def _nodes(value: Any) -> tuple[DeviceNode, ...]:
    return tuple(DeviceNode(node) if isinstance(node, str) else node for node in value)


@frozen
class ContainerEdits:
    """The edits to a container that may use a device. A device node may be given as its path alone."""

    env: Mapping[str, str] = field(factory=dict, converter=string_mapping)
    device_nodes: tuple[DeviceNode, ...] = field(
        default=(), converter=_nodes, validator=deep_iterable(instance_of(DeviceNode))
    )
    mounts: tuple[Mount, ...] = field(default=(), converter=frozen_tuple, validator=deep_iterable(instance_of(Mount)))
    hooks: tuple[ContainerHook, ...] = field(
        default=(), converter=frozen_tuple, validator=deep_iterable(instance_of(ContainerHook))
    )
    additional_gids: tuple[int, ...] = field(
        default=(), converter=frozen_tuple, validator=deep_iterable(instance_of(int))
    )


@frozen
class PreparedDevice:
    """One allocated device, prepared: what its container gets, and what `unprepare` will need.

    `state` is journalled and handed back to `unprepare`, perhaps in another process. `status` is written to the claim
    afterwards; whether that succeeds changes nothing for the pod.
    """

    request: str
    device: DeviceRef
    edits: ContainerEdits = field(factory=ContainerEdits, validator=instance_of(ContainerEdits))
    state: Mapping[str, str] = field(factory=dict, converter=string_mapping)
    share_id: str | None = None
    status: DeviceStatus | None = field(default=None, validator=optional(instance_of(DeviceStatus)))

    @classmethod
    def of(
        cls,
        allocated: AllocatedDevice,
        edits: ContainerEdits,
        state: Mapping[str, str] | None = None,
        status: DeviceStatus | None = None,
    ) -> PreparedDevice:
        """The preparation of one allocated device."""
        return cls(allocated.request, allocated.device, edits, state or {}, allocated.share_id, status)

    @property
    def key(self) -> tuple[str, DeviceRef, str | None]:
        """Equal to the key of the allocated device this is the preparation of."""
        return (self.request, self.device, self.share_id)


@frozen
class Hold:
    """One prepared device of one claim, as it is on record."""

    claim: ClaimRef
    prepared: PreparedDevice


@frozen
class DeviceHandle:
    """One prepared device as the kubelet is told of it. The first CDI id is specific to the device."""

    request: str
    """The base name of the request, as containers refer to it."""
    device: DeviceRef
    cdi_ids: tuple[str, ...]
    share_id: str | None = None
