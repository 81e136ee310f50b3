"""What one node has: its pools, and their devices in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence

from attrs import frozen

from drakit.model import PER_DEVICE, DeviceRef, NodeSelection
from drakit.plan.allocated import Allocated, Consumed
from drakit.plan.contents import Draw, Offer
from drakit.plan.nodes import NamedNode, NodeView, reaches
from drakit.plan.pools import NodePool, PoolKey, SliceSet
from drakit.plan.profiles import KubeProfile


@frozen(eq=False)
class Candidate:
    """One device on one node. `far`: it is in a slice that the node reaches, but itself for other nodes.

    `number` is its place in its slice.
    """

    offer: Offer
    pool: NodePool
    number: int
    nodes: NodeSelection | None
    far: bool
    in_use: bool
    consumed: Consumed | None
    shared_already: bool

    @property
    def ref(self) -> DeviceRef:
        """Its identity."""
        return DeviceRef(self.pool.driver, self.pool.name, self.offer.device.name)


class Held:
    """What is allocated already, by pool."""

    def __init__(self, allocated: Allocated) -> None:
        self._devices = _by_pool(allocated.devices)
        self._shares = _by_pool(allocated.shares)
        self._consumed: dict[PoolKey, dict[str, Consumed]] = {}
        for ref, amounts in allocated.consumed.items():
            self._consumed.setdefault((ref.driver, ref.pool), {})[ref.name] = amounts

    def devices(self, pool: PoolKey) -> Collection[str]:
        """Devices held as a whole."""
        return self._devices.get(pool, ())

    def shares(self, pool: PoolKey) -> Collection[str]:
        """Devices held in shares."""
        return self._shares.get(pool, ())

    def consumed(self, pool: PoolKey) -> Mapping[str, Consumed]:
        """What is consumed of the capacity of devices."""
        return self._consumed.get(pool, {})

    def draws(self, pool: NodePool, *, shares: bool = True) -> Sequence[Draw]:
        """What the devices of a pool that anything of is held, or only those held whole, draw of its counters."""
        key = (pool.driver, pool.name)
        names = {*self.devices(key), *(self.shares(key) if shares else ()), *(self.consumed(key) if shares else ())}
        return [
            draw
            for one in (*pool.slices, *pool.far)
            for offer in one.content.offers
            if names and offer.device.name in names
            for draw in offer.draws
        ]

    def mark(self, pool: NodePool) -> Hashable:
        """What is held of a pool, to be compared with what is held of another."""
        key = (pool.driver, pool.name)
        consumed = frozenset((name, *sorted(amounts.items())) for name, amounts in self.consumed(key).items())
        return self._devices.get(key), self._shares.get(key), consumed


def _by_pool(refs: Collection[DeviceRef]) -> dict[PoolKey, frozenset[str]]:
    found: dict[PoolKey, set[str]] = {}
    for ref in refs:
        found.setdefault((ref.driver, ref.pool), set()).add(ref.name)
    return {key: frozenset(names) for key, names in found.items()}


def pools_and_mark(
    slices: SliceSet, node: NodeView, held: Held, profile: KubeProfile
) -> tuple[tuple[NodePool, ...], Hashable]:
    """The pools of a node, and a mark: nodes with the same one have the same answer, but for the names of pools."""
    pools = slices.pools(node, profile)
    names: dict[str, int] = {}
    marks = []
    for pool in pools:
        alike = names.setdefault(pool.name, len(names))
        counted = tuple(sorted(pool.counters.items())) if pool.counters else ()
        parts = tuple(
            (id(one.content), None if isinstance(one.nodes, NamedNode) else one.nodes, _own_reach(one.nodes, one, node))
            for one in pool.slices
        )
        far = tuple(id(one.content) for one in pool.far)
        marks.append((pool.driver, alike, pool.problem, parts, far, counted, held.mark(pool)))
    return pools, tuple(marks)


def _own_reach(nodes: NodeSelection, one: object, node: NodeView) -> object:
    """For a slice that leaves nodes to its devices, which are for this node, and by its name."""
    if nodes is not PER_DEVICE:
        return None
    offers: Sequence[Offer] = one.content.offers  # type: ignore[attr-defined]
    return tuple(reaches(offer.nodes, node) for offer in offers)


def candidates(pools: Sequence[NodePool], node: NodeView, held: Held) -> tuple[Candidate, ...]:
    """Every device of the pools that devices are allocated from."""
    found: list[Candidate] = []
    for pool in pools:
        key = (pool.driver, pool.name)
        devices, shares, consumed = held.devices(key), held.shares(key), held.consumed(key)
        for one in pool.slices:
            own = one.nodes is PER_DEVICE
            for number, offer in enumerate(one.content.offers):
                name = offer.device.name
                found.append(
                    Candidate(
                        offer,
                        pool,
                        number,
                        offer.nodes if own else one.nodes,
                        own and not reaches(offer.nodes, node),
                        name in devices,
                        consumed.get(name),
                        name in shares,
                    )
                )
    return tuple(found)
