"""The search: depth first, claims, requests and devices in order; the first solution wins.

Within one request devices are tried in combinations: each next one comes after the one before it. A step is a generator
that makes one choice after another, yields what comes next, and takes the choice back when it is resumed; the stack is
a list, so its depth is no limit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from attrs import frozen

from drakit.model import DeviceRef, ResolvedPool
from drakit.plan.candidates import SELECTED, Candidate
from drakit.plan.constraints import Value, values_of
from drakit.plan.counters import CounterLedger
from drakit.plan.errors import NotSupported, Unallocatable, Undecided
from drakit.plan.task import MAX_RESULTS, Option, Task, Tracked, Wanted

MAX_STEPS = 1_000_000
"""Some claims take exponential time; the scheduler gives up on a node after ten seconds, which is about as far."""


@frozen
class Position:
    """Where a search stands: the request, the alternative of it (None: to be chosen), and how many devices it has."""

    request: int
    option: int | None = None
    taken: int = 0
    start: int = 0


@frozen(eq=False)
class Choice:
    """One device taken for one request."""

    wanted: Wanted
    option: Option
    place: int


class Search:
    """One run over one task; `chosen` is the solution once `run` has said there is one."""

    def __init__(
        self,
        task: Task,
        pools: Mapping[tuple[str, str], ResolvedPool],
        in_use: Collection[DeviceRef],
        budget: int = MAX_STEPS,
    ) -> None:
        self.chosen: list[Choice] = []
        self._task = task
        self._pools = pools
        self._in_use = in_use
        self._budget = budget
        self._ledgers: dict[tuple[str, str], CounterLedger] = {}
        self._holders: list[list[int]] = [[] for _ in task.candidates]
        self._counts = [0] * len(task.claims)

    def run(self) -> bool:
        """Look for the first solution. Raises PlanError where the scheduler would report an error."""
        stack = [self._steps(Position(0))]
        for _ in range(self._budget):
            following = next(stack[-1], None)
            if following is None:
                stack.pop()
                if not stack:
                    return False
            elif following.request == len(self._task.requests):
                return True
            else:
                stack.append(self._steps(following))
        raise Undecided(f"no answer after {self._budget} steps; ask for less at once, or constrain less")

    def _steps(self, at: Position) -> Iterator[Position]:
        if at.request == len(self._task.requests):
            yield at
            return
        wanted = self._task.requests[at.request]
        if at.option is None:
            yield from self._alternatives(wanted, at)
            return
        option = wanted.options[at.option]
        last = at.taken + 1 == option.needed
        for place in self._places(option, at):
            if self._take(wanted, option, place):
                if last:
                    yield Position(at.request + 1)
                else:
                    yield Position(at.request, at.option, at.taken + 1, place + 1)
                self._give_back()

    def _alternatives(self, wanted: Wanted, at: Position) -> Iterator[Position]:
        for index, option in enumerate(wanted.options):
            if option.needed and self._counts[wanted.claim] + option.needed + wanted.reserve <= MAX_RESULTS:
                yield Position(at.request, index)

    @staticmethod
    def _places(option: Option, at: Position) -> Sequence[int]:
        if option.everything is not None:
            return option.everything[at.taken : at.taken + 1]
        return range(at.start, len(option.tolerated))

    def _take(self, wanted: Wanted, option: Option, place: int) -> bool:
        """Take a device, if it is free for this request and everything else allows it."""
        candidate, holders = self._task.candidates[place], self._holders[place]
        if candidate.shared and option.verdicts[place] == SELECTED:
            raise NotSupported(f"device {candidate.ref}", "devices with allowMultipleAllocations")
        if option.request.admin_access:
            if wanted.claim in holders:
                return False
        elif candidate.in_use or holders:
            return False
        if option.verdicts[place] != SELECTED:
            return False
        if not option.tolerated[place] or not self._consume(candidate):
            return False
        if not self._constrain(option, candidate):
            self._release(candidate)
            return self._refused(wanted, option, candidate)
        holders.append(wanted.claim)
        self._counts[wanted.claim] += 1
        self.chosen.append(Choice(wanted, option, place))
        return True

    def _give_back(self) -> None:
        """Undo the last `_take`."""
        choice = self.chosen.pop()
        candidate = self._task.candidates[choice.place]
        for constraint in choice.option.constraints:
            constraint.remove(_values(candidate, constraint))
        self._release(candidate)
        self._counts[choice.wanted.claim] -= 1
        self._holders[choice.place].pop()

    def _consume(self, candidate: Candidate) -> bool:
        return not candidate.device.consumes or self._ledger(candidate).take(candidate.device)

    def _release(self, candidate: Candidate) -> None:
        if candidate.device.consumes:
            self._ledger(candidate).give(candidate.device)

    def _ledger(self, candidate: Candidate) -> CounterLedger:
        key = (candidate.ref.driver, candidate.ref.pool)
        if key not in self._ledgers:
            self._ledgers[key] = CounterLedger(self._pools[key], self._in_use)
        return self._ledgers[key]

    @staticmethod
    def _constrain(option: Option, candidate: Candidate) -> bool:
        for index, constraint in enumerate(option.constraints):
            if not constraint.add(_values(candidate, constraint)):
                for done in option.constraints[:index]:
                    done.remove(_values(candidate, done))
                return False
        return True

    def _refused(self, wanted: Wanted, option: Option, candidate: Candidate) -> bool:
        """A constraint spoke against the device: for a request for all devices, the scheduler calls that an error."""
        if option.everything is None:
            return False
        raise Unallocatable(
            f"claim {self._task.claims[wanted.claim].name}: request {option.label!r} asks for all devices, but a "
            f"constraint does not allow {candidate.ref}; narrow the request's selectors or drop the constraint"
        )


def _values(candidate: Candidate, constraint: Tracked) -> frozenset[Value]:
    return values_of(candidate.device, candidate.ref.driver, constraint.spec.attribute)
