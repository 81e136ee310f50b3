"""ResourceSlices: what one pool looks like to the API server. Pure.

Limits and layout are those of `resource.k8s.io/v1`: Kubernetes 1.35 and later keep counter sets in slices of their
own, 1.34 keeps them beside the devices that consume them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from attrs import evolve, field, frozen

from drakit.documents import API_VERSION, Document, counter_set_to_api, device_to_api, nodes_to_api
from drakit.errors import LimitExceeded
from drakit.model import PER_DEVICE, THIS_NODE, CounterSet, Device, Quantity, ResolvedPool
from drakit.model.converters import frozen_tuple

MAX_DEVICES = 128
MAX_DEMANDING_DEVICES = 64
"""The limit for a slice in which any device has taints, consumes counters or has a list attribute (1.35)."""
MAX_COUNTER_SETS = 8
MAX_COMBINED_COUNTERS = 32
"""How many counters all sets of one slice may have together in the layout of 1.34."""
MAX_COMBINED_CONSUMPTIONS = 1024
"""How many counters all devices of one slice may consume together in the layout of 1.34."""

_GENERATE_NAME_LIMIT = 58
_INDEX = re.compile(r"([0-9a-f]{5,})-")


@frozen
class PoolSlices:
    """The ResourceSlice specs of one pool, in order. No generation is in them: that depends on what is published."""

    driver: str
    pool: str
    specs: tuple[Document, ...] = field(converter=frozen_tuple)

    @property
    def node_local(self) -> bool:
        """Whether the slices belong to one node by `nodeName`."""
        return "nodeName" in self.specs[0]


def pool_slices(pool: ResolvedPool, node: str, *, split_counters: bool = True) -> PoolSlices:
    """Lay one pool out in slices; `node` is the agent's own node.

    Devices keep their order, over all slices: it is the order in which the scheduler tries them. Neighbours with the
    same taints share a slice where they can, so that a taint that comes or goes with them costs one write. Counter
    sets come first: their slices then keep their places when devices come and go. A pool without devices is one empty
    slice, which says that the driver is up and has none. With `split_counters=False` the layout is that of 1.34.

    Raises LimitExceeded where devices that share counters do not fit the one slice that 1.34 wants them in.
    """
    bodies = list(_split(pool) if split_counters else _combined(pool)) or [{}]
    common: Document = {
        "driver": pool.driver,
        "pool": {"name": pool.name, "resourceSliceCount": len(bodies)},
        **_node_selection(pool, node),
    }
    return PoolSlices(pool.driver, pool.name, [common | body for body in bodies])


def without_lists(pool: ResolvedPool) -> tuple[ResolvedPool, frozenset[str]]:
    """The pool without the attributes that are lists, and their names: for a cluster that does not take them yet."""
    lists = {name for device in pool.devices for name, value in device.attributes.items() if isinstance(value, tuple)}
    if not lists:
        return pool, frozenset()
    return evolve(pool, devices=[_without_lists(device) for device in pool.devices]), frozenset(lists)


def _without_lists(device: Device) -> Device:
    kept = {name: value for name, value in device.attributes.items() if not isinstance(value, tuple)}
    return evolve(device, attributes=kept)


def left_out(names: Iterable[str]) -> str:
    """What to say of attributes that `without_lists` took out."""
    return (
        f"attributes that are lists are not published: {', '.join(sorted(names))}; set listAttributes "
        "(DRAKIT_LIST_ATTRIBUTES) once the feature DRAListTypeAttributes is on in the whole cluster"
    )


def _node_selection(pool: ResolvedPool, node: str) -> Document:
    if pool.nodes is THIS_NODE:
        return {"nodeName": node}
    if pool.nodes is PER_DEVICE:
        return {"perDeviceNodeSelection": True}
    return nodes_to_api(pool.nodes)


def _split(pool: ResolvedPool) -> Iterator[Document]:
    for start in range(0, len(pool.counters), MAX_COUNTER_SETS):
        yield {"sharedCounters": [counter_set_to_api(item) for item in pool.counters[start : start + MAX_COUNTER_SETS]]}
    for devices in _pack((unit, _devices_load(unit)) for unit in _tainted_alike(pool.devices)):
        yield {"devices": _devices_to_api(pool, devices)}


def _combined(pool: ResolvedPool) -> Iterator[Document]:
    sets = {counter_set.name: counter_set for counter_set in pool.counters}
    units = [(unit, _counters_load(unit, sets)) for unit in _sharing_counters(pool.devices)]
    for unit, load in units:
        if not load.bearable:
            raise LimitExceeded(
                f"pool {pool.name!r}: the devices that share counters with {unit[0].name!r}",
                f"must fit one slice before Kubernetes 1.35 ({MAX_DEVICES} devices, {MAX_COMBINED_COUNTERS} counters, "
                f"{MAX_COMBINED_CONSUMPTIONS} consumed)",
                len(unit),
            )
    for devices in _pack(units):
        consumed = _consumed_sets(devices)
        used = [counter_set_to_api(sets[name]) for name in sets if name in consumed]
        yield {"devices": _devices_to_api(pool, devices)} | ({"sharedCounters": used} if used else {})


def _devices_to_api(pool: ResolvedPool, devices: Sequence[Device]) -> list[Document]:
    return [device_to_api(device, pool.shares.get(device.name)) for device in devices]


@frozen
class _Load:
    """What devices take up of a slice, in as many respects as there are limits to it."""

    sizes: tuple[int, ...]
    limits: tuple[int, ...]

    @property
    def bearable(self) -> bool:
        return all(size <= limit for size, limit in zip(self.sizes, self.limits, strict=True))

    def __add__(self, other: _Load) -> _Load:
        return _Load(
            tuple(one + more for one, more in zip(self.sizes, other.sizes, strict=True)),
            tuple(map(min, self.limits, other.limits)),
        )


def _pack(units: Iterable[tuple[Sequence[Device], _Load]]) -> Iterator[list[Device]]:
    """Fill slices with units in their order; a unit is never divided."""
    devices: list[Device] = []
    filled: _Load | None = None
    for unit, load in units:
        together = load if filled is None else filled + load
        if not together.bearable:
            yield devices
            devices, together = [], load
        devices.extend(unit)
        filled = together
    if devices:
        yield devices


def _devices_load(devices: Sequence[Device]) -> _Load:
    demanding = any(map(_demanding, devices))
    return _Load((len(devices),), (MAX_DEMANDING_DEVICES if demanding else MAX_DEVICES,))


def _counters_load(devices: Sequence[Device], sets: Mapping[str, CounterSet]) -> _Load:
    offered = sum(len(sets[name].counters) for name in _consumed_sets(devices))
    consumed = sum(len(consumption.counters) for device in devices for consumption in device.consumes)
    return _Load((len(devices), offered, consumed), (MAX_DEVICES, MAX_COMBINED_COUNTERS, MAX_COMBINED_CONSUMPTIONS))


def _demanding(device: Device) -> bool:
    lists = any(isinstance(value, tuple) for value in device.attributes.values())
    return bool(device.taints or device.consumes or lists)


def _tainted_alike(devices: Sequence[Device]) -> Iterator[Sequence[Device]]:
    """Each device alone, but neighbours with the same taints together, as many as a slice may hold."""
    for taints, neighbours in groupby(devices, key=lambda device: device.taints):
        run = list(neighbours)
        size = MAX_DEMANDING_DEVICES if taints else 1
        yield from (run[start : start + size] for start in range(0, len(run), size))


def _sharing_counters(devices: Sequence[Device]) -> Iterator[Sequence[Device]]:
    """Devices that must be in one slice because they consume, directly or through others, one counter set."""
    units: list[tuple[set[str], list[int]]] = []
    for index, device in enumerate(devices):
        names, members = _consumed_sets([device]), [index]
        touching = [unit for unit in units if unit[0] & names]
        for unit in touching:
            names |= unit[0]
            members += unit[1]
        # The unit that began first keeps its place in the order.
        place = units.index(touching[0]) if touching else len(units)
        units = [unit for unit in units if unit not in touching]
        units.insert(place, (names, members))
    for _, members in units:
        yield [devices[index] for index in sorted(members)]


def _consumed_sets(devices: Iterable[Device]) -> set[str]:
    return {consumption.counter_set for device in devices for consumption in device.consumes}


def slice_document(spec: Mapping[str, Any], *, index: int, generation: int, node: str, node_uid: str) -> Document:
    """The whole document of a new slice, owned by the Node: it goes when the Node does.

    The name begins as Kubernetes 1.36 and later want it: the scheduler sorts a pool's slices by name, and `index_of`
    finds the slice's place in the pool from it.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": "ResourceSlice",
        "metadata": {
            "generateName": f"{index:05x}-{spec['driver']}-{node}-",
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid, "controller": True},
            ],
        },
        "spec": with_generation(spec, generation),
    }


def with_generation(spec: Mapping[str, Any], generation: int) -> Document:
    """The spec at one generation of its pool."""
    return {**spec, "pool": {**spec["pool"], "generation": generation}}


def keep_taint_times(
    specs: Iterable[Mapping[str, Any]], published: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The specs with the times at which their devices' taints were added, where `published` specs have them already.

    The server would set them anew at every write: a pod that tolerates a taint for a time would get all of it again.
    """
    times: dict[tuple[str, ...], str] = {
        (device["name"], *_identity(taint)): taint["timeAdded"]
        for spec in published
        for device in spec.get("devices") or ()
        for taint in device.get("taints") or ()
        if taint.get("timeAdded")
    }
    return [_with_times(spec, times) if times else spec for spec in specs]


def _with_times(spec: Mapping[str, Any], times: Mapping[tuple[str, ...], str]) -> Mapping[str, Any]:
    devices = [
        {**device, "taints": [_with_time(taint, device["name"], times) for taint in device["taints"]]}
        if device.get("taints")
        else device
        for device in spec.get("devices") or ()
    ]
    return {**spec, "devices": devices} if devices else spec


def _with_time(taint: Mapping[str, Any], device: str, times: Mapping[tuple[str, ...], str]) -> Mapping[str, Any]:
    time = times.get((device, *_identity(taint)))
    return {**taint, "timeAdded": time} if time else taint


def _identity(taint: Mapping[str, Any]) -> tuple[str, str, str]:
    return taint["key"], taint.get("value") or "", taint["effect"]


def index_of(name: str, driver: str) -> int | None:
    """The place in its pool that a slice's name gives it; None for a name that was made otherwise."""
    match = _INDEX.match(name)
    if match is None or not name.startswith(f"{match[0]}{driver}-"[:_GENERATE_NAME_LIMIT]):
        return None
    return int(match[1], 16)


def same_spec(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two slice specs mean the same.

    Quantities are compared by value; absent, null and empty are one; the generation and the times at which taints were
    added do not count. The order of devices does: it is what the scheduler goes by.
    """
    return next(_differences(one, other, "", ""), None) is None


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    """Where two slice specs do not mean the same, as paths such as `devices[3].taints`. Empty for the same spec."""
    return tuple(_differences(one, other, "", ""))


_MAPS_OF_QUANTITIES = {"capacity", "counters"}
_FREE_NAMES = {"attributes", *_MAPS_OF_QUANTITIES}
_SET_BY_SERVER = {"timeAdded", "generation"}


def _differences(one: Any, other: Any, path: str, within: str) -> Iterator[str]:
    """Descends only where the two are not equal as they stand; `within` is the map of free names they stand in."""
    if one == other or (_empty(one) and _empty(other)):
        return
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted(one.keys() | other.keys()):
            if within or key not in _SET_BY_SERVER:
                inside = within or (key if key in _FREE_NAMES else "")
                yield from _differences(one.get(key), other.get(key), f"{path}.{key}" if path else key, inside)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _differences(left, right, f"{path}[{index}]", within)
    elif within not in _MAPS_OF_QUANTITIES or not _same_quantity(one, other):
        yield path


def _empty(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_empty, value.values()))
    return value is None or value == []


def _same_quantity(one: Any, other: Any) -> bool:
    """What is no quantity is equal only to itself."""
    try:
        return Quantity(one) == Quantity(other)
    except LimitExceeded:
        return False
