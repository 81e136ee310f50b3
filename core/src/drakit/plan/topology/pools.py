"""One pool from its slices, as far as it can be drawn: a device that cannot be read costs itself alone.

The allocator reads pools too, strictly: what it does not know could change its answer. A picture shows what there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drakit.documents import Document, counter_set_from_api, device_from_api
from drakit.errors import DRAError, describe
from drakit.model import CounterSet, Device
from drakit.model.converters import frozen_tuple
from drakit.plan.nodes import NodeView, reaches, read_nodes
from drakit.plan.topology.model import printable

_UNREADABLE = (DRAError, AttributeError, KeyError, TypeError, ValueError)
"""What a document of any shape may lead to."""


@frozen(kw_only=True)
class PoolPart:
    """What a node has of one pool, and what is to be said of it."""

    driver: str
    name: str
    devices: tuple[Device, ...] = field(default=(), converter=frozen_tuple)
    shareable: frozenset[str] = frozenset()
    counters: tuple[CounterSet, ...] = field(default=(), converter=frozen_tuple)
    notes: tuple[str, ...] = field(default=(), converter=frozen_tuple)


def read_pool(documents: Sequence[Document], node: NodeView | None) -> PoolPart:
    """The devices of one pool that a node reaches; all of them where no node is known.

    As the scheduler has it, only the highest generation counts that the node reaches, and only if all its slices are
    there: else nothing can be allocated, and the pool is not drawn.
    """
    spec = documents[0]["spec"]
    driver, name = str(spec["driver"]), str(spec["pool"]["name"])
    where = f"pool {name!r} of {driver}"
    try:
        reached = [one for one in documents if _reached(one["spec"], node)]
        generation = max((_generation(one) for one in reached), default=None)
        current = [one for one in documents if _generation(one) == generation]
        wanted = int(current[0]["spec"]["pool"].get("resourceSliceCount") or 0) if current else 0
        counters = [counter_set_from_api(entry) for one in current for entry in one["spec"].get("sharedCounters") or ()]
        entries = [entry for one in current for entry in _entries(one["spec"], node)]
    except _UNREADABLE as error:
        return PoolPart(driver=driver, name=name, notes=[_said(where, error)])
    if len(current) != wanted:
        problem = f"{where} cannot be used: it has {len(current)} of {wanted} slices, so it is being updated"
        return PoolPart(driver=driver, name=name, notes=[printable(problem)])
    devices: dict[str, Device] = {}
    shareable, notes = set(), []
    for entry in entries:
        try:
            device, share = device_from_api(entry)
        except _UNREADABLE as error:
            notes.append(_said(f"device {_name(entry)} of {where}", error))
            continue
        if device.name in devices:
            notes.append(printable(f"{where} cannot be used: device {device.name!r} is in it more than once"))
            return PoolPart(driver=driver, name=name, notes=notes)
        devices[device.name] = device
        shareable |= {device.name} if share is not None else set()
    return PoolPart(
        driver=driver,
        name=name,
        devices=devices.values(),
        shareable=frozenset(shareable),
        counters=counters,
        notes=notes,
    )


def _said(what: str, error: BaseException) -> str:
    problem = str(error) if isinstance(error, DRAError) else describe(error)
    return printable(f"{what} cannot be drawn: {problem}")


def _name(entry: Any) -> str:
    return repr(entry.get("name")) if isinstance(entry, Mapping) else repr(entry)


def _generation(document: Document) -> int:
    return int(document["spec"]["pool"].get("generation") or 0)


def _reached(spec: Mapping[str, Any], node: NodeView | None) -> bool:
    if node is None:
        return True
    if spec.get("perDeviceNodeSelection"):
        return any(True for _ in _entries(spec, node))
    return reaches(read_nodes(spec), node)


def _entries(spec: Mapping[str, Any], node: NodeView | None) -> Iterator[Any]:
    """The devices of a slice, those of the node where each says its own."""
    each = bool(spec.get("perDeviceNodeSelection"))
    if node is not None and not each and not reaches(read_nodes(spec), node):
        return
    for entry in spec.get("devices") or ():
        if node is None or not each or reaches(read_nodes(entry), node):
            yield entry
