"""What a claim was given, from the view of one driver."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from drakit.model.converters import frozen_mapping, frozen_tuple
from drakit.model.device import DeviceRef
from drakit.model.quantity import Quantity
from drakit.model.toleration import Toleration


@frozen
class ClaimRef:
    """The identity of a ResourceClaim. Only the uid identifies it; namespace and name are for people."""

    uid: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class ConfigSource(enum.StrEnum):
    """Where an opaque configuration comes from: the claim's overrides the class's."""

    CLASS = "FromClass"
    CLAIM = "FromClaim"


@frozen
class OpaqueConfig:
    """One opaque configuration of the allocation, as the API holds it: `parameters` is a JSON object."""

    source: ConfigSource = field(converter=ConfigSource)
    parameters: Mapping[str, Any] = field(converter=frozen_mapping)


@frozen
class AllocatedDevice:
    """One result of the allocation.

    `request` is the name in the claim, `request/subrequest` where a prioritized list was used. `opaque` are the
    configurations that apply to this result, lowest precedence first; `config` are the same, decoded into the classes
    that the plugin declares in `config_types`. `tolerations` are the taints that the request puts up with.
    """

    request: str
    device: DeviceRef
    share_id: str | None = None
    consumed: Mapping[str, Quantity] = field(factory=dict, converter=frozen_mapping)
    admin_access: bool = False
    opaque: tuple[OpaqueConfig, ...] = field(default=(), converter=frozen_tuple)
    config: tuple[Any, ...] = field(default=(), converter=frozen_tuple)
    tolerations: tuple[Toleration, ...] = field(default=(), converter=frozen_tuple)

    @property
    def base_request(self) -> str:
        """The request's name without a subrequest: what a container refers to."""
        return self.request.partition("/")[0]

    @property
    def key(self) -> tuple[str, DeviceRef, str | None]:
        """What tells the results of one claim apart."""
        return (self.request, self.device, self.share_id)


@frozen
class ClaimAllocation:
    """A claim and the devices one driver gave it. Devices of other drivers are not in it.

    `pod_claim_name` is what the pod calls a claim that was made for it from a template; empty for one that stands for
    itself.
    """

    claim: ClaimRef
    devices: tuple[AllocatedDevice, ...] = field(converter=frozen_tuple)
    pod_claim_name: str = ""
