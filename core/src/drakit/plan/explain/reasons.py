"""Why claims cannot be met: the smallest part of them that cannot be met by itself, and what is short there."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from attrs import evolve, frozen

from drakit.plan.explain.edits import Part, Place, covered, only, parts
from drakit.plan.explain.question import Answer, Question, Trials
from drakit.plan.explain.values import ValueTable
from drakit.plan.explain.words import joined, shown
from drakit.plan.inspection import RequestView, Stage
from drakit.plan.task import Task

SHORT = 6
"""A reason of more parts than this explains nothing."""


class ReasonKind(enum.Enum):
    """What the parts of a reason are: one request, what one constraint is over, or what only fails together."""

    REQUEST = "one request alone"
    CONSTRAINT = "one constraint"
    TOGETHER = "several together"


@frozen(kw_only=True)
class Reason:
    """Parts of the claims that cannot be met, though they can without any one of them. `text` says what is short.

    `exact` is false where some trial had no answer: then a smaller reason may exist.
    """

    kind: ReasonKind
    parts: tuple[Part, ...]
    text: str
    exact: bool = True

    @property
    def short(self) -> bool:
        """Whether there are so few parts that naming them helps."""
        return len(self.parts) <= SHORT


@frozen(kw_only=True, eq=False)
class Found:
    """What is known of the claims on one node; `places` says where in the claims each view's request stands."""

    question: Question
    task: Task
    views: tuple[RequestView, ...]
    places: tuple[Place, ...]
    tables: tuple[ValueTable, ...]


def reasons_of(found: Found, trials: Trials) -> tuple[Reason, ...]:
    """The reasons: every request that fails alone; else every constraint that does; else what fails together."""
    claims = found.question.claims
    every = parts(claims)
    kinds: tuple[tuple[ReasonKind, Callable[[Part], list[Part]]], ...] = (
        (ReasonKind.REQUEST, lambda part: [part]),
        (ReasonKind.CONSTRAINT, lambda part: [part, *covered(claims, part)]),
    )
    for kind, of in kinds:
        name = kind.name.lower()
        reasons = [one for part in every if part[0] == name and (one := _smallest(found, of(part), kind, trials))]
        if reasons:
            return tuple(dict.fromkeys(reasons))
    together = _smallest(found, every, ReasonKind.TOGETHER, trials)
    return (together,) if together else ()


def _smallest(found: Found, kept: list[Part], kind: ReasonKind, trials: Trials) -> Reason | None:
    """The parts that are left once no single one can be left out; None if it is not certain that they fail."""

    def refused(some: Sequence[Part]) -> bool | None:
        answer = trials.ask(evolve(found.question, claims=only(found.question.claims, some)))
        return None if answer is Answer.UNKNOWN else answer.refuses

    if not refused(kept):
        return None
    constraints = [part for part in kept if part[0] == "constraint"]
    without = [part for part in kept if part not in constraints]
    if len(constraints) > 1 and without and refused(without):
        kept = without
    kept = _dropped(kept, refused)
    certain = all(refused([one for one in kept if one != part]) is False for part in kept)
    left_kind = ReasonKind.TOGETHER if kind is ReasonKind.CONSTRAINT and kept[0][0] != "constraint" else kind
    return Reason(kind=left_kind, parts=tuple(kept), text=_text(found, kept), exact=certain)


def _dropped(kept: list[Part], refused: Callable[[Sequence[Part]], bool | None]) -> list[Part]:
    """Leave out one part after another as long as what is left is refused; again, until nothing changes."""
    while True:
        before = len(kept)
        for part in list(kept):
            rest = [one for one in kept if one != part]
            if rest and refused(rest):
                kept = rest
        if len(kept) == before:
            return kept


def _text(found: Found, kept: Sequence[Part]) -> str:
    requests = [part for part in kept if part[0] == "request"]
    constraints = [part for part in kept if part[0] == "constraint"]
    if len(kept) == 1:
        own = _views(found, requests[0])
        several = len(found.question.claims) > 1
        return _of_request(own) + (f" (claim {shown(own[0].claim)})" if several else "")
    if not constraints:
        return _of_requests(found, requests)
    if len(constraints) == 1:
        return _of_constraint(found, constraints[0], [view for part in requests for view in _views(found, part)])
    names = dict.fromkeys(_name(found, part) for part in requests)
    attributes = dict.fromkeys(
        found.task.ask.claims[number].constraints[index].spec.attribute for _, number, index in constraints
    )
    who = f"request{'s' * (len(names) > 1)} {joined(names)}"
    under = f"the {len(constraints)} constraints on {' and '.join(map(shown, attributes))}"
    return f"{who} cannot be met under {under} at once, though under any fewer of them"


def _views(found: Found, part: Part) -> list[RequestView]:
    """The alternatives of one request."""
    places = zip(found.views, found.places, strict=True)
    return [view for view, place in places if (place.claim, place.request) == part[1:]]


def _name(found: Found, part: Part) -> str:
    return _views(found, part)[0].option.name


def _of_request(own: Sequence[RequestView]) -> str:
    texts = []
    for view in own:
        usable = len(view.at(Stage.USABLE))
        label = f"request '{shown(view.option.label)}'"
        if view.needed is None:
            if view.at(Stage.FAILED):
                texts.append(f"{label} asks for all devices, and a selector fails on one")
            elif not usable:
                texts.append(f"{label} asks for all devices, and none is usable")
            else:
                texts.append(f"{label} asks for all devices, and not all of them are free and usable")
        elif view.needed > usable:
            texts.append(f"{label} needs {view.needed}, {usable or 'none'} usable")
        elif view.at(Stage.FAILED):
            texts.append(f"{label} has a selector that fails on a device before enough are found")
        else:
            texts.append(f"{label} needs {view.needed}, {usable} usable, but not at once{_counters(own)}")
    return "; ".join(texts)


def _of_requests(found: Found, requests: Sequence[Part]) -> str:
    names = dict.fromkeys(_name(found, part) for part in requests)
    views = [_views(found, part) for part in requests]
    own = [view for of_one in views for view in of_one]
    union = {device.ref for view in own for device in view.at(Stage.USABLE)}
    needed = sum(min(view.needed or 1 for view in of_one) for of_one in views)
    if needed > len(union):
        return (
            f"requests {joined(names)} need {needed} different devices together, and only {len(union)} are usable for "
            "any of them"
        )
    return f"requests {joined(names)} cannot be met together, though each can alone{_counters(own)}"


def _counters(own: Sequence[RequestView]) -> str:
    counted = any(device.candidate.offer.draws for view in own for device in view.at(Stage.USABLE))
    return ": their devices draw on the same counters" if counted else ""


def _of_constraint(found: Found, part: Part, own: Sequence[RequestView]) -> str:
    table = next(one for one in found.tables if one.part == part)
    labels = {view.option.label for view in own}
    members = [place for place, label in enumerate(table.requests) if label in labels]
    if table.matches:
        return _of_match(table, members)
    values = sum(row.value is not None and any(row.free[at] for at in members) for row in table.rows)
    needed = sum(table.needed[at] or 1 for at in members)
    who = joined(table.requests[at] for at in members)
    lack = f"; the usable devices have {values}" if needed > values else ""
    return f"{who} must have {needed} different values of {shown(table.attribute)}{lack}"


def _of_match(table: ValueTable, members: Sequence[int]) -> str:
    rows = [row for row in table.rows if row.value is not None]
    attribute = shown(table.attribute)
    if not any(row.free[at] for row in rows for at in members):
        return f"no usable device has {attribute}, which {joined(table.requests[at] for at in members)} must agree on"
    for at in members:
        best = max(row.free[at] for row in rows)
        if (table.needed[at] or 1) > best:
            wanted = (
                f"'{shown(table.requests[at])}' needs {table.needed[at] or 'all'} devices of one value of {attribute}"
            )
            return f"{wanted}, and no value has more than {best} usable"

    def lacking(free: Sequence[int]) -> int:
        return sum(max(0, (table.needed[at] or 1) - free[at]) for at in members)

    nearest = min(rows, key=lambda row: lacking(row.free))
    short = [
        f"'{shown(table.requests[at])}' needs {table.needed[at]}, {nearest.free[at]} usable"
        for at in members
        if (table.needed[at] or 1) > nearest.free[at]
    ]
    who = joined(table.requests[at] for at in members)
    if not short:
        return f"{who} cannot all be met with one value of {attribute}"
    return f"no value of {attribute} has enough for {who}; nearest is {shown(nearest.value)}: {', '.join(short)}"
