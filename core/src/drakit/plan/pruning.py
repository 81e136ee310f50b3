"""What can be said before a search: rules that only skip branches without a solution.

The answer is the first solution in a fixed order, so skipping what holds none leaves it the same. Where a selector
fails on some device, or the scheduler would report an error on the way, nothing is skipped: the search must meet it.
"""

from __future__ import annotations

from collections import Counter

from drakit.plan.candidates import IN_CLASS, SELECTED, verdict_or_none
from drakit.plan.constraints import MatchConstraint, Value
from drakit.plan.outcome import ConstraintTable, Funnel
from drakit.plan.task import Option, Task, Wanted, usable_places, values_at


def look_ahead(task: Task) -> bool:
    """Restrict each matchAttribute to the values that enough devices have; False if a search must be in vain."""
    usable: dict[int, list[int]] = {}
    for request in task.requests:
        for option in request.options:
            places, sound = usable_places(task, option)
            if not sound or (option.everything is not None and option.constraints):
                return True
            usable[id(option)] = places
    hopeless = any(
        all(_short(option, len(usable[id(option)])) for option in request.options) for request in task.requests
    )
    for index, claim in enumerate(task.claims):
        for constraint in claim.constraints:
            if isinstance(constraint, MatchConstraint):
                viable = _viable(task, index, constraint, usable)
                constraint.viable = viable
                hopeless = hopeless or viable == frozenset()
    return not hopeless


def _short(option: Option, count: int) -> bool:
    return count < max(option.needed, 1)


def _viable(
    task: Task, claim: int, constraint: MatchConstraint, usable: dict[int, list[int]]
) -> frozenset[Value] | None:
    """The values that enough usable devices have; None where a prioritized list leaves it open who takes part."""
    members = in_scope(task, claim, constraint)
    if members is None:
        return None
    enough: set[Value] | None = None
    together: dict[Value, set[int]] = {}
    needed = 0
    for option in members:
        per_value: Counter[Value] = Counter()
        for place in usable[id(option)]:
            for value in values_at(task, place, constraint.spec.attribute):
                per_value[value] += 1
                together.setdefault(value, set()).add(place)
        having = {value for value, count in per_value.items() if count >= option.needed}
        enough = having if enough is None else enough & having
        needed += option.needed
    # The requests of one claim never share a device, whatever their access.
    return frozenset(value for value in enough or () if len(together[value]) >= needed)


def in_scope(task: Task, claim: int, constraint: MatchConstraint) -> list[Option] | None:
    """The options a constraint is over, each certain to take part; None otherwise."""
    members = []
    for request in task.requests:
        if request.claim == claim and any(constraint in option.constraints for option in request.options):
            if len(request.options) > 1:
                return None
            members.append(request.options[0])
    return members or None


def funnels(task: Task) -> tuple[Funnel, ...]:
    """For each alternative of each request, how many devices are left after each question."""
    return tuple(_funnel(task, request, option) for request in task.requests for option in request.options)


def _funnel(task: Task, request: Wanted, option: Option) -> Funnel:
    verdicts = [verdict_or_none(option.verdicts, place) for place in range(len(task.candidates))]
    usable, _ = usable_places(task, option)
    return Funnel(
        claim=task.claims[request.claim].name,
        request=option.label,
        device_class=option.request.device_class_name,
        needed=None if option.everything is not None else option.needed,
        seen=len(verdicts),
        in_class=sum(verdict in (IN_CLASS, SELECTED) for verdict in verdicts),
        selected=verdicts.count(SELECTED),
        usable=len(usable),
        failed=verdicts.count(None),
    )


def tables(task: Task) -> tuple[ConstraintTable, ...]:
    """The matchAttributes that no value can meet, with what there is per value."""
    return tuple(
        _table(task, index, constraint)
        for index, claim in enumerate(task.claims)
        for constraint in claim.constraints
        if isinstance(constraint, MatchConstraint) and constraint.viable == frozenset()
    )


def _table(task: Task, claim: int, constraint: MatchConstraint) -> ConstraintTable:
    usable: dict[str, dict[str, int]] = {}
    members = in_scope(task, claim, constraint) or []
    for option in members:
        for place in usable_places(task, option)[0]:
            for _, value in values_at(task, place, constraint.spec.attribute):
                counts = usable.setdefault(str(value), {})
                counts[option.label] = counts.get(option.label, 0) + 1
    return ConstraintTable(
        claim=task.claims[claim].name,
        attribute=constraint.spec.attribute,
        needed={option.label: option.needed for option in members},
        usable=usable,
    )
