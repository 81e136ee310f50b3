"""From API documents to pictures: slices say what there is, claims who has it, nodes what reaches them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drakit.documents import Document, claim_ref
from drakit.model import Device, DeviceRef, Quantity, TaintEffect
from drakit.model.converters import frozen_mapping
from drakit.plan.claims import claim_name
from drakit.plan.nodes import NodeView
from drakit.plan.topology.links import fabrics_of
from drakit.plan.topology.model import Band, Box, Group, Picture, Use, printable
from drakit.plan.topology.pools import PoolPart, read_pool

NUMA = "resource.kubernetes.io/numaNode"
PCIE_ROOT = "resource.kubernetes.io/pcieRoot"
ANY_NODE = "any node"
"""What a picture is called whose devices can be used from everywhere, where no node is known."""

_GROUP = re.compile(r".+/devicegroup(\d{1,6})_id")


@frozen
class Inputs:
    """What pictures are made of. The `nodes` are those that slices name, and these, with their labels."""

    slices: Sequence[Document]
    claims: Sequence[Document] = ()
    nodes: Sequence[NodeView] = ()
    marks: Mapping[DeviceRef, str] = field(factory=dict, converter=frozen_mapping)
    """Devices that are to stand out, and what is written on them: the answer of a plan."""


def pictures_of(inputs: Inputs) -> list[Picture]:
    """A picture for each node that has devices or notes, by name.

    A device or pool that cannot be read costs itself: its node has a note of it.
    """
    pools: dict[tuple[str, str], list[Document]] = {}
    for document in inputs.slices:
        spec = document["spec"]
        pools.setdefault((spec["driver"], spec["pool"]["name"]), []).append(document)
    own: dict[str, list[list[Document]]] = {}
    everywhere: list[list[Document]] = []
    for documents in pools.values():
        named = {document["spec"].get("nodeName") for document in documents}
        if None in named or "" in named:
            everywhere.append(documents)
        else:
            for name in named:
                own.setdefault(str(name), []).append(documents)
    uses = _uses(inputs.claims)
    known = {node.name for node in inputs.nodes}
    nodes = [*inputs.nodes, *(NodeView(name) for name in own if name not in known)]
    pictures = [_picture(node, own.get(node.name, []) + everywhere, uses, inputs.marks) for node in nodes]
    if not nodes and everywhere:
        pictures = [_picture(None, everywhere, uses, inputs.marks)]
    return sorted((one for one in pictures if one.boxes or one.notes), key=lambda one: _natural(one.name))


def _natural(name: str) -> list[tuple[int, str]]:
    """Names with numbers in them in the order that people expect."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _uses(claims: Iterable[Document]) -> dict[tuple[str, str, str], list[Use]]:
    """Who has each device, by driver, pool and name."""
    found: dict[tuple[str, str, str], list[Use]] = {}
    for claim in claims:
        allocation = (claim.get("status") or {}).get("allocation") or {}
        for result in (allocation.get("devices") or {}).get("results") or ():
            use = Use(
                claim=printable(claim_name(claim) or claim_ref(claim).uid),
                consumed=dict(_quantities(result.get("consumedCapacity") or {})),
                admin=bool(result.get("adminAccess")),
            )
            found.setdefault((result["driver"], result["pool"], result["device"]), []).append(use)
    return found


def _quantities(values: Mapping[str, Any]) -> Iterator[tuple[str, Quantity]]:
    for name, value in values.items():
        yield str(name), Quantity(value)


def _picture(
    node: NodeView | None,
    pools: Iterable[Sequence[Document]],
    uses: Mapping[tuple[str, str, str], Sequence[Use]],
    marks: Mapping[DeviceRef, str],
) -> Picture:
    boxes: list[Box] = []
    devices: list[tuple[DeviceRef, Device]] = []
    notes: list[str] = []
    for documents in pools:
        pool = read_pool(documents, node)
        notes += pool.notes
        refs = [(DeviceRef(pool.driver, pool.name, device.name), device) for device in pool.devices]
        boxes += _boxes(pool, refs, uses, marks)
        devices += refs
    fabrics, loose = fabrics_of(devices)
    return Picture(
        name=printable(ANY_NODE if node is None else node.name),
        boxes=boxes,
        bands=_bands(devices),
        fabrics=fabrics,
        notes=[*notes, *loose],
    )


def _boxes(
    pool: PoolPart,
    devices: Sequence[tuple[DeviceRef, Device]],
    uses: Mapping[tuple[str, str, str], Sequence[Use]],
    marks: Mapping[DeviceRef, str],
) -> Iterator[Box]:
    taken = {ref: tuple(uses.get((ref.driver, ref.pool, ref.name), ())) for ref, _ in devices}
    left = _counters_left(pool, [device for ref, device in devices if any(not use.admin for use in taken[ref])])
    for ref, device in devices:
        numa, root = device.attributes.get(NUMA), device.attributes.get(PCIE_ROOT)
        needs = [(one.counter_set, name, value) for one in device.consumes for name, value in one.counters.items()]
        yield Box(
            ref=ref,
            numa=numa if type(numa) is int and numa >= 0 else None,
            root=printable(root) if isinstance(root, str) else "",
            counter_set=device.consumes[0].counter_set if len(device.consumes) == 1 else "",
            capacity=device.capacity,
            shareable=device.name in pool.shareable,
            taints=[f"{taint.key}{f'={taint.value}' if taint.value else ''}:{taint.effect}" for taint in device.taints],
            barred=any(taint.effect is not TaintEffect.NONE for taint in device.taints),
            uses=taken[ref],
            blocked=any(value.nanos > left.get((of, name), 0) for of, name, value in needs),
            mark=printable(marks.get(ref, "")),
        )


def _counters_left(pool: PoolPart, taken: Iterable[Device]) -> dict[tuple[str, str], int]:
    """What is left of each counter of a pool, in billionths."""
    left = {(one.name, name): value.nanos for one in pool.counters for name, value in one.counters.items()}
    for device in taken:
        for consumption in device.consumes:
            for name, value in consumption.counters.items():
                left[consumption.counter_set, name] = left.get((consumption.counter_set, name), 0) - value.nanos
    return left


def _bands(devices: Sequence[tuple[DeviceRef, Device]]) -> list[Band]:
    """The group attributes, smallest groups first. A list of values is no one group: such are not drawn."""
    members: dict[tuple[int, str], dict[Any, list[int]]] = {}
    for place, (_, device) in enumerate(devices):
        for attribute, value in device.attributes.items():
            if (match := _GROUP.fullmatch(attribute)) and not isinstance(value, tuple):
                groups = members.setdefault((int(match[1]), attribute), {})
                groups.setdefault((type(value).__name__, value), []).append(place)
    return [
        Band(
            attribute=printable(attribute),
            size=size,
            groups=[
                Group(letters=letters(index), value=printable(value), members=frozenset(places))
                for index, ((_, value), places) in enumerate(groups.items())
            ],
        )
        for (size, attribute), groups in sorted(members.items())
    ]


def letters(number: int) -> str:
    """A to Z, then AA, AB and so on."""
    return (letters(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)
