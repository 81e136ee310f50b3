"""Changes to constraints: another attribute, lower counts for all requests under one, or none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from drakit.plan.explain.changes import Option
from drakit.plan.explain.editing import LATE, Words, edit, lower_count
from drakit.plan.explain.edits import Document
from drakit.plan.explain.reasons import Found
from drakit.plan.explain.values import ValueTable
from drakit.plan.explain.words import shown
from drakit.plan.inspection import RequestView, Stage

MOST = 6
"""So many other attributes are tried."""


def of_constraint(found: Found, table: ValueTable) -> Iterator[Option]:
    """Every change to one constraint that is worth a trial."""
    for attribute in _others(found, table):
        yield other_attribute(found, table, attribute, cost=4)
    yield from _lower_together(found, table)
    _, claim, index = table.part

    def drop(document: Document) -> None:
        del document["spec"]["devices"]["constraints"][index]

    text = f"drop the constraint {_kind(table)} {shown(table.attribute)}"
    made = edit(found.question, claim, Words(table.path, table.attribute, "", text), drop, LATE - index)
    yield Option(cost=6, subject=f"{claim}/{table.path}", steps=((made,),))


def _kind(table: ValueTable) -> str:
    return "matchAttribute" if table.matches else "distinctAttribute"


def other_attribute(found: Found, table: ValueTable, attribute: str, *, cost: int) -> Option:
    """A constraint on another attribute."""
    _, claim, index = table.part
    key = _kind(table)

    def change(document: Document) -> None:
        document["spec"]["devices"]["constraints"][index][key] = attribute

    text = f"{key}: {shown(attribute)} instead of {shown(table.attribute)}"
    made = edit(found.question, claim, Words(f"{table.path}.{key}", table.attribute, attribute, text), change)
    return Option(cost=cost, subject=f"{claim}/{table.path}", steps=((made,),))


def _others(found: Found, table: ValueTable) -> list[str]:
    """Attributes that usable devices of every request under a constraint have.

    Those whose name only differs in its numbers come first, as group8 for group4, the one with the most values before
    others: it asks the most. Of the rest, those that tell devices apart, by likeness.
    """
    members = [
        _attributes(view)
        for view, place in zip(found.views, found.places, strict=True)
        if place.claim == table.part[1] and table.part[2] in view.option.constraints
    ]
    common = set.intersection(*map(set, members)) - {table.attribute}
    values = {name: len(set.union(*(own[name] for own in members))) for name in common}
    kin = {name for name in common if _family(name) == _family(table.attribute)}

    def order(name: str) -> tuple[object, ...]:
        likeness = difflib.SequenceMatcher(None, name, table.attribute).ratio()
        return (name not in kin, -values[name] if name in kin else -likeness, name)

    return sorted((name for name in common if name in kin or values[name] > 1), key=order)[:MOST]


def _attributes(view: RequestView) -> dict[str, set[str]]:
    """The attributes of the devices that are usable for a request, with their values."""
    found: dict[str, set[str]] = {}
    for device in view.at(Stage.USABLE):
        for domain, inside in device.candidate.offer.value.attributes.items():
            for name, value in inside.items():
                found.setdefault(f"{domain}/{name}", set()).add(str(value))
    return found


def _family(attribute: str) -> str:
    return re.sub(r"\d+", "#", attribute)


def _lower_together(found: Found, table: ValueTable) -> Iterator[Option]:
    """The counts of all requests under a matchAttribute lowered to what one value has, the value that has the most."""
    needed = [one for one in table.needed if one is not None]
    if not table.matches or len(needed) < len(table.needed):
        return
    best: list[int] = []
    for row in table.rows:
        have = [min(free, count) for free, count in zip(row.free, needed, strict=True)]
        if row.value is not None and all(have) and sum(have) > sum(best):
            best = have
    fewer = [place for place, count in enumerate(best) if count < needed[place]]
    if len(fewer) > 1:
        stands = {
            view.option.label: place
            for view, place in zip(found.views, found.places, strict=True)
            if place.claim == table.part[1]
        }
        edits = tuple(
            lower_count(found.question, stands[table.requests[place]], needed[place], best[place]) for place in fewer
        )
        yield Option(cost=4, subject=" ".join(f"{table.part[1]}/{one.path}" for one in edits), steps=(edits,))
