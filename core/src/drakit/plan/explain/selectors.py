"""Selectors with one condition changed: left out, or with a value that devices have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from attrs import frozen

from drakit.model import Quantity, Version
from drakit.plan.cel import CelError, CelRuntimeError, Conjunct, Selector, conjuncts
from drakit.plan.cel.ast import Call, Literal, Node
from drakit.plan.cel.selector import compile_selector
from drakit.plan.cel.values import DeviceValue

MOST_VALUES = 3
"""So many values that devices have are tried in place of the one that was asked for."""


@frozen
class Rewritten:
    """A selector with one condition changed; an empty `expression` leaves it out. `now`: the condition as it is now."""

    was: str
    now: str
    expression: str


def rewritten(selector: Selector, devices: Sequence[DeviceValue]) -> Iterator[Rewritten]:
    """Every condition that some device does not meet, with values that devices have, then left out."""
    every = conjuncts(selector)
    for place, one in enumerate(every):
        against = [device for device in devices if not _holds(one, device)]
        if not against:
            continue
        for text in _with_values(one, against):
            yield from _whole(every, place, text)
        yield from _whole(every, place, "")


def _holds(conjunct: Conjunct, device: DeviceValue) -> bool:
    try:
        return conjunct.verdict(device)
    except CelRuntimeError:
        return False


def _whole(every: Sequence[Conjunct], place: int, text: str) -> Iterator[Rewritten]:
    parts = [text if number == place else one.text for number, one in enumerate(every)]
    # A comment would hide what follows it, so that each condition has a line of its own then.
    glue = "\n&& " if any("//" in part for part in parts) else " && "
    expression = glue.join(part for part in parts if part)
    if expression and not _compiles(expression):
        return
    yield Rewritten(every[place].text, text, expression)


def _compiles(expression: str) -> bool:
    try:
        compile_selector(expression)
    except CelError:
        return False
    return True


def _with_values(conjunct: Conjunct, devices: Sequence[DeviceValue]) -> Iterator[str]:
    """The condition with another constant in it: those that most devices have, or the largest that there is."""
    found = _constant(conjunct.root)
    if found is None or len(conjunct.references) != 1:
        return
    literal, quoted = found
    values = Counter(
        value for device in devices for value in conjunct.operands(device).values() if isinstance(value, _SIMPLE)
    )
    ordered = sorted(values.items(), key=lambda item: (-item[1], str(item[0])))
    written = next((one for one in _spellings(literal.value) if conjunct.text.count(one) == 1), None)
    if written is None:
        return
    for value, _ in ordered[:MOST_VALUES]:
        if (text := _as(value, quoted=quoted)) is not None and text != written:
            yield conjunct.text.replace(written, text)


_SIMPLE = (str, bool, int, Quantity, Version)


def _constant(root: Node) -> tuple[Literal, bool] | None:
    """The one constant of a comparison that decides, and whether it is the text in `quantity(...)` or the like."""
    if not isinstance(root, Call) or root.function not in _COMPARISONS:
        return None
    inside = [literal for literal in _literals(root) if not (literal.value == 0 and _compares(root))]
    if len(inside) != 1:
        return None
    wrapped = any(isinstance(node, Call) and node.function in ("quantity", "semver") for node in _calls(root))
    return inside[0], wrapped


_COMPARISONS = frozenset({"_==_", "_<_", "_<=_", "_>_", "_>=_", "isGreaterThan", "isLessThan", "startsWith"})


def _calls(node: Node) -> Iterator[Call]:
    if isinstance(node, Call):
        yield node
    for part in node.parts():
        yield from _calls(part)


def _compares(root: Node) -> bool:
    return any(one.function == "compareTo" for one in _calls(root))


def _literals(node: Node) -> Iterator[Literal]:
    """Constants, but for the names of domains and attributes."""
    if isinstance(node, Literal):
        yield node
    elif isinstance(node, Call):
        for part in node.parts():
            yield from _literals(part)


def _written(value: object) -> str | None:
    match value:
        case bool():
            return str(value).lower()
        case str() if value.isprintable() and not set(value) & set("\"'\\"):
            return f'"{value}"'
        case int():
            return str(value)
    return None


def _spellings(value: object) -> tuple[str, ...]:
    """How a constant may be written."""
    text = _written(value)
    if text is None:
        return ()
    return (text, f"'{value}'") if isinstance(value, str) else (text,)


def _as(value: object, *, quoted: bool) -> str | None:
    """A device's value as a constant: in a function such as quantity it is text."""
    if isinstance(value, Quantity | Version):
        return _written(value.text) if quoted else None
    return None if quoted else _written(value)
