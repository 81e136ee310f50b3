"""The same answer as the plain search, sooner: most claims are met at once, the others get a guided search."""

from __future__ import annotations

from drakit.plan.errors import SelectorFailed, Undecided
from drakit.plan.guided import Guided
from drakit.plan.profiles import Bug
from drakit.plan.search import Choice, Search
from drakit.plan.task import Task

FIRST_STEPS = 48
"""Plain steps before anything is computed beforehand."""


def solve(task: Task, budget: int) -> tuple[Choice, ...] | None:
    """The first solution in the scheduler's order, or None. Raises PlanError as the plain search does."""
    first = Search(task, min(FIRST_STEPS, budget))
    try:
        return _answer(first)
    except Undecided:
        if budget <= FIRST_STEPS:
            raise
    return _answer(Guided(task, budget) if exact(task) else Search(task, budget))


def _answer(search: Search) -> tuple[Choice, ...] | None:
    return tuple(search.chosen) if search.run() else None


def exact(task: Task) -> bool:
    """Whether only the solution matters, not the way to it.

    The way matters where a selector fails on a device, where a request for all devices may hit a constraint, which is
    an error, and where a bug of the version leaves something behind whenever the search turns back.
    """
    bounds = [bound for slot in task.slots for bound in slot.options]
    if any(bound.everything is not None and bound.option.constraints for bound in bounds):
        return False
    try:
        for bound in bounds:
            for candidate in task.candidates:
                bound.option.verdict(candidate)
    except SelectorFailed:
        return False
    return not _leaves_behind(task)


def _leaves_behind(task: Task) -> bool:
    bugs = task.profile.bugs
    constraints = [one for claim in task.ask.claims for one in claim.constraints]
    if bugs & {Bug.REFUSED_KEEP_COUNTERS, Bug.POOLS_SHARE_COUNTERS, Bug.SHARED_KEEP_COUNTERS} and any(
        candidate.offer.draws for candidate in task.candidates
    ):
        return True
    if Bug.LAST_DISTINCT_ONLY in bugs and any(one.spec.distinct_attribute for one in constraints):
        return True
    return Bug.LISTS_STAY_NARROWED in bugs and any(
        len(one.values(candidate.offer)) > 1 for one in constraints for candidate in task.candidates
    )
