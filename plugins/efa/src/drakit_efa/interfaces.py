"""The network interfaces beside EFA adapters, which tell how an adapter was attached.

EC2 knows two types of interfaces with an EFA adapter. One called `efa` has an ENA function too, with an IP network
interface of the same MAC; one called `efa-only` is the adapter alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen
from drakit import PluginContext

from drakit_efa.sysfs import PCI_DEVICES, Unreadable, list_names, read_text

WITH_ENA, ALONE = "efa", "efa-only"


@frozen
class Interfaces:
    """The MACs of the network interfaces that PCI functions have, and whether each such function has shown one.

    One that was moved into a pod's network namespace is not shown in the host's sysfs.
    """

    macs: frozenset[str]
    complete: bool

    def type_of(self, mac: str | None) -> str | None:
        """EC2's name for the type of the interface with an adapter of this MAC; None where that is not known."""
        if mac is None:
            return None
        if mac in self.macs:
            return WITH_ENA
        return ALONE if self.complete else None


def read_interfaces(context: PluginContext, functions: Iterable[str]) -> Interfaces:
    """The interfaces of network functions with these PCI addresses; every instance has one at least."""
    found = [_macs(context, address) for address in functions]
    return Interfaces(frozenset().union(*found), complete=bool(found) and all(found))


def _macs(context: PluginContext, address: str) -> frozenset[str]:
    """The MACs of a function's interfaces."""
    try:
        directory = context.path(f"{PCI_DEVICES}/{address}") / "net"
        return frozenset(read_text(directory / name / "address").lower() for name in list_names(directory))
    except (Unreadable, OSError):
        return frozenset()
