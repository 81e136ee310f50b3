"""How claims that are met came to their devices: which, what was passed over before them, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from attrs import frozen

from drakit.model import DeviceRef
from drakit.plan.allocator import Verdict
from drakit.plan.explain.funnel import taints_of
from drakit.plan.explain.reasons import Found
from drakit.plan.explain.values import written
from drakit.plan.explain.words import listed, shown
from drakit.plan.inspection import RequestView, Stage


@frozen(kw_only=True)
class Given:
    """What one request was given, in order. `passed` are the devices before the last of them that were not taken.

    Each is said with why: the first solution in the order of devices is taken, so that a device that was usable and
    comes earlier is one with which the rest could not be met. `instead_of` are the alternatives that came first.
    """

    claim: str
    request: str
    devices: tuple[DeviceRef, ...]
    usable: int
    passed: tuple[str, ...]
    common: Mapping[str, str]
    instead_of: tuple[str, ...]


def given_of(verdict: Verdict, found: Found, holders: Mapping[DeviceRef, str]) -> tuple[Given, ...]:
    """What each request of the claims was given on the first of the nodes."""
    chosen = verdict.chosen or ()
    bounds = dict.fromkeys((choice.claim, choice.bound) for choice in chosen)
    return tuple(_given(claim, bound.option.label, verdict, found, holders) for claim, bound in bounds)


def _given(claim: int, label: str, verdict: Verdict, found: Found, holders: Mapping[DeviceRef, str]) -> Given:
    chosen = verdict.chosen or ()
    own = [one.place for one in chosen if one.claim == claim and one.bound.option.label == label]
    taken = {one.place for one in chosen}
    view = next(
        view
        for view, place in zip(found.views, found.places, strict=True)
        if place.claim == claim and view.option.label == label
    )
    before = [view.devices[place] for place in range(max(own)) if place not in taken]
    reasons = Counter(
        _why(one.stage, holders.get(one.ref), taints_of(one))
        for one in before
        if one.stage not in (Stage.NOT_IN_CLASS, Stage.OTHER_NODE)
    )
    others = Counter(place for place in taken if place < max(own) and place not in own)
    elsewhere = sum(view.devices[place].stage is Stage.USABLE for place in others)
    passed = [f"{count} {text}" for text, count in reasons.items()]
    if elsewhere:
        passed.append(f"{elsewhere} taken by other requests of the pod")
    return Given(
        claim=view.claim,
        request=label,
        devices=tuple(found.task.candidates[place].ref for place in own),
        usable=len(view.at(Stage.USABLE)),
        passed=tuple(passed),
        common=dict(_common(claim, view, own, found)),
        instead_of=tuple(_earlier(claim, view, found)),
    )


def _why(stage: Stage, holder: str | None, taints: tuple[str, ...]) -> str:
    match stage:
        case Stage.USABLE:
            return "usable, but with it the rest could not be met"
        case Stage.IN_USE if holder is not None:
            return f"in use by {shown(holder)}"
        case Stage.TAINTED:
            return f"tainted ({listed(taints)})"
    return str(stage.value)


def _common(claim: int, view: RequestView, own: list[int], found: Found) -> Iterator[tuple[str, str]]:
    """What the devices have in common for the sake of a matchAttribute."""
    for number in view.option.constraints:
        constraint = found.task.ask.claims[claim].constraints[number]
        if constraint.spec.match_attribute is None:
            continue
        shared = frozenset.intersection(*(constraint.values(found.task.candidates[place]) for place in own))
        attribute, first = constraint.spec.attribute, found.task.candidates[own[0]].offer
        yield attribute, listed(sorted(written(value, attribute, first) for value in shared))


def _earlier(claim: int, view: RequestView, found: Found) -> Iterator[str]:
    """The alternatives of the request that come before the one that was met, and what they lack."""
    for other, place in zip(found.views, found.places, strict=True):
        if place.claim != claim or other.option.name != view.option.name:
            continue
        if other is view:
            return
        usable = len(other.at(Stage.USABLE))
        lack = f"needs {'all' if other.needed is None else other.needed}, {usable} usable"
        met = other.needed is not None and usable >= other.needed
        yield f"{shown(other.option.label)}: {'cannot be met with the rest' if met else lack}"
