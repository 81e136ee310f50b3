"""The same answer as the plain search, sooner: most claims are met at once, the others get a guided search."""

from __future__ import annotations

from attrs import evolve

from drakit.plan.errors import SelectorFailed, Undecided
from drakit.plan.guided import Guided
from drakit.plan.profiles import Bug
from drakit.plan.search import Choice, Search
from drakit.plan.task import Task

FIRST_STEPS = 48
"""Plain steps before anything is computed beforehand."""


class Solver:
    """Solves one task after another, as of several nodes, within a budget of steps for all: each has a 100th at least.

    Plain steps come first, since most claims are met by a few; not where they were in vain for the task before.
    """

    def __init__(self, budget: int) -> None:
        self._left = budget
        self._least = max(1, budget // 100)
        self._plain_first = True

    def solve(self, task: Task) -> tuple[Choice, ...] | None:
        """The first solution in the scheduler's order, or None. Raises PlanError as the plain search does."""
        allowed = max(self._left, self._least)
        if self._plain_first:
            try:
                return self._answer(Search(task, min(FIRST_STEPS, allowed)))
            except Undecided:
                if allowed <= FIRST_STEPS:
                    raise
        if not errs_nowhere(task):
            return self._answer(Search(task, allowed))
        bugs = bugs_that_matter(task)
        if bugs - _REFUSE_MORE:
            return self._answer(Search(task, allowed))
        chosen = self._answer(Guided(without_bugs(task), allowed))
        self._plain_first = chosen is not None
        return self._answer(Search(task, allowed)) if chosen is not None and bugs else chosen

    def _answer(self, search: Search) -> tuple[Choice, ...] | None:
        try:
            return tuple(search.chosen) if search.run() else None
        finally:
            self._left -= search.steps


_REFUSE_MORE = frozenset({Bug.REFUSED_KEEP_COUNTERS, Bug.LISTS_STAY_NARROWED})
"""Bugs that only ever refuse devices: what cannot be met without them cannot be met with them."""


def without_bugs(task: Task) -> Task:
    """The same task for a version that is the same without its bugs."""
    return evolve(task, ask=evolve(task.ask, profile=task.profile.fixed()))


def errs_nowhere(task: Task) -> bool:
    """Whether no way of searching ends in an error.

    One does where a selector fails on a device, where a request for all devices hits a constraint, or devices with
    counters on which a version crashes, and where an invalid pool is a dead end.
    """
    bounds = [bound for slot in task.slots for bound in slot.options]
    if task.dead_end is not None:
        return False
    if Bug.ALL_WITH_COUNTERS_CRASHES in task.profile.bugs and any(
        task.candidates[place].offer.draws for bound in bounds for place in bound.everything or ()
    ):
        return False
    if any(bound.everything is not None and bound.option.constraints for bound in bounds):
        return False
    try:
        for bound in bounds:
            for candidate in task.candidates:
                bound.option.verdict(candidate)
    except SelectorFailed:
        return False
    return True


def bugs_that_matter(task: Task) -> set[Bug]:
    """The bugs of the version that may show in this task: with them, the way to a solution matters."""
    bugs = task.profile.bugs
    found: set[Bug] = set()
    counted = [candidate for candidate in task.candidates if candidate.offer.draws]
    if counted:
        found.add(Bug.REFUSED_KEEP_COUNTERS)
    if any(candidate.offer.shared for candidate in counted):
        found |= {Bug.SHARED_KEEP_COUNTERS, Bug.HELD_SHARES_UNCOUNTED, Bug.SHARES_COUNT_AGAIN}
    if any(bound.everything is not None for slot in task.slots for bound in slot.options[1:]):
        found.add(Bug.LATER_ALTERNATIVES_FOR_ALL)
    if task.profile.features.consumable:
        found.add(Bug.CAPACITY_OF_ANOTHER)
    if len({candidate.pool.name for candidate in counted}) < len({id(candidate.pool) for candidate in counted}):
        found.add(Bug.POOLS_SHARE_COUNTERS)
    constraints = [one for claim in task.ask.claims for one in claim.constraints]
    if any(one.spec.distinct_attribute for one in constraints):
        found |= {Bug.LAST_DISTINCT_ONLY, Bug.DISTINCT_BY_DEVICE}
    if any(len(one.values(candidate)) > 1 for one in constraints for candidate in task.candidates):
        found.add(Bug.LISTS_STAY_NARROWED)
    return found & bugs
