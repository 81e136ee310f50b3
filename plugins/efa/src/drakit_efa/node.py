"""A node's EFA adapters as they are now: what is known of each, and what of it could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from attrs import field, frozen
from drakit import AttributeValue, PluginContext, pci_attributes

from drakit_efa.interfaces import Interfaces, read_interfaces
from drakit_efa.ports import FIRST_WITH_CARDS, read_card, read_link_gbps, read_mac, read_state
from drakit_efa.sysfs import (
    DRIVER,
    EXCLUSIVE,
    FIRST_DEVICE,
    LAST_DEVICE,
    PCI_DEVICES,
    Absent,
    Adapter,
    Scan,
    Unreadable,
    module_is_loaded,
    namespaces_are_exclusive,
    read_adapters,
    read_number,
    read_text,
)

PCIE_ROOT = "resource.kubernetes.io/pcieRoot"
HEALTH = "health"
"""The attribute that is published also where nothing tells of it."""

NAMESPACES, KERNEL_MODULE, ADAPTERS, ADDRESSES, ATTRIBUTE = (
    "RDMA network namespaces",
    f"{DRIVER} kernel module",
    "EFA adapters",
    "option addresses",
    "attribute",
)
"""The subjects of findings; that of an attribute goes on with its name."""

_T = TypeVar("_T")


@frozen
class Loss:
    """A file of one adapter that cannot be used: the attribute that suffers, and why."""

    address: str
    attribute: str
    why: str

    @property
    def cost(self) -> str:
        """What is published in place of what the file would have said."""
        return "published as Unknown" if self.attribute == HEALTH else "not published"


@frozen(kw_only=True)
class EfaDevice:
    """One adapter. What is not known is None.

    `place`: its standard PCI attributes. `subsystem`: its PCI subsystem in hexadecimal, efa0 and up; `generation`: the
    number in that. `mac`: of its network interface; `interface_type`: EC2's name for how it was attached. `card`: its
    physical card. `peer_provider`: whose memory it can reach without the host's. `state`: of its port.
    """

    adapter: Adapter
    place: Mapping[str, AttributeValue] = field(factory=dict)
    subsystem: str | None = None
    generation: int | None = None
    numa_node: int | None = None
    mac: str | None = None
    interface_type: str | None = None
    card: str | None = None
    link_gbps: int | None = None
    peer_provider: str | None = None
    state: str | None = None


@frozen(kw_only=True)
class Node:
    """The adapters that can be used, and everything that is not as it should be.

    `scan`: all EFA functions. `loaded`: the kernel has their driver. `exclusive`: pods cannot open them. `unknown`:
    addresses that were asked for and have no EFA function.
    """

    devices: tuple[EfaDevice, ...] = ()
    losses: tuple[Loss, ...] = ()
    scan: Scan = field(factory=Scan)
    loaded: bool = True
    exclusive: bool = False
    unknown: tuple[str, ...] = ()

    @property
    def problems(self) -> Iterator[tuple[str, str]]:
        """Lines for the log, each with the subject under which `drakit check` says the same."""
        yield from ((f"{address} is not published: {why}", ADAPTERS) for address, why in self.scan.left_out.items())
        for loss in self.losses:
            yield f"{loss.address}: {loss.attribute} is {loss.cost}: {loss.why}", f"{ATTRIBUTE} {loss.attribute}"
        yield from ((line, KERNEL_MODULE) for line in unbound(self))
        if self.exclusive and self.scan.present:
            yield f"claims are refused: {EXCLUSIVE}", NAMESPACES
        for address in self.unknown:
            yield f"{ADDRESSES} names {address}, but no EFA adapter is there", ADDRESSES


def unbound(node: Node) -> Iterator[str]:
    """What is wrong with EFA functions that are not bound to the driver, and what to do; one line for all alike."""
    for driver in sorted(set(node.scan.idle.values())):
        names = shown([address for address, bound in node.scan.idle.items() if bound == driver])
        if driver:
            yield f"{names}: not published, bound to {driver}; to use them, bind them to the driver {DRIVER}"
        elif node.loaded:
            yield f"{names}: not published, the {DRIVER} kernel module is loaded and did not take them; see dmesg"
        else:
            yield (
                f"{names}: not published, the {DRIVER} kernel module is not loaded; run 'modprobe efa', and if "
                "there is none, install the EFA driver or use a node image that has it"
            )


def shown(addresses: Sequence[str], most: int = 4) -> str:
    """Addresses for a message: a few of many."""
    more = len(addresses) - most
    return ", ".join(addresses[:most]) + (f" and {more} more" if more > 0 else "")


def read_node(context: PluginContext, only: Sequence[str] = ()) -> Node:
    """The adapters of a node, or those of these addresses. Raises OSError where its PCI bus cannot be listed."""
    scan = read_adapters(context, only)
    losses: list[Loss] = []
    interfaces = read_interfaces(context, scan.others)
    devices = tuple(_device(context, adapter, interfaces, losses) for adapter in scan.adapters)
    found = {*(adapter.address for adapter in scan.adapters), *scan.left_out, *scan.idle}
    return Node(
        devices=devices,
        losses=tuple(losses),
        scan=scan,
        loaded=not scan.idle or module_is_loaded(context),
        exclusive=namespaces_are_exclusive(context),
        unknown=tuple(address for address in only if address not in found),
    )


def _device(context: PluginContext, adapter: Adapter, interfaces: Interfaces, losses: list[Loss]) -> EfaDevice:
    function = context.path(f"{PCI_DEVICES}/{adapter.address}")

    def read(attribute: str, reader: Callable[..., _T], *arguments: object) -> _T | None:
        try:
            return reader(*arguments)
        except (Unreadable, OSError) as error:
            losses.append(Loss(adapter.address, attribute, str(error)))
            return None

    place = pci_attributes(context, adapter.address)
    if PCIE_ROOT not in place:
        losses.append(Loss(adapter.address, "pcieRoot", f"it does not hang below a PCI root ({function})"))
    subsystem = read("pciSubsystem", read_number, function / "subsystem_device", 16)
    generation = _generation(read("generation", read_number, function / "device", 16), subsystem)
    mac = read("mac", read_mac, context, adapter.verbs)
    has_card = generation is not None and generation >= FIRST_WITH_CARDS
    return EfaDevice(
        adapter=adapter,
        place=place,
        subsystem=None if subsystem is None else f"{subsystem:04x}",
        generation=generation,
        numa_node=read("numaNode", _numa_node, function),
        mac=mac,
        interface_type=interfaces.type_of(mac),
        card=read("cardId", read_card, context, adapter.verbs) if has_card else None,
        link_gbps=read("linkGbps", read_link_gbps, context, adapter.verbs),
        peer_provider=read("peerProvider", _peer_provider, function),
        state=read(HEALTH, read_state, context, adapter.verbs),
    )


def _generation(*ids: int | None) -> int | None:
    """The generation that the first of these PCI ids names, of the function or of its subsystem."""
    known = (number - FIRST_DEVICE for number in ids if number is not None and FIRST_DEVICE <= number <= LAST_DEVICE)
    return next(known, None)


def _numa_node(function: Path) -> int | None:
    """The NUMA node; None where the kernel knows none, which it says by -1."""
    node = read_number(function / "numa_node")
    return node if node >= 0 else None


def _peer_provider(function: Path) -> str | None:
    """Whose memory the driver can register, as it calls it: NVIDIA, NEURON; None where it has found nobody's.

    Amazon's own driver has the file; the one in the kernel's tree has not.
    """
    try:
        return read_text(function / "p2p") or None
    except Absent:
        return None
