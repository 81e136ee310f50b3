"""ResourceSlices, put together to pools as the scheduler does it: for one node at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drakit.documents import counter_set_from_api
from drakit.errors import LimitExceeded
from drakit.model import ALL_NODES, PER_DEVICE, CounterSet, NodeSelection, ResolvedPool
from drakit.plan.contents import Content, Contents, Document, content_of, problem_of
from drakit.plan.errors import InvalidDocument
from drakit.plan.nodes import NamedNode, NodeView, reaches, read_nodes
from drakit.plan.profiles import KubeProfile, kube_profile

PoolKey = tuple[str, str]
"""Driver and name."""


@frozen(eq=False, kw_only=True)
class Slice:
    """One slice, decoded; `place` is where it was listed, `nodes` are the slice's or PER_DEVICE."""

    place: int
    name: str
    pool: PoolKey
    generation: int
    wanted: int
    content: Content
    counters: tuple[CounterSet, ...]
    nodes: NodeSelection

    def reaches(self, node: NodeView) -> bool:
        """Whether any of it can be used from the node."""
        if self.nodes is PER_DEVICE:
            return any(reaches(offer.nodes, node) for offer in self.content.offers)
        return reaches(self.nodes, node)


@frozen(eq=False, kw_only=True)
class NodePool:
    """A pool as one node sees it. Nothing is allocated from one with a `problem`; `incomplete`: it is being updated.

    `far` are the slices for other nodes, which matter for counters only. With `pools_by_slice` it is a slice of it:
    one that is incomplete still has devices then.
    """

    driver: str
    name: str
    slices: tuple[Slice, ...] = ()
    far: tuple[Slice, ...] = ()
    counters: Mapping[tuple[str, str], int] = field(factory=dict)
    binding: bool = False
    incomplete: bool = False
    problem: str | None = None

    @property
    def invalid(self) -> bool:
        """Whether its slices contradict each other."""
        return self.problem is not None and not self.incomplete

    @property
    def unused(self) -> bool:
        """Whether it has a problem for which nothing is allocated from it."""
        return self.problem is not None and not self.slices


class SliceSet:
    """All slices there are, indexed. Once it is made, it does not change."""

    def __init__(self, slices: Iterable[Slice]) -> None:
        self._all = tuple(slices)
        self._of_pool: dict[PoolKey, list[Slice]] = {}
        self._of_node: dict[str, list[Slice]] = {}
        self._others: list[Slice] = []
        self._counters: dict[PoolKey, list[Slice]] = {}
        self._hollow: dict[KubeProfile, dict[PoolKey, NodePool]] = {}
        self._made: dict[tuple[object, ...], NodePool | None] = {}
        self._checked: dict[tuple[object, ...], str | None] = {}
        for one in self._all:
            self._of_pool.setdefault(one.pool, []).append(one)
            if isinstance(one.nodes, NamedNode):
                self._of_node.setdefault(one.nodes.name, []).append(one)
                if one.counters:
                    self._counters.setdefault(one.pool, []).append(one)
            else:
                self._others.append(one)

    @classmethod
    def of_pools(cls, pools: Iterable[ResolvedPool]) -> SliceSet:
        """An agent's own pools. Those of THIS_NODE belong to whatever node is asked about."""
        return cls(one for place, pool in enumerate(pools) for one in _slices_of(pool, place))

    @property
    def slices(self) -> tuple[Slice, ...]:
        """All of them, as they were listed."""
        return self._all

    def pools(self, node: NodeView, profile: KubeProfile | None = None) -> tuple[NodePool, ...]:
        """The pools that the node reaches, in the order in which they are tried.

        Only the highest generation of a pool counts among the slices the node can reach, which is how the scheduler
        looks at a pool that moves from one node to another, and only if all slices of it are there.
        """
        profile = profile or kube_profile()
        near = self._near(node, profile)
        if not profile.ordered:
            near.sort(key=lambda one: one.place)
        reached = _newest(near)
        if not profile.ordered and profile.binding_last:
            for slices in reached.values():
                slices.sort(key=lambda one: one.content.binding)
        if profile.pools_by_slice:
            return tuple(_in_order(_by_slice(reached), profile))
        found = [pool for key, slices in reached.items() if (pool := self._pool(key, slices, profile))]
        found += (pool for key, pool in self._hollow_pools(profile).items() if key not in reached)
        return tuple(_in_order(found, profile))

    def _near(self, node: NodeView, profile: KubeProfile) -> list[Slice]:
        partitions, alone = profile.features.partitionable, profile.pools_by_slice
        found = [one for one in self._of_node.get(node.name, ()) if partitions or alone or not one.counters]
        for one in self._others:
            if not partitions and (one.nodes is PER_DEVICE or (one.counters and not alone)):
                continue
            if one.reaches(node) or (profile.counters_reach and one.counters and not alone):
                found.append(one)
        if partitions and profile.counters_reach and self._counters and not alone:
            own = set(map(id, found))
            pools = dict.fromkeys(one.pool for one in found)
            found += (one for pool in pools for one in self._counters.get(pool, ()) if id(one) not in own)
        return found

    def _hollow_pools(self, profile: KubeProfile) -> Mapping[PoolKey, NodePool]:
        """Pools that nodes reach by counters of other nodes alone: they have no devices, but may be invalid."""
        if profile not in self._hollow:
            applies = profile.features.partitionable and profile.counters_reach
            found = {
                key: self._pool(key, _newest(slices)[key], profile)
                for key, slices in (self._counters.items() if applies else ())
            }
            self._hollow[profile] = {key: pool for key, pool in found.items() if pool and pool.problem}
        return self._hollow[profile]

    def _pool(self, key: PoolKey, slices: Sequence[Slice], profile: KubeProfile) -> NodePool | None:
        mark = (profile, *map(id, slices))
        if mark not in self._made:
            self._made[mark] = self._assemble(key, slices, profile)
        return self._made[mark]

    def _assemble(self, key: PoolKey, slices: Sequence[Slice], profile: KubeProfile) -> NodePool | None:
        driver, name = key
        generation, wanted = slices[0].generation, slices[0].wanted
        whole = list(slices)
        if len(whole) != wanted:
            if any(one.generation > generation for one in self._of_pool[key]):
                return None  # a newer generation is for other nodes only
            whole = [one for one in self._of_pool[key] if one.generation == generation]
        if len(whole) != wanted:
            problem = f"it has {len(whole)} of {wanted} slices: it is being updated"
            return NodePool(driver=driver, name=name, incomplete=True, problem=problem)
        partitions = profile.features.partitionable
        near = [one for one in slices if not (partitions and one.counters)]
        far = [one for one in whole if one not in slices and not (partitions and one.counters)]
        sets = [s for one in whole for s in one.counters] if partitions else []
        mark = (partitions, len(near), *(id(one.content) for one in (*near, *far)), *map(id, sets))
        if mark not in self._checked:
            self._checked[mark] = _contradiction(near, far, sets if partitions else None)
        if (contradiction := self._checked[mark]) is not None:
            return NodePool(driver=driver, name=name, problem=contradiction)
        if profile.ordered:
            near.sort(key=lambda one: one.name)
        return NodePool(
            driver=driver,
            name=name,
            slices=tuple(near),
            far=tuple(far),
            counters=_amounts(sets),
            binding=any(one.content.binding for one in near),
        )


def _in_order(pools: Iterable[NodePool], profile: KubeProfile) -> list[NodePool]:
    """The order in which pools are tried: where it is random, the one in which they come."""
    if profile.ordered:
        return sorted(pools, key=lambda pool: (pool.binding, pool.driver, pool.name))
    return sorted(pools, key=lambda pool: profile.binding_last and pool.binding)


def _by_slice(pools: Mapping[PoolKey, Sequence[Slice]]) -> Iterator[NodePool]:
    """See `pools_by_slice` of a profile.

    Slices that keep counters apart from devices, as later releases want it, stand for the one that holds both here.
    """
    for (driver, name), own in pools.items():
        binding = any(one.content.binding for one in own)
        twice = _repeated([offer.device.name for one in own for offer in one.content.offers])
        if twice is not None:
            yield NodePool(driver=driver, name=name, binding=binding, problem=_TWICE.format(twice))
            continue
        wanted = own[0].wanted
        problem = None if len(own) == wanted else f"it has {len(own)} of {wanted} slices for the node"
        apart = any(one.counters and not one.content.offers for one in own)
        for part in [own] if apart else [[one] for one in own]:
            yield NodePool(
                driver=driver,
                name=name,
                slices=tuple(part),
                counters=_amounts(counter_set for one in part for counter_set in one.counters),
                binding=binding,
                incomplete=problem is not None,
                problem=problem,
            )


def _amounts(sets: Iterable[CounterSet]) -> dict[tuple[str, str], int]:
    return {(one.name, counter): amount.nanos for one in sets for counter, amount in one.counters.items()}


def _newest(slices: Iterable[Slice]) -> dict[PoolKey, list[Slice]]:
    """By pool, the slices of its highest generation among these."""
    found: dict[PoolKey, list[Slice]] = {}
    for one in slices:
        known = found.setdefault(one.pool, [])
        if known and known[0].generation < one.generation:
            known.clear()
        if not known or known[0].generation == one.generation:
            known.append(one)
    return found


def read_slices(documents: Iterable[Document]) -> SliceSet:
    """Index ResourceSlice documents. Raises InvalidDocument for a slice that the API server would not have taken."""
    contents = Contents()
    return SliceSet(_read_slice(document, place, contents) for place, document in enumerate(documents))


def _read_slice(document: Document, place: int, contents: Contents) -> Slice:
    name = str((document.get("metadata") or {}).get("name") or "")
    where = f"ResourceSlice {name or '?'!r}: spec"
    spec: Mapping[str, Any] = document.get("spec") or {}
    pool = spec.get("pool") or {}
    driver = spec.get("driver")
    if not driver or not pool.get("name"):
        raise InvalidDocument(f"{where}: must have a driver and a pool with a name")
    nodes = PER_DEVICE if spec.get("perDeviceNodeSelection") else read_nodes(spec)
    if nodes is None:
        raise InvalidDocument(
            f"{where}: must say its nodes: nodeName, nodeSelector, allNodes or perDeviceNodeSelection"
        )
    content = contents.read(driver, spec.get("devices"), f"{where}.devices")
    try:
        counters = tuple(counter_set_from_api(entry) for entry in spec.get("sharedCounters") or ())
    except (LimitExceeded, KeyError, TypeError) as error:
        raise InvalidDocument(f"{where}.sharedCounters: {problem_of(error)}") from None
    return Slice(
        place=place,
        name=name,
        pool=(driver, pool["name"]),
        generation=int(pool.get("generation") or 0),
        wanted=int(pool.get("resourceSliceCount") or 0),
        content=content,
        counters=counters,
        nodes=nodes,
    )


def _slices_of(pool: ResolvedPool, place: int) -> list[Slice]:
    """A pool as slices: counter sets have one of their own."""
    parts: list[tuple[Content, tuple[CounterSet, ...]]] = [(content_of(pool), ())]
    if pool.counters:
        parts.append((Content(()), pool.counters))
    return [
        Slice(
            place=place,
            name=str(index),
            pool=(pool.driver, pool.name),
            generation=1,
            wanted=len(parts),
            content=content,
            counters=counters,
            nodes=ALL_NODES if counters else pool.nodes,
        )
        for index, (content, counters) in enumerate(parts)
    ]


_TWICE = "device {!r} is in it more than once"


def _contradiction(near: Sequence[Slice], far: Sequence[Slice], counters: Sequence[CounterSet] | None) -> str | None:
    """What makes a complete pool invalid; the API server cannot see it, since it looks at one slice at a time."""
    devices = [offer.device.name for one in near for offer in one.content.offers]
    if (twice := _repeated(devices)) is not None:
        return _TWICE.format(twice)
    if counters is None:
        return None
    if (twice := _repeated([one.name for one in counters])) is not None:
        return f"counter set {twice!r} is in it more than once"
    known = {(one.name, counter) for one in counters for counter in one.counters}
    for one in (*near, *far):
        for offer in one.content.offers:
            for (counter_set, counter), _ in offer.draws:
                if (counter_set, counter) not in known:
                    return f"device {offer.device.name!r} consumes {counter_set}/{counter}, which it has not"
    return None


def _repeated(names: Sequence[str]) -> str | None:
    if len(set(names)) == len(names):
        return None
    return next(name for name in names if names.count(name) > 1)
