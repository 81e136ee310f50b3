"""The search: depth first, claims, requests and devices in order; the first solution wins.

A step is a generator: it yields the step that comes next and is sent back how that ended. The stack is a list, so its
depth is no limit.
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Iterable
from typing import Any

from attrs import frozen

from drakit.plan.candidates import Candidate
from drakit.plan.constraints import State, track
from drakit.plan.counters import CounterLedger
from drakit.plan.errors import Unallocatable, Undecided
from drakit.plan.profiles import Bug
from drakit.plan.shares import Shares, SharesForgetting
from drakit.plan.task import MAX_RESULTS, Bound, Task

MAX_STEPS = 1_000_000
"""Some claims take exponential time; the scheduler gives up on a node after ten seconds, which is about as far."""


class Ending(enum.Enum):
    """How a step ended. TOO_MANY: the claim would be given more devices than it can have."""

    FOUND = enum.auto()
    NOTHING = enum.auto()
    TOO_MANY = enum.auto()


Step = Generator["Step", Any, Ending]
"""Sent back is the Ending of the step that was yielded."""


@frozen(eq=False)
class Choice:
    """One device taken for one request. `counted`: its counters were taken with it."""

    claim: int
    bound: Bound
    place: int
    counted: bool


class Search:
    """One run over one task; `chosen` is the solution once `run` has found one.

    This one walks as upstream's does, so that what goes wrong on the way goes wrong here too: a selector that fails on
    a device that is visited, and the bugs of a version.
    """

    def __init__(self, task: Task, budget: int = MAX_STEPS) -> None:
        self.chosen: list[Choice] = []
        self.steps = 0
        self._task = task
        self._budget = budget
        self._ledgers: dict[object, CounterLedger] = {}
        self._holders: list[list[int]] = [[] for _ in task.candidates]
        self._counts = [0] * len(task.ask.claims)
        self._states: list[list[State]] = [
            [track(one.spec, task.profile) for one in claim.constraints] for claim in task.ask.claims
        ]
        self._bugs = task.profile.bugs
        self._features = task.profile.features
        self._shares = (SharesForgetting if Bug.SHARED_KEEP_COUNTERS in self._bugs else Shares)(task.candidates)

    def run(self) -> bool:
        """Look for the first solution. Raises PlanError where the scheduler would report an error."""
        stack = [self._request(0)]
        ending: Ending | None = None
        while True:
            try:
                following = stack[-1].send(ending)
            except StopIteration as stop:
                ending = stop.value
                stack.pop()
                if not stack:
                    return ending is Ending.FOUND
                continue
            self.steps += 1
            if self.steps > self._budget:
                raise Undecided(f"no answer after {self._budget} steps; ask for less at once, or constrain less")
            stack.append(following)
            ending = None

    def _request(self, number: int) -> Step:
        """A request begins: its alternatives, in order."""
        slots = self._task.slots
        if number == len(slots):
            return Ending.FOUND
        if not self._worthwhile(number):
            return Ending.NOTHING
        slot = slots[number]
        ending = Ending.NOTHING
        if len(slot.options) == 1:
            ending = yield self._device(number, slot.options[0], 0, 0)
        else:
            endings = set()
            for bound in slot.options:
                ending = yield self._device(number, bound, 0, 0)
                if ending is Ending.FOUND:
                    return ending
                endings.add(ending)
            ending = Ending.TOO_MANY if endings == {Ending.TOO_MANY} else Ending.NOTHING
        if ending is Ending.TOO_MANY and number and slots[number - 1].claim != slot.claim:
            ending = Ending.NOTHING  # that is the end of this claim's search, not of the one before it
        if ending is Ending.NOTHING:
            self._vain(number)
        return ending

    def _device(self, number: int, bound: Bound, taken: int, start: int) -> Step:
        """One device of a request: the candidates, in order."""
        ending: Ending
        if bound.everything is not None and not bound.everything:
            return Ending.NOTHING
        if taken == bound.needed:
            ending = yield self._request(number + 1)
            return ending
        claim = self._task.slots[number].claim
        if self._counts[claim] + bound.needed - taken > MAX_RESULTS:
            return Ending.TOO_MANY
        for place in self._places(bound, taken, start):
            if not self._take(claim, bound, place):
                continue
            ending = yield self._device(number, self._following(number, bound), taken + 1, place + 1)
            if ending is Ending.FOUND:
                return ending
            self._give_back()
            if ending is Ending.TOO_MANY:
                return ending
        if bound.everything is None and (pool := self._task.dead_end) is not None:
            raise Unallocatable(
                f"{bound.option.where}: the scheduler comes to pool {pool.driver}/{pool.name}, where it gives up: "
                f"{pool.problem}"
            )
        return Ending.NOTHING

    def _following(self, number: int, bound: Bound) -> Bound:
        """The alternative that is gone on with after a device is taken for one."""
        mixed = bound.everything is not None and Bug.LATER_ALTERNATIVES_FOR_ALL in self._bugs
        return self._task.slots[number].options[0] if mixed else bound

    def _places(self, bound: Bound, taken: int, start: int) -> Iterable[int]:
        if bound.everything is not None:
            return bound.everything[taken : taken + 1]
        return range(start if self._task.profile.combinations else 0, len(self._task.candidates))

    def _worthwhile(self, _number: int) -> bool:
        """Whether a request, and all after it, could be met."""
        return True

    def _vain(self, _number: int) -> None:
        """A request could not be met as things stand."""

    def _free(self, claim: int, bound: Bound, place: int) -> bool:
        holders = self._holders[place]
        if bound.option.request.admin_access:
            return claim not in holders
        return not holders and not self._task.candidates[place].in_use

    def _take(self, claim: int, bound: Bound, place: int) -> bool:
        """Take a device, if it is free for this request and everything else allows it."""
        candidate, option = self._task.candidates[place], bound.option
        if not self._free(claim, bound, place) or not self._suits(bound, place):
            return False
        draws = candidate.offer.draws
        counted = bool(draws) and not (self._is_shared(candidate) and self._begun(place))
        if counted and not self._draw(bound, candidate):
            return False
        if not option.tolerates(candidate.offer) or not self._constrain(claim, bound, candidate):
            return self._refuse(candidate, counted=counted)
        if not self._has_room_after_all(claim, bound, place):
            if Bug.REFUSED_KEEP_CONSTRAINTS not in self._bugs:
                self._unconstrain(claim, bound, candidate, len(option.constraints))
            elif Bug.CAPACITY_OF_ANOTHER in self._bugs and not self._is_shared(candidate):
                self._holders[place].append(claim)
            return self._refuse(candidate, counted=counted)
        if self._is_shared(candidate):
            self._shares.add(place, option.consumes(candidate.offer) or {})
        else:
            self._holders[place].append(claim)
        self._counts[claim] += 1
        self.chosen.append(Choice(claim, bound, place, counted))
        return True

    def _suits(self, bound: Bound, place: int) -> bool:
        """Whether the request accepts the device: of the devices of a request for all, that is known."""
        candidate = self._task.candidates[place]
        if bound.everything is None and not (bound.option.accepts(candidate) and self._has_room(bound, place)):
            return False
        return self._features.partitionable or not candidate.offer.draws

    def _has_room(self, bound: Bound, place: int) -> bool:
        if not self._features.consumable:
            return True
        return bound.option.fits(self._task.candidates[place], self._shares.used(place))

    def _has_room_after_all(self, claim: int, bound: Bound, place: int) -> bool:
        """Asked once the device is taken: so far it is not known of one for a request for all."""
        if not self._features.consumable:
            return True
        if Bug.CAPACITY_OF_ANOTHER not in self._bugs:
            return bound.everything is None or self._has_room(bound, place)
        candidate = self._task.candidates[place]
        name = bound.option.name
        taken = sum(choice.claim == claim and choice.bound.option.name == name for choice in self.chosen)
        other = place - candidate.number + taken
        if other >= len(self._task.candidates) or self._task.candidates[other].number != taken:
            raise Unallocatable(
                f"{bound.option.where}: the scheduler of {self._task.profile.version} crashes: it looks for device "
                f"{taken + 1} of the slice that has {candidate.ref}, which has fewer; ask for no more than it has"
            )
        return self._has_room(bound, other)

    def _begun(self, place: int) -> bool:
        """Whether the counters of a shared device are taken."""
        return Bug.SHARES_COUNT_AGAIN not in self._bugs and self._shares.begun(place)

    def _draw(self, bound: Bound, candidate: Candidate) -> bool:
        """Take a device's counters, if enough is left of them."""
        if bound.everything is not None and Bug.ALL_WITH_COUNTERS_CRASHES in self._bugs:
            raise Unallocatable(
                f"{bound.option.where}: asks for all devices, and {candidate.ref} draws counters, on which the "
                f"scheduler of {self._task.profile.version} crashes before its later patches; ask for a count"
            )
        return self._ledger(candidate).take(candidate.offer.draws)

    def _is_shared(self, candidate: Candidate) -> bool:
        return candidate.offer.shared and self._features.consumable

    def _refuse(self, candidate: Candidate, *, counted: bool) -> bool:
        if counted and Bug.REFUSED_KEEP_COUNTERS not in self._bugs:
            self._ledger(candidate).give(candidate.offer.draws)
        return False

    def _give_back(self) -> None:
        """Undo the last `_take`."""
        choice = self.chosen.pop()
        claim, option, candidate = choice.claim, choice.bound.option, self._task.candidates[choice.place]
        self._unconstrain(claim, choice.bound, candidate, len(option.constraints))
        self._counts[claim] -= 1
        shared = self._is_shared(candidate)
        if shared:
            self._shares.remove(choice.place, option.consumes(candidate.offer) or {})
        else:
            self._holders[choice.place].pop()
        if choice.counted and not (shared and Bug.SHARED_KEEP_COUNTERS in self._bugs):
            self._ledger(candidate).give(candidate.offer.draws)

    def _ledger(self, candidate: Candidate) -> CounterLedger:
        pool = candidate.pool
        key = pool.name if Bug.POOLS_SHARE_COUNTERS in self._bugs else id(pool)
        if key not in self._ledgers:
            self._ledgers[key] = CounterLedger(pool, self._task.drawn(pool))
        return self._ledgers[key]

    def _constrain(self, claim: int, bound: Bound, candidate: Candidate) -> bool:
        """Add a device to its constraints. One that speaks against a request for all devices is an error."""
        specs, states = self._task.ask.claims[claim].constraints, self._states[claim]
        for index, number in enumerate(bound.option.constraints):
            if states[number].add(bound.option.name, specs[number].values(candidate)):
                continue
            if bound.everything is not None:
                raise Unallocatable(
                    f"{bound.option.where}: asks for all devices, but a constraint does not allow {candidate.ref}; "
                    "narrow the request's selectors or drop the constraint"
                )
            self._unconstrain(claim, bound, candidate, index)
            return False
        return True

    def _unconstrain(self, claim: int, bound: Bound, candidate: Candidate, count: int) -> None:
        """Undo the first `count` of a device's constraints."""
        specs, states = self._task.ask.claims[claim].constraints, self._states[claim]
        for number in bound.option.constraints[:count]:
            states[number].remove(bound.option.name, specs[number].values(candidate))
