"""DRANET's own configuration, which claims for EFA adapters may carry: what of it can apply to an EFA, and what cannot.

Its documents have neither apiVersion nor kind. DRANET refuses what concerns a network interface where a device has
none, and passes over the rest in silence. The same is accepted here, so that claims which worked go on working. Source:
`pkg/apis` of DRANET 1.4, for devices that are RDMA only.
"""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen
from drakit import AtMost

from drakit_efa.configuration import API_VERSION, EfaConfig


@frozen(kw_only=True)
class VrfConfig:
    """Where an interface belongs to. Without effect on an EFA adapter."""

    name: str | None = None
    table: int | None = None


@frozen(kw_only=True)
class InterfaceConfig:
    """Settings of a network interface. `forwarding` and `vrf` are without effect on an EFA adapter."""

    name: str | None = None
    addresses: tuple[str, ...] | None = None
    dhcp: bool | None = None
    mtu: int | None = None
    hardware_addr: str | None = None
    gso_max_size: int | None = None
    gro_max_size: int | None = None
    gso_i_pv4_max_size: int | None = None  # so that in documents it is gsoIPv4MaxSize
    gro_i_pv4_max_size: int | None = None
    disable_ebpf_programs: bool | None = None
    forwarding: bool | None = None
    arp_ignore: int | None = None
    arp_announce: int | None = None
    vrf: VrfConfig | None = None


@frozen(kw_only=True)
class RouteConfig:
    """A route by an interface."""

    destination: str | None = None
    gateway: str | None = None
    source: str | None = None
    scope: int | None = None
    table: int | None = None


@frozen(kw_only=True)
class RuleConfig:
    """A rule that chooses among tables of routes."""

    priority: int | None = None
    source: str | None = None
    destination: str | None = None
    table: int | None = None


@frozen(kw_only=True)
class NeighborConfig:
    """A neighbour of an interface."""

    destination: str | None = None
    hardware_addr: str | None = None


@frozen(kw_only=True)
class EthtoolConfig:
    """What `ethtool` sets of an interface."""

    features: dict[str, bool] | None = None
    private_flags: dict[str, bool] | None = None


_NOT_OF_AN_INTERFACE = AtMost(
    count=0,
    fields=(
        "interface.name",
        "interface.addresses",
        "interface.dhcp",
        "interface.mtu",
        "interface.hardware_addr",
        "interface.gso_max_size",
        "interface.gro_max_size",
        "interface.gso_i_pv4_max_size",
        "interface.gro_i_pv4_max_size",
        "interface.disable_ebpf_programs",
        "interface.arp_ignore",
        "interface.arp_announce",
        "routes",
        "rules",
        "neighbors",
        "ethtool",
    ),
    filled=("interface.name", "interface.addresses", "routes", "rules", "neighbors"),
    says="cannot be applied: an EFA adapter has no network interface, and nothing is moved into the pod, which keeps "
    "its own network; leave out what is named, and set what containers are to know of their adapters by "
    f"{EfaConfig.kind} of {API_VERSION}",
)
"""DRANET takes those that are `filled` for not given where they are empty."""


@frozen(kw_only=True)
class NetworkConfig:
    """DRANET's configuration of a network device. What an EFA adapter cannot do is refused, with all of it named."""

    api_version: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    cross_checks: ClassVar[tuple[AtMost, ...]] = (_NOT_OF_AN_INTERFACE,)

    profile: str | None = None
    interface: InterfaceConfig | None = None
    routes: tuple[RouteConfig, ...] | None = None
    rules: tuple[RuleConfig, ...] | None = None
    neighbors: tuple[NeighborConfig, ...] | None = None
    ethtool: EthtoolConfig | None = None
