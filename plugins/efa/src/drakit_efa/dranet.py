"""DRANET's own configuration, which claims for EFA adapters may carry: what of it can apply to an EFA, and what cannot.

Its documents have neither apiVersion nor kind. DRANET refuses what concerns a network interface where a device has
none, and passes over the rest in silence. The same is accepted here, so that claims which worked go on working. Source:
`pkg/apis` of DRANET 1.4, for devices that are RDMA only.
"""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

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


@frozen(kw_only=True)
class NetworkConfig:
    """DRANET's configuration of a network device. What an EFA adapter cannot do is refused, with all of it named."""

    api_version: ClassVar[str] = ""
    kind: ClassVar[str] = ""

    profile: str | None = None
    interface: InterfaceConfig | None = None
    routes: tuple[RouteConfig, ...] | None = None
    rules: tuple[RuleConfig, ...] | None = None
    neighbors: tuple[NeighborConfig, ...] | None = None
    ethtool: EthtoolConfig | None = None

    def __attrs_post_init__(self) -> None:
        if given := self._of_an_interface():
            raise ValueError(
                f"{', '.join(given)} cannot be applied: an EFA adapter has no network interface, and nothing is moved "
                f"into the pod, which keeps its own network; remove {'it' if len(given) == 1 else 'them'}, and set "
                f"what containers are to know of their adapters by {EfaConfig.kind} of {API_VERSION}"
            )

    def _of_an_interface(self) -> list[str]:
        """The fields that are given and need a network interface. DRANET takes what is empty for not given."""
        interface = self.interface or InterfaceConfig()
        values = {
            "interface.name": interface.name or None,
            "interface.addresses": interface.addresses or None,
            "interface.dhcp": interface.dhcp,
            "interface.mtu": interface.mtu,
            "interface.hardwareAddr": interface.hardware_addr,
            "interface.gsoMaxSize": interface.gso_max_size,
            "interface.groMaxSize": interface.gro_max_size,
            "interface.gsoIPv4MaxSize": interface.gso_i_pv4_max_size,
            "interface.groIPv4MaxSize": interface.gro_i_pv4_max_size,
            "interface.disableEbpfPrograms": interface.disable_ebpf_programs,
            "interface.arpIgnore": interface.arp_ignore,
            "interface.arpAnnounce": interface.arp_announce,
            "routes": self.routes or None,
            "rules": self.rules or None,
            "neighbors": self.neighbors or None,
            "ethtool": self.ethtool,
        }
        return [name for name, value in values.items() if value is not None]
