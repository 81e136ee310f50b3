"""Opaque configuration in claims and classes, and the environment variables it becomes.

Everything is opt-in: an adapter works without any of it. Variables are those of libfabric's EFA provider and of
rdma-core. Source: `fi_efa(7)`, `prov/efa/src/efa_env.c` and `efa_fork_support.c` of libfabric, `ibv_fork_init(3)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from attrs import field, frozen
from drakit import AllocatedDevice, Between, Each, InvalidDeviceConfig, Matches, NoneOf

API_VERSION = "efa.drakit/v1"

PROVIDER = "FI_PROVIDER"
DEVICE_RDMA = "FI_EFA_USE_DEVICE_RDMA"
FORK_SAFE = "FI_EFA_FORK_SAFE"
VERBS_FORK_SAFE = "RDMAV_FORK_SAFE"
"""rdma-core's: set to whatever value, it is on."""

_OWN = (PROVIDER, DEVICE_RDMA, FORK_SAFE, VERBS_FORK_SAFE)
_MAX_GID = 2**32 - 2
"""The highest is none: it stands for `unchanged`."""

_VARIABLE = (
    Matches(
        "[A-Za-z_][A-Za-z0-9_]{0,127}",
        says="must be the name of an environment variable, such as FI_EFA_IFACE: at most 128 letters, digits and '_'",
    ),
    NoneOf(
        _OWN,
        says=f"must be none of {', '.join(_OWN)}, which other fields set; libfabric reads a list in FI_EFA_IFACE",
    ),
)
_GID = Between(0, _MAX_GID, says=f"must be a group id from 0 to {_MAX_GID}")


@frozen(kw_only=True)
class EfaConfig:
    """What containers are told of their adapters.

    `provider`: have libfabric use its EFA provider and no other. `deviceRdma`: whether it uses the adapter's RDMA; true
    ends a process where an adapter has none. `forkSafe`: whether a process may fork after it has registered memory.
    `deviceListVariable`: the name of a variable that lists the RDMA devices of the request. `additionalGids`: groups
    that the container's process is in.
    """

    api_version: ClassVar[str] = API_VERSION
    kind: ClassVar[str] = "EfaConfig"

    provider: bool = False
    device_rdma: bool | None = None
    fork_safe: bool | None = None
    device_list_variable: str | None = field(default=None, validator=_VARIABLE)
    additional_gids: tuple[int, ...] = field(default=(), validator=Each(_GID))

    def environment(self, verbs: Sequence[str]) -> Mapping[str, str]:
        """The variables it becomes, for a request with these RDMA devices."""
        env: dict[str, str] = {}
        if self.provider:
            env[PROVIDER] = "efa"
        if self.device_rdma is not None:
            env[DEVICE_RDMA] = str(int(self.device_rdma))
        if self.fork_safe is not None:
            env[FORK_SAFE] = str(int(self.fork_safe))
        if self.fork_safe:
            env[VERBS_FORK_SAFE] = "1"
        if self.device_list_variable is not None:
            env[self.device_list_variable] = ",".join(verbs)
        return env


def asked(device: AllocatedDevice) -> EfaConfig:
    """What is asked for: the last configuration counts as a whole, since they come lowest precedence first."""
    return next((config for config in reversed(device.config) if isinstance(config, EfaConfig)), EfaConfig())


def check_agreement(environments: Iterable[tuple[AllocatedDevice, Mapping[str, str]]]) -> None:
    """Raise InvalidDeviceConfig where devices of one claim would set a variable to different values.

    A container may get several devices of a claim, and of a variable set twice it sees one value only. So a variable
    has one value over the whole claim.
    """
    first: dict[str, tuple[str, str]] = {}
    for device, environment in environments:
        for name, value in environment.items():
            other, request = first.setdefault(name, (value, device.request))
            if other != value:
                remedy = (
                    "use a claim for each"
                    if name in _OWN
                    else "give each request a deviceListVariable of its own, or ask for all adapters in one request"
                )
                raise InvalidDeviceConfig(
                    f"requests {request!r} and {device.request!r} ask for different values of {name} ({other} and "
                    f"{value}), and a container with both could get one only; {remedy}"
                )
