"""What devices there are for each value of a constraint's attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from drakit.plan.constraints import Value, values_of
from drakit.plan.contents import Offer
from drakit.plan.explain.edits import Part
from drakit.plan.inspection import RequestView, Stage
from drakit.plan.task import Task

AS_A_WHOLE = " as a whole"
"""How the text of a list ends that the release does not look into."""


@frozen(kw_only=True)
class ValueRow:
    """For one value, or with None for devices without the attribute: by request, how many devices are free, and are."""

    value: str | None
    free: tuple[int, ...]
    all: tuple[int, ...]
    enough: bool


@frozen(kw_only=True)
class ValueTable:
    """One constraint: what the requests under it need, and what each value of the attribute has.

    `requests` are labels, `needed` in the same order; None is all devices. `matches` is false for distinctAttribute.
    A constraint under which one value is enough, or under distinctAttribute enough values, is `possible` by itself.
    """

    claim: str
    path: str
    part: Part
    attribute: str
    matches: bool
    requests: tuple[str, ...]
    needed: tuple[int | None, ...]
    rows: tuple[ValueRow, ...]
    possible: bool


def value_tables(task: Task, views: Sequence[RequestView]) -> tuple[ValueTable, ...]:
    """The table of every constraint that any request is under, in order."""
    owners = [slot.claim for slot in task.slots for _ in slot.options]
    found = []
    for number, claim in enumerate(task.ask.claims):
        for index in range(len(claim.constraints)):
            members = [
                view
                for view, owner in zip(views, owners, strict=True)
                if owner == number and index in view.option.constraints
            ]
            if members:
                found.append(_table(task, number, index, members))
    return tuple(found)


def _table(task: Task, number: int, index: int, members: Sequence[RequestView]) -> ValueTable:
    claim = task.ask.claims[number]
    constraint = claim.constraints[index]
    free: dict[Value | None, list[int]] = {}
    every: dict[Value | None, list[int]] = {}
    texts: dict[Value | None, dict[str, None]] = {}
    for place, view in enumerate(members):
        for device in view.devices:
            if device.stage in (Stage.FAILED, Stage.NOT_IN_CLASS, Stage.NOT_SELECTED, Stage.OTHER_NODE):
                continue
            for value in constraint.values(device.candidate) or {None}:
                texts.setdefault(value, {})[written(value, constraint.spec.attribute, device.candidate.offer)] = None
                every.setdefault(value, [0] * len(members))[place] += 1
                free.setdefault(value, [0] * len(members))[place] += device.stage is Stage.USABLE
    needed = tuple(view.needed for view in members)
    must = _must(task, number, members)
    rows = tuple(
        ValueRow(
            value=None if value is None else " or ".join(texts[value]),
            free=tuple(free[value]),
            all=tuple(counts),
            enough=value is not None and all(free[value][at] >= (needed[at] or 1) for at in must),
        )
        for value, counts in sorted(every.items(), key=_order)
    )
    matches = constraint.spec.match_attribute is not None
    different = sum(row.value is not None and any(row.free) for row in rows)
    return ValueTable(
        claim=claim.name,
        path=f"spec.devices.constraints[{index}]",
        part=("constraint", number, index),
        attribute=constraint.spec.attribute,
        matches=matches,
        requests=tuple(view.option.label for view in members),
        needed=needed,
        rows=rows,
        possible=any(row.enough for row in rows) if matches else different >= sum((needed[at] or 1) for at in must),
    )


def _must(task: Task, number: int, members: Sequence[RequestView]) -> list[int]:
    """The members that have no alternative."""
    alone = {slot.options[0].option.label for slot in task.slots if slot.claim == number and len(slot.options) == 1}
    return [place for place, view in enumerate(members) if view.option.label in alone]


def _order(item: tuple[Value | None, object]) -> tuple[object, ...]:
    """Devices without the attribute last."""
    return (2,) if item[0] is None else _place_of(item[0])


def _place_of(value: Value) -> tuple[object, ...]:
    """Numbers by size, text by length first, so that g2 comes before g10; lists as they come."""
    kind, plain = value
    if kind is int and isinstance(plain, int):
        return (0, "", plain, "")
    text = "" if kind is tuple else _text(value)
    return (1, kind.__name__, len(text), text)


def _text(value: Value) -> str:
    kind, plain = value
    if kind is bool:
        return str(plain).lower()
    return str(plain)


def written(value: Value | None, attribute: str, offer: Offer) -> str:
    """A value for people: of a list that the release does not look into, what is in it."""
    if value is None or value[0] is not tuple:
        return "" if value is None else _text(value)
    own = values_of(offer.device, offer.driver, attribute)
    return f"[{', '.join(_text(one) for one in sorted(own, key=_place_of))}]{AS_A_WHOLE}"


def by_value(table: ValueTable) -> Mapping[tuple[tuple[int, ...], tuple[int, ...]], list[str]]:
    """The values whose rows say the same, together; those without the attribute are left out."""
    found: dict[tuple[tuple[int, ...], tuple[int, ...]], list[str]] = {}
    for row in table.rows:
        if row.value is not None:
            found.setdefault((row.free, row.all), []).append(row.value)
    return found
