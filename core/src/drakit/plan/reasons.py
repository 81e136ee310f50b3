"""Why a task cannot be met: what is left of the devices for each request, and what each value of a constraint has."""

from __future__ import annotations

from collections import Counter

from drakit.plan.constraints import Value
from drakit.plan.errors import SelectorFailed
from drakit.plan.inspection import Stage, view_of
from drakit.plan.outcome import ConstraintTable, DistinctTable, Funnel
from drakit.plan.requests import SELECTED, ConstraintSpec
from drakit.plan.task import Bound, Slot, Task


def verdict_or_none(task: Task, bound: Bound, place: int) -> int | None:
    """How far a device gets with a request, or None where a selector fails."""
    try:
        return bound.option.verdict(task.candidates[place])
    except SelectorFailed:
        return None


def usable(task: Task, bound: Bound, place: int) -> bool:
    """Whether a request could be given a device at best: free, tolerated, with room for it."""
    candidate, option = task.candidates[place], bound.option
    features = task.profile.features
    if verdict_or_none(task, bound, place) != SELECTED or candidate.far:
        return False
    if candidate.in_use and not option.request.admin_access:
        return False
    if candidate.offer.draws and not features.partitionable:
        return False
    if features.consumable and not option.fits(candidate, candidate.consumed or {}):
        return False
    return option.tolerates(candidate.offer)


def funnels(task: Task) -> tuple[Funnel, ...]:
    """For each alternative of each request, how many devices are left after each question."""
    return tuple(_funnel(task, slot, bound) for slot in task.slots for bound in slot.options)


def _funnel(task: Task, slot: Slot, bound: Bound) -> Funnel:
    view = view_of(task, slot, bound)
    stages = Counter(device.stage for device in view.devices)
    in_class = len(view.devices) - stages[Stage.NOT_IN_CLASS] - stages[Stage.FAILED]
    lost = {stage.value: stages[stage] for stage in _AFTER_SELECTORS if stages[stage]}
    return Funnel(
        claim=view.claim,
        request=bound.option.label,
        device_class=bound.option.request.device_class_name,
        needed=view.needed,
        seen=len(view.devices),
        in_class=in_class,
        selected=in_class - stages[Stage.NOT_SELECTED],
        usable=stages[Stage.USABLE],
        lost=lost,
        failed=stages[Stage.FAILED],
    )


_AFTER_SELECTORS = (Stage.OTHER_NODE, Stage.IN_USE, Stage.NO_ROOM, Stage.NO_COUNTERS, Stage.TAINTED)


def tables(task: Task) -> tuple[ConstraintTable | DistinctTable, ...]:
    """The matchAttributes that no value can meet, and the distinctAttributes for which there are too few."""
    found: list[ConstraintTable | DistinctTable] = []
    for index, claim in enumerate(task.ask.claims):
        for number, constraint in enumerate(claim.constraints):
            members = certain_members(task, index, number)
            if constraint.spec.match_attribute is not None and members:
                table, viable = _table(task, claim.name, constraint, members)
                if not viable:
                    found.append(table)
            elif members and (lack := _distinct(task, claim.name, constraint, members)) is not None:
                found.append(lack)
    return tuple(found)


def certain_members(task: Task, claim: int, number: int) -> list[Bound] | None:
    """The options a constraint is over, each certain to take part; None otherwise."""
    members = []
    for slot in task.slots:
        if slot.claim == claim and any(number in bound.option.constraints for bound in slot.options):
            if len(slot.options) > 1:
                return None
            members.append(slot.options[0])
    return members or None


def _table(task: Task, claim: str, constraint: ConstraintSpec, members: list[Bound]) -> tuple[ConstraintTable, bool]:
    counts: dict[Value, dict[str, int]] = {}
    together: dict[Value, set[int]] = {}
    for bound in members:
        for place, candidate in enumerate(task.candidates):
            if usable(task, bound, place):
                for value in constraint.values(candidate):
                    row = counts.setdefault(value, {})
                    row[bound.option.label] = row.get(bound.option.label, 0) + 1
                    together.setdefault(value, set()).add(place)
    needed = {bound.option.label: bound.needed for bound in members}
    alone = not any(one.offer.shared for one in task.candidates)
    viable = any(
        all(row.get(label, 0) >= count for label, count in needed.items())
        and (not alone or len(together[value]) >= sum(needed.values()))
        for value, row in counts.items()
    )
    shown = {_shown(value): row for value, row in counts.items()}
    return ConstraintTable(claim=claim, attribute=constraint.spec.attribute, needed=needed, usable=shown), viable


def _distinct(task: Task, claim: str, constraint: ConstraintSpec, members: list[Bound]) -> DistinctTable | None:
    values = {
        value
        for bound in members
        for place, candidate in enumerate(task.candidates)
        if usable(task, bound, place)
        for value in constraint.values(candidate)
    }
    needed = {bound.option.label: bound.needed for bound in members}
    if sum(needed.values()) <= len(values):
        return None
    return DistinctTable(claim=claim, attribute=constraint.spec.attribute, needed=needed, values=len(values))


def _shown(value: Value) -> str:
    kind, plain = value
    return "a list" if kind is tuple else str(plain)
