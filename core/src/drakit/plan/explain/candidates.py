"""Changes that may help, made of what the claims ask for and what the devices of a node have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from attrs import evolve

from drakit.model import DeviceRef, Quantity, TaintEffect
from drakit.plan.allocated import Allocated
from drakit.plan.capacity import as_written
from drakit.plan.errors import SelectorFailed
from drakit.plan.explain.changes import Edit, Option
from drakit.plan.explain.editing import LATE, Words, at, edit, lower_count, who
from drakit.plan.explain.edits import Document, Place, places
from drakit.plan.explain.loosening import of_constraint, other_attribute
from drakit.plan.explain.problems import Misspelling, Poison, renamed
from drakit.plan.explain.question import Question
from drakit.plan.explain.reasons import Found
from drakit.plan.explain.selectors import Rewritten, rewritten
from drakit.plan.explain.splitting import splits_of
from drakit.plan.explain.words import counted, shown
from drakit.plan.inspection import RequestView, Stage
from drakit.plan.task import MAX_RESULTS

MOST = 6
"""So many taints, amounts and claims of a kind are tried."""


def options_of(found: Found, poisons: Sequence[Poison], misspelt: Sequence[Misspelling]) -> tuple[Option, ...]:
    """Every change worth a trial on one node."""
    own = tuple(zip(found.views, found.places, strict=True))
    return (
        *(option for poison in poisons for option in _guards(found, poison)),
        *(option for one in misspelt for option in _spelling(found, one)),
        *(option for view, place in own for option in _tolerations(found.question, view, place)),
        *splits_of(found.question),
        *counts_of(found.question),
        *(option for view, place in own for option in _less_capacity(found.question, view, place)),
        *(option for view, place in own for option in _fewer_than_all(found.question, view, place)),
        *(option for view, place in own for option in _selectors(found.question, view, place)),
        *(option for table in found.tables for option in of_constraint(found, table)),
        *_releases(found),
    )


def counts_of(question: Question) -> Iterator[Option]:
    """Lower counts. These need no devices to be looked at."""
    for place in places(question.claims):
        request = place.find(question.claims)
        count = request.get("count") or 1
        if request.get("allocationMode") != "All" and count > 1:
            lower = range(min(count - 1, MAX_RESULTS), 0, -1)
            steps = tuple((lower_count(question, place, count, fewer),) for fewer in lower)
            yield Option(cost=3, subject=f"{place.claim}/{place.path}.count", steps=steps)


def _tolerations(question: Question, view: RequestView, place: Place) -> Iterator[Option]:
    tolerated = view.option.request.tolerations
    taints = dict.fromkeys(
        (taint.key, taint.effect)
        for device in view.at(Stage.TAINTED)
        for taint in device.candidate.offer.device.taints
        if taint.effect is not TaintEffect.NONE and not any(one.tolerates(taint) for one in tolerated)
    )
    for key, effect in list(taints)[:MOST]:
        toleration = {"key": key, "operator": "Exists", "effect": str(effect)}
        words = Words(
            f"{place.path}.tolerations",
            "",
            f"key: {shown(key)}, operator: Exists, effect: {effect}",
            f"{who(question, place)}: tolerate the taint {shown(key)}:{effect}",
        )
        made = edit(question, place.claim, words, at(place, _added("tolerations", toleration)))
        yield Option(cost=2, subject=f"{place.claim}/{words.path}/{key}:{effect}", steps=((made,),))


def _added(key: str, entry: Any) -> Callable[[Document], None]:
    def change(request: Document) -> None:
        request[key] = [*(request.get(key) or ()), entry]

    return change


def _less_capacity(question: Question, view: RequestView, place: Place) -> Iterator[Option]:
    for name, wanted in view.option.request.capacity.requests.items():
        left = {
            whole.nanos - (device.candidate.consumed or {}).get(name, 0)
            for device in view.at(Stage.NO_ROOM)
            if (whole := device.candidate.offer.device.capacity.get(name)) is not None
        }
        amounts = sorted((one for one in left if 0 < one < wanted.nanos), reverse=True)[:MOST]
        steps = tuple((_amount(question, place, name, wanted, as_written(one, wanted)),) for one in amounts)
        if steps:
            yield Option(cost=3, subject=f"{place.claim}/{place.path}.capacity/{name}", steps=steps)


def _amount(question: Question, place: Place, name: str, wanted: Quantity, amount: Quantity) -> Edit:
    def change(request: Document) -> None:
        request["capacity"]["requests"][name] = str(amount)

    words = Words(
        f"{place.path}.capacity.requests[{shown(name)}]",
        str(wanted),
        str(amount),
        f"{who(question, place)}: ask for {amount} instead of {wanted} of {shown(name)}",
    )
    return edit(question, place.claim, words, at(place, change))


def _fewer_than_all(question: Question, view: RequestView, place: Place) -> Iterator[Option]:
    usable = min(len(view.at(Stage.USABLE)), MAX_RESULTS)
    if view.needed is None and usable:
        steps = tuple((_exactly(question, place, count),) for count in range(usable, 0, -1))
        yield Option(cost=4, subject=f"{place.claim}/{place.path}.count", steps=steps)


def _exactly(question: Question, place: Place, count: int) -> Edit:
    def change(request: Document) -> None:
        request.update(allocationMode="ExactCount", count=count)

    words = Words(
        f"{place.path}.allocationMode",
        "All",
        f"ExactCount, count: {count}",
        f"{who(question, place)}: ask for {count} instead of all (allocationMode: ExactCount, count: {count})",
    )
    return edit(question, place.claim, words, at(place, change))


def _selectors(question: Question, view: RequestView, place: Place) -> Iterator[Option]:
    devices = [device.candidate.offer.value for device in view.devices if device.stage is not Stage.NOT_IN_CLASS]
    own = [number for number, criterion in enumerate(view.option.criteria) if criterion.otherwise]
    for index, number in enumerate(own):
        try:
            selector = view.option.selector(number)
        except SelectorFailed:
            continue
        for one in rewritten(selector, devices):
            yield _selector(question, place.judged_by(view.option.judge), index, one)


def _selector(question: Question, place: Place, index: int, one: Rewritten) -> Option:
    path = f"{place.path}.selectors[{index}]"
    text = f"{shown(one.now)} instead of {shown(one.was)}" if one.now else f"drop the condition {shown(one.was)}"
    words = Words(path, one.was, one.now, f"{who(question, place)}: {text}")
    if one.expression:
        made = edit(question, place.claim, words, at(place, _expression(index, one.expression)))
    else:
        made = edit(question, place.claim, words, at(place, _without("selectors", index)), LATE - index)
    return Option(cost=4 if one.now else 6, subject=f"{place.claim}/{path}/{one.was}", steps=((made,),))


def _expression(index: int, text: str) -> Callable[[Document], None]:
    def change(request: Document) -> None:
        request["selectors"][index]["cel"]["expression"] = text

    return change


def _without(key: str, index: int) -> Callable[[Document], None]:
    def change(request: Document) -> None:
        del request[key][index]

    return change


def _guards(found: Found, poison: Poison) -> Iterator[Option]:
    """The guard of a selector of a request. That of a class is for whoever owns the class."""
    if poison.guarded is None:
        return
    for view, place in zip(found.views, found.places, strict=True):
        own = [one for one in view.option.criteria if one.otherwise]
        judge = place.judged_by(view.option.judge)
        for index, criterion in enumerate(own):
            if (criterion.where, criterion.expression) == (poison.where, poison.expression):
                words = Words(
                    f"{judge.path}.selectors[{index}]",
                    poison.expression,
                    poison.guarded,
                    f"{who(found.question, judge)}: guard the selector: {shown(poison.guarded)}",
                )
                made = edit(found.question, judge.claim, words, at(judge, _expression(index, poison.guarded)))
                yield Option(cost=1, subject=f"{place.claim}/{words.path}", steps=((made,),))


def _spelling(found: Found, one: Misspelling) -> Iterator[Option]:
    if one.nearest is None:
        return
    for place in places(found.question.claims):
        for index, selector in enumerate(place.find(found.question.claims).get("selectors") or ()):
            path, text = f"{place.path}.selectors[{index}]", selector["cel"]["expression"]
            correct = renamed(text, one.name, one.nearest)
            if (place.claim, path) == (one.claim, one.where) and correct != text:
                said = f"{who(found.question, place)}: read {shown(one.nearest)} instead of {shown(one.name)}"
                words = Words(path, text, correct, said)
                made = edit(found.question, place.claim, words, at(place, _expression(index, correct)))
                yield Option(cost=1, subject=f"{place.claim}/{path}", steps=((made,),))
    for table in found.tables:
        if (table.part[1], table.path) == (one.claim, one.where):
            yield other_attribute(found, table, one.nearest, cost=1)


def _releases(found: Found) -> Iterator[Option]:
    """Devices that other claims would give back."""
    question = found.question
    held = question.allocated.every
    here = {device.ref for view in found.views for device in view.devices if device.ref in held}
    by_holder: dict[str, list[DeviceRef]] = {}
    for ref in sorted(here, key=str):
        if ref in question.holders:
            by_holder.setdefault(question.holders[ref], []).append(ref)
    for holder, refs in sorted(by_holder.items(), key=lambda item: (len(item[1]), item[0]))[:MOST]:
        text = f"once {shown(holder)} gives back {counted(len(refs), 'device')}"
        yield Option(cost=5, subject=f"held by {holder}", steps=((_release(text, refs),),))
    pools = {(pool.driver, pool.name) for pool in found.task.pools}
    every = [ref for ref in held if (ref.driver, ref.pool) in pools]
    if every:
        text = "once nothing else is in use there, or on an empty node like it"
        yield Option(cost=7, subject="held by anyone", steps=((_release(text, every),),))


def _release(text: str, refs: Iterable[DeviceRef]) -> Edit:
    freed = frozenset(refs)

    def apply(question: Question) -> Question:
        held = question.allocated
        left = Allocated(
            devices=held.devices - freed,
            shares=held.shares - freed,
            consumed={ref: amounts for ref, amounts in held.consumed.items() if ref not in freed},
        )
        return evolve(question, allocated=left)

    return Edit(claim="", path="", was="", now="", text=text, apply=apply)
