"""Faked nodes: which there are, and where on them everything sits.

A node type is an instance type, or a variant of one, of a few types:

- `TYPE@uverbs-permuted`: the numbers of verbs nodes go the other way round than PCI addresses.
- `TYPE@efa-0-names`: without the udev rules of rdma-core, RDMA devices are called efa_0 and up.
- `TYPE@fewer`: the launch template gave every second adapter only.
- `TYPE@unloaded`: the kernel module is not loaded, so that functions have no driver and nothing else.
- `TYPE@netns-exclusive`: RDMA devices can be opened from the host's network namespace alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from drakit_efa.instances import DATA, MOST_ADAPTERS
from drakit_efa.ports import FIRST_WITH_CARDS

PERMUTED, KERNEL_NAMES, FEWER, UNLOADED, NETNS_EXCLUSIVE = VARIANTS = (
    "uverbs-permuted",
    "efa-0-names",
    "fewer",
    "unloaded",
    "netns-exclusive",
)

_DATA: Mapping[str, Any] = json.loads((DATA / "faked.json").read_text(encoding="utf-8"))
_FACTS: Mapping[str, Mapping[str, Any]] = {name: node for node in _DATA["nodes"] for name in node["types"]}
_PROVIDERS = {re.compile(r"(p|g|gr)[0-9]"): "NVIDIA", re.compile(r"trn[0-9]"): "NEURON"}


@frozen(kw_only=True)
class Place:
    """Where a PCI function sits. `bus` and the rest as in its address, `0000:bus:slot.function`."""

    bus: int
    slot: int
    function: int = 0
    root: str
    numa_node: int = -1

    @property
    def address(self) -> str:
        """Its PCI address."""
        return f"0000:{self.bus:02x}:{self.slot:02x}.{self.function}"

    @property
    def mac(self) -> bytes:
        """The MAC of the network interface whose function this is."""
        return bytes((0x02, 0, 0, self.bus, self.slot, self.function))


@frozen(kw_only=True)
class FakedAdapter:
    """One adapter. `verbs`: its RDMA device; `guid`: its node GUID."""

    place: Place
    verbs: str
    guid: bytes


@frozen(kw_only=True)
class FakedInterface:
    """A network interface with IP: an ENA function. Its MAC is that of the adapter it was attached with, if any."""

    place: Place
    name: str
    mac: bytes


@frozen(kw_only=True)
class FakedNode:
    """A node to be faked: all by PCI address. `provider` is whose memory adapters can reach; "" for nobody's.

    `controllers`: NVLink controllers of another vendor, with their verbs devices, as RDMA device and place. `variant`:
    one of VARIANTS, or "".
    """

    generation: int
    gbps: int
    provider: str
    adapters: tuple[FakedAdapter, ...]
    interfaces: tuple[FakedInterface, ...]
    controllers: tuple[tuple[str, Place], ...] = ()
    variant: str = ""

    @property
    def loaded(self) -> bool:
        """Whether the kernel module of the adapters is."""
        return self.variant != UNLOADED

    @property
    def verbs(self) -> Sequence[tuple[str, Place]]:
        """All RDMA devices with their places, by the number of their verbs nodes."""
        own = [(adapter.verbs, adapter.place) for adapter in self.adapters]
        in_order = sorted([*own, *self.controllers], key=lambda device: device[1].address)
        return in_order[::-1] if self.variant == PERMUTED else in_order


NODE_TYPES = tuple(
    sorted({*MOST_ADAPTERS, *(f"{name}@{variant}" for variant in VARIANTS for name in _DATA["varied"][variant])})
)
"""The node types that can be faked: instance types and variants of them."""


def faked_node(node_type: str) -> FakedNode | None:
    """The node of a type; None for a type that cannot be faked."""
    if node_type not in NODE_TYPES:
        return None
    name, _, variant = node_type.partition("@")
    return _varied(_node(name, _FACTS.get(name) or _other(MOST_ADAPTERS[name])), variant)


def _other(adapters: int) -> Mapping[str, Any]:
    """The facts of a type of which only the number of its adapters is known."""
    other = _DATA["other"]
    slots = range(other["firstSlot"], other["firstSlot"] + adapters)
    return {**other, "roots": {other["root"]: {"functions": [f"{other['bus']}:{slot:02x}.0" for slot in slots]}}}


def _node(name: str, facts: Mapping[str, Any]) -> FakedNode:
    places = _places(facts["roots"])
    return FakedNode(
        generation=facts["generation"],
        gbps=facts["gbps"],
        provider=next((provider for family, provider in _PROVIDERS.items() if family.match(name)), ""),
        adapters=tuple(_adapters(places, facts["generation"], facts.get("perCard", 1))),
        interfaces=tuple(_interfaces(facts, places)),
        controllers=tuple(
            (f"ibp{_dotted(place)}f{place.function}", place) for place in _places(facts.get("nvlink", {}))
        ),
    )


def _varied(node: FakedNode, variant: str) -> FakedNode:
    adapters = node.adapters
    if variant == FEWER:
        adapters = adapters[::2]
    if variant == KERNEL_NAMES:
        adapters = tuple(evolve(adapter, verbs=f"efa_{number}") for number, adapter in enumerate(adapters))
    return evolve(node, variant=variant, adapters=adapters)


def _places(roots: Mapping[str, Any]) -> list[Place]:
    places = [
        _place(root, address, below.get("numa", -1)) for root, below in roots.items() for address in below["functions"]
    ]
    return sorted(places, key=lambda place: place.address)


def _place(root: str, address: str, numa_node: int) -> Place:
    bus, slot, function = re.split("[:.]", address)
    return Place(bus=int(bus, 16), slot=int(slot, 16), function=int(function), root=root, numa_node=numa_node)


def _adapters(places: Sequence[Place], generation: int, per_card: int) -> Iterator[FakedAdapter]:
    """Adapters as rdma-core's udev rule calls them. Node GUIDs tell cards of one node apart from efa3 on."""
    for number, place in enumerate(places):
        card = places[number - number % per_card].bus if generation >= FIRST_WITH_CARDS else 0
        guid = place.mac[2:] + bytes((0, 0, card, number % per_card))
        function = f"f{place.function}" if place.function else ""
        yield FakedAdapter(place=place, verbs=f"rdmap{_dotted(place)}{function}", guid=guid)


def _interfaces(facts: Mapping[str, Any], places: Sequence[Place]) -> Iterator[FakedInterface]:
    attached = facts.get("attached", "first")
    if attached == "each":
        yield from (_interface(evolve(place, slot=place.slot - 1), place.mac) for place in places)
        return
    first = facts.get("ena", _DATA["ena"])
    place = _place(first["root"], first["address"], facts["roots"].get(first["root"], {}).get("numa", -1))
    yield _interface(place, places[0].mac if attached == "first" else place.mac)


def _interface(place: Place, mac: bytes) -> FakedInterface:
    """As systemd calls them: by place, or on the first bus by slot."""
    return FakedInterface(place=place, name=f"enp{_dotted(place)}" if place.bus else f"ens{place.slot}", mac=mac)


def _dotted(place: Place) -> str:
    """Bus and slot, in decimal, as udev names have them."""
    return f"{place.bus}s{place.slot}"
