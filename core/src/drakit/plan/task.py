"""Claims and one node, put together: what there is to search for, and in what."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from attrs import frozen

from drakit.plan.candidates import Candidate, Held
from drakit.plan.contents import Draw
from drakit.plan.errors import Unallocatable
from drakit.plan.pools import NodePool
from drakit.plan.profiles import Bug, KubeProfile
from drakit.plan.requests import Ask, Option

MAX_RESULTS = 32
"""The most devices one claim can be given."""


@frozen(eq=False)
class Bound:
    """An option on a node. `everything` is the fixed list, by place, of a request for all devices."""

    option: Option
    needed: int
    everything: tuple[int, ...] | None = None


@frozen(eq=False)
class Slot:
    """One request on a node: the claim's place, and the request's alternatives."""

    claim: int
    options: tuple[Bound, ...]


@frozen(eq=False)
class Task:
    """All that is to be met together on one node."""

    ask: Ask
    pools: tuple[NodePool, ...]
    candidates: tuple[Candidate, ...]
    held: Held
    slots: tuple[Slot, ...]
    dead_end: NodePool | None = None
    """The invalid pool that no search gets past, where the version has such; no candidates come after it."""

    @property
    def profile(self) -> KubeProfile:
        """The version it is for."""
        return self.ask.profile

    def drawn(self, pool: NodePool) -> Sequence[Draw]:
        """What devices that are held take of a pool's counters, as far as the version sees it."""
        return self.held.draws(pool, shares=Bug.HELD_SHARES_UNCOUNTED not in self.profile.bugs)


def bind(ask: Ask, pools: Sequence[NodePool], found: tuple[Candidate, ...], held: Held) -> Task:
    """Check what can be checked before a search. Raises PlanError."""
    dead_end = next((one for one in pools if one.invalid), None) if ask.profile.pools_by_slice else None
    if dead_end is not None:
        reached = set(map(id, itertools.takewhile(lambda pool: pool is not dead_end, pools)))
        found = tuple(one for one in found if id(one.pool) in reached)
    slots = tuple(
        Slot(wanted.claim, tuple(_bound(option, pools, found, ask.profile) for option in wanted.options))
        for wanted in ask.requests
    )
    for index, claim in enumerate(ask.claims):
        least = sum(min(bound.needed for bound in slot.options) for slot in slots if slot.claim == index)
        if least > MAX_RESULTS:
            raise Unallocatable(
                f"claim {claim.name}: asks for {least} devices; one claim can have at most {MAX_RESULTS}"
            )
    return Task(ask, tuple(pools), found, held, slots, dead_end)


def _bound(option: Option, pools: Sequence[NodePool], found: Sequence[Candidate], profile: KubeProfile) -> Bound:
    if not option.everything:
        return Bound(option, option.request.count)
    for pool in pools:
        if pool.problem is not None:
            raise Unallocatable(
                f"{option.where}: asks for all devices, but pool {pool.driver}/{pool.name}: {pool.problem}"
            )
    everything = tuple(place for place, one in enumerate(found) if _among_all(option, one, profile))
    return Bound(option, len(everything), everything)


def _among_all(option: Option, candidate: Candidate, profile: KubeProfile) -> bool:
    if not option.accepts(candidate):
        return False
    consumed = None if profile.all_by_size else candidate.consumed
    return not profile.features.consumable or option.fits(candidate, consumed or {})
