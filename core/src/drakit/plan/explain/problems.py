"""What is wrong with selectors and names, whatever the node has free: selectors that fail, names nothing has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from attrs import frozen

from drakit.plan.cel import CelError, CelTypeError, Selector
from drakit.plan.cel.selector import compile_selector
from drakit.plan.errors import SelectorFailed
from drakit.plan.explain.edits import Place
from drakit.plan.explain.reading import Reading, readings, unguarded
from drakit.plan.explain.values import ValueTable
from drakit.plan.explain.words import shown
from drakit.plan.inspection import DeviceView, RequestView, Stage
from drakit.plan.requests import Option


@frozen(kw_only=True)
class Poison:
    """A selector that fails: the scheduler stops with the error as soon as it looks at one of these devices.

    `guarded` is the selector with a guard that keeps it from failing on all devices of the node, where one is known.
    """

    where: str
    expression: str
    device: str
    devices: int
    error: str
    hint: str = ""
    guarded: str | None = None


@frozen(kw_only=True)
class Misspelling:
    """A name that a selector or a constraint reads and no device seen has, with the nearest that one has.

    `claim` is the claim's place among those asked about.
    """

    claim: int
    where: str
    name: str
    nearest: str | None


def poisons(views: Sequence[RequestView]) -> tuple[Poison, ...]:
    """The selectors that fail on any device of the node, each once."""
    found: dict[tuple[str, str], Poison] = {}
    for view in views:
        failed: dict[int, list[DeviceView]] = {}
        for device in view.at(Stage.FAILED):
            failed.setdefault(_culprit(view.option, device), []).append(device)
        for place, devices in failed.items():
            if place >= 0:
                poison = _poison(view, place, devices)
                found.setdefault((poison.where, poison.expression), poison)
    return tuple(found.values())


def _culprit(option: Option, device: DeviceView) -> int:
    """The selector that fails on the device; -1 where it is none of them."""
    for place in range(len(option.criteria)):
        try:
            option.selector(place).matches_value(device.candidate.offer.value)
        except (CelError, SelectorFailed):
            return place
    return -1


def _poison(view: RequestView, place: int, devices: Sequence[DeviceView]) -> Poison:
    criterion, error = view.option.criteria[place], devices[0].error
    cause = error.__cause__ if error is not None else None
    hint, guarded = "", None
    try:
        selector = view.option.selector(place)
    except SelectorFailed:
        hint = _hint(cause)
    else:
        guarded = _guarded(selector, view.devices)
        hint = _hint(cause) if guarded is None else ""
    return Poison(
        where=criterion.where,
        expression=criterion.expression,
        device=str(devices[0].ref),
        devices=len(devices),
        error=cause.problem if isinstance(cause, CelError) else str(error),
        hint=hint,
        guarded=guarded,
    )


def _hint(cause: object) -> str:
    if isinstance(cause, CelTypeError):
        return "it does not compile: no device can ever match it"
    if isinstance(cause, CelError) and "no such overload" in cause.problem:
        return 'types differ: compare a version with semver("..."), a quantity with quantity("...")'
    return ""


def _guarded(selector: Selector, devices: Sequence[DeviceView]) -> str | None:
    """The selector behind a guard for each name that some device lacks; None where that does not help."""
    values = [one.candidate.offer.value for one in devices]
    lacking = dict.fromkeys(
        one.guard for one in unguarded(selector.root) if not all(one.within(value) for value in values)
    )
    if not lacking:
        return None
    written = f"{' && '.join(lacking)} && ({selector.expression.strip()}\n)"
    if "//" not in selector.expression:
        written = written.replace("\n)", ")")
    try:
        guarded = compile_selector(written)
        for value in values:
            guarded.matches_value(value)
    except CelError:
        return None
    return written


def misspellings(
    views: Sequence[RequestView], places: Sequence[Place], tables: Sequence[ValueTable]
) -> tuple[Misspelling, ...]:
    """Names in the selectors of requests and in constraints that no device has; none where no device is seen."""
    if not views or not views[0].devices:
        return ()
    found: list[Misspelling | None] = []
    for view, place in zip(views, places, strict=True):
        own = [number for number, criterion in enumerate(view.option.criteria) if criterion.otherwise]
        for index, number in enumerate(own):
            path = f"{place.judged_by(view.option.judge).path}.selectors[{index}]"
            found += (_misspelt(place.claim, path, one, view.devices) for one in _read_by(view, number))
    for table in tables:
        domain, _, name = table.attribute.partition("/")
        found.append(_misspelt(table.part[1], table.path, Reading("attributes", domain, name), views[0].devices))
    return tuple(dict.fromkeys(one for one in found if one is not None))


def _read_by(view: RequestView, number: int) -> Sequence[Reading]:
    """What a selector reads; what it provides for the absence of only where the request finds nothing at all."""
    try:
        root = view.option.selector(number).root
    except SelectorFailed:
        return ()
    nothing = all(one.stage in _UNSELECTED for one in view.devices)
    return tuple(readings(root)) if nothing else unguarded(root)


_UNSELECTED = frozenset({Stage.FAILED, Stage.NOT_IN_CLASS, Stage.NOT_SELECTED})


def _misspelt(claim: int, where: str, reading: Reading, devices: Sequence[DeviceView]) -> Misspelling | None:
    values = [one.candidate.offer.value for one in devices]
    if any(reading.within(value) for value in values):
        return None
    known = sorted({name for value in values for name in reading.names(value)})
    return Misspelling(claim=claim, where=where, name=str(reading), nearest=nearest(str(reading), known))


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that is most like this one: among those of its domain first. None where none is like it."""
    domain, slash, own = name.rpartition("/")
    beside = [one.rpartition("/")[2] for one in known if one.rpartition("/")[0] == domain]
    if close := difflib.get_close_matches(own, beside, n=1, cutoff=0.7):
        return f"{domain}{slash}{close[0]}"
    if same := [one for one in known if one.rpartition("/")[2] == own]:
        return same[0]
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.8)), None)


def renamed(expression: str, name: str, correct: str) -> str:
    """An expression that reads another name: `device.attributes["d"].x` becomes that of `correct`."""
    domain, _, own = name.rpartition("/")
    new_domain, _, new = correct.rpartition("/")
    pattern = re.compile(
        rf'(\[\s*)(["\']){re.escape(domain)}\2(\s*\]\s*)(?:(\.\??){re.escape(own)}\b|\[(["\']){re.escape(own)}\5\])'
    )
    plain = re.fullmatch(r"[A-Za-z_]\w*", new) is not None

    def correct_name(found: re.Match[str]) -> str:
        last = f"{found[4] or '.'}{new}" if plain else f'["{new}"]'
        return f'{found[1]}"{new_domain}"{found[3]}{last}'

    return pattern.sub(correct_name, expression)


def spelled(one: Misspelling) -> str:
    """The misspelling in words."""
    meant = f": did you mean {shown(one.nearest)}?" if one.nearest else ""
    return f"{shown(one.where)}: no device has {shown(one.name)}{meant}"
