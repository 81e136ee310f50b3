"""ResourceSlices to pools, as the scheduler puts them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from drakit.documents import counter_set_from_api, device_from_api
from drakit.errors import LimitExceeded
from drakit.model import PER_DEVICE, CounterSet, Device, NodeSelection, ResolvedPool, SharePolicy
from drakit.plan.errors import InvalidDocument, NotSupported
from drakit.plan.nodes import NodeView, reaches, read_nodes

Document = Mapping[str, Any]


@frozen(kw_only=True)
class UnusablePool:
    """A pool nothing is allocated from: it is being updated (`incomplete`), or its slices contradict each other."""

    driver: str
    name: str
    incomplete: bool
    reason: str
    nodes: tuple[NodeSelection, ...] = field(repr=False)


@frozen
class _Slice:
    """One slice, decoded; `nodes` are of the slice, or per device."""

    document: Document
    devices: tuple[Device, ...]
    shares: Mapping[str, SharePolicy]
    counters: tuple[CounterSet, ...]
    nodes: NodeSelection

    @property
    def generation(self) -> int:
        return int(self.document["spec"]["pool"].get("generation") or 0)

    def selections(self) -> set[NodeSelection]:
        """The nodes of the slice, or those of its devices."""
        if self.nodes is PER_DEVICE:
            return {device.nodes for device in self.devices if device.nodes is not None}
        return {self.nodes}


def pools_from_slices(documents: Iterable[Document], node: NodeView | None = None) -> list[ResolvedPool]:
    """The pools that devices can be allocated from, slices by name within each. See `read_slices`."""
    return read_slices(documents, node)[0]


def read_slices(
    documents: Iterable[Document], node: NodeView | None = None
) -> tuple[list[ResolvedPool], list[UnusablePool]]:
    """Put slices together to pools: the usable ones, and the others with what is wrong with them.

    Only the highest generation of a pool counts, and only if all its slices are there. With `node`, that is the highest
    generation among the slices the node can reach, which is how the scheduler looks at a pool that moves from one node
    to another. Raises InvalidDocument for a slice that the API server would not have taken.
    """
    grouped: dict[tuple[str, str], list[_Slice]] = {}
    for document in documents:
        decoded = _read_slice(document)
        spec = document["spec"]
        grouped.setdefault((spec["driver"], spec["pool"]["name"]), []).append(decoded)
    usable: list[ResolvedPool] = []
    unusable: list[UnusablePool] = []
    for (driver, name), slices in sorted(grouped.items(), key=lambda item: item[0]):
        reached = slices if node is None else [one for one in slices if _reached(one, node)]
        if not reached:
            continue
        generation = max(one.generation for one in reached)
        current = sorted((one for one in slices if one.generation == generation), key=_slice_name)
        pool = _assemble(driver, name, current)
        if isinstance(pool, ResolvedPool):
            usable.append(pool)
        else:
            unusable.append(pool)
    return usable, unusable


def _slice_name(one: _Slice) -> str:
    return str((one.document.get("metadata") or {}).get("name") or "")


def _reached(one: _Slice, node: NodeView) -> bool:
    return any(reaches(nodes, node) for nodes in one.selections())


def _read_slice(document: Document) -> _Slice:
    where = f"ResourceSlice {(document.get('metadata') or {}).get('name') or '?'!r}: spec"
    spec = document.get("spec") or {}
    if not spec.get("driver") or not (spec.get("pool") or {}).get("name"):
        raise InvalidDocument(f"{where}: must have a driver and a pool with a name")
    nodes = PER_DEVICE if spec.get("perDeviceNodeSelection") else read_nodes(spec)
    if nodes is None:
        raise InvalidDocument(
            f"{where}: must say its nodes: nodeName, nodeSelector, allNodes or perDeviceNodeSelection"
        )
    devices, shares = [], {}
    for index, entry in enumerate(spec.get("devices") or ()):
        device, share = _read_device(entry, f"{where}.devices[{index}]")
        devices.append(device)
        if share is not None:
            shares[device.name] = share
    try:
        counters = tuple(counter_set_from_api(entry) for entry in spec.get("sharedCounters") or ())
    except (LimitExceeded, KeyError, TypeError) as error:
        raise InvalidDocument(f"{where}.sharedCounters: {_problem(error)}") from None
    return _Slice(document, tuple(devices), shares, counters, nodes)


def _read_device(entry: Document, where: str) -> tuple[Device, SharePolicy | None]:
    if entry.get("bindsToNode") and not entry.get("bindingConditions"):
        raise NotSupported(f"{where}.bindsToNode", "a device that binds to its node without binding conditions")
    if entry.get("nodeAllocatableResourceMappings") or entry.get("nodeAllocatableResources"):
        raise NotSupported(where, "devices that take of the node's allocatable resources")
    if any(item.get("compatibilityGroups") for item in entry.get("consumesCounters") or ()):
        raise NotSupported(f"{where}.consumesCounters", "compatibility groups")
    try:
        device, share = device_from_api(entry)
    except (LimitExceeded, KeyError, TypeError, ValueError) as error:
        raise InvalidDocument(f"{where}: {_problem(error)}") from None
    return evolve(device, nodes=read_nodes(entry)), share


def _problem(error: Exception) -> str:
    return f"missing or unknown: {error.args[0]!r}" if isinstance(error, KeyError) else str(error)


def _assemble(driver: str, name: str, slices: Sequence[_Slice]) -> ResolvedPool | UnusablePool:
    wanted = slices[0].document["spec"]["pool"].get("resourceSliceCount") or 0
    problem = None if len(slices) == wanted else f"it has {len(slices)} of {wanted} slices: it is being updated"
    incomplete = problem is not None
    problem = problem or _contradiction(slices)
    if problem is not None:
        selections = tuple({nodes for one in slices for nodes in one.selections()})
        return UnusablePool(driver=driver, name=name, incomplete=incomplete, reason=problem, nodes=selections)
    nodes = slices[0].nodes
    devices = [device for one in slices for device in one.devices]
    if any(one.nodes != nodes for one in slices):
        nodes = PER_DEVICE
        devices = [
            device if one.nodes is PER_DEVICE else evolve(device, nodes=one.nodes)
            for one in slices
            for device in one.devices
        ]
    return ResolvedPool(
        driver=driver,
        name=name,
        devices=tuple(devices),
        shares={name: share for one in slices for name, share in one.shares.items()},
        counters=tuple(counter_set for one in slices for counter_set in one.counters),
        nodes=nodes,
    )


def _contradiction(slices: Sequence[_Slice]) -> str | None:
    """What makes a complete pool invalid; the API server cannot see it, since it looks at one slice at a time."""
    for what, names in (
        ("device", [device.name for one in slices for device in one.devices]),
        ("counter set", [counter_set.name for one in slices for counter_set in one.counters]),
    ):
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            return f"{what} {twice!r} is in it more than once"
    known = {counter_set.name: counter_set.counters for one in slices for counter_set in one.counters}
    for one in slices:
        for device in one.devices:
            for consumption in device.consumes:
                for counter in consumption.counters:
                    if counter not in known.get(consumption.counter_set, ()):
                        return f"device {device.name!r} consumes {consumption.counter_set}/{counter}, which it has not"
    return None
