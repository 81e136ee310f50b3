"""Lists and sets: CEL's list extension (version 3), its sets, and Kubernetes' own list functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from itertools import pairwise
from typing import Any

from drakit.model import Quantity, Version
from drakit.plan.cel.errors import CelRuntimeError
from drakit.plan.cel.library.overload import overload
from drakit.plan.cel.library.standard import as_int, as_uint
from drakit.plan.cel.values import NONE, Optional, UInt, contains, equal, no_overload

Values = tuple[Any, ...]

MAX_RANGE = 1_000_000
_ORDERED = (bool, int, UInt, float, str, bytes)


def compare(left: Any, right: Any) -> int:
    """-1, 0 or 1. Raises CelRuntimeError for values that have no order between them."""
    kind = type(left)
    if kind is not type(right) or kind not in (*_ORDERED, Version, Quantity):
        raise no_overload()
    return int(left > right) - int(left < right)


def sort_by(values: Values, keys: Values) -> Values:
    """The values in the order of their keys, equal ones as they were."""
    by_key = cmp_to_key(compare)
    order = sorted(range(len(values)), key=lambda index: by_key(keys[index]))
    return tuple(values[index] for index in order)


def _is_sorted(values: Values) -> bool:
    return all(compare(a, b) <= 0 for a, b in pairwise(values))


def _sum(values: Values) -> Any:
    if not values:
        return 0
    kind = type(values[0])
    if kind not in (int, UInt, float) or any(type(value) is not kind for value in values):
        raise no_overload()
    if kind is float:
        return sum(values)
    return as_uint(sum(values)) if kind is UInt else as_int(sum(values))


def _extreme(name: str, sign: int) -> Callable[[Values], Any]:
    def pick(values: Values) -> Any:
        if not values:
            raise CelRuntimeError(f"{name} called on empty list")
        best = values[0]
        for value in values[1:]:
            if compare(value, best) == sign:
                best = value
        return best

    return pick


def _index_of(values: Values, wanted: Any) -> int:
    return next((index for index, value in enumerate(values) if equal(value, wanted)), -1)


def _last_index_of(values: Values, wanted: Any) -> int:
    return next((index for index in range(len(values) - 1, -1, -1) if equal(values[index], wanted)), -1)


def _slice(values: Values, start: int, end: int) -> Values:
    if start < 0 or end < 0 or start > end or end > len(values):
        raise CelRuntimeError(f"cannot slice({start}, {end}), list is length {len(values)}")
    return values[start:end]


def _flatten(values: Values, levels: int = 1) -> Values:
    if levels < 0:
        raise CelRuntimeError("level must be non-negative")
    for _ in range(min(levels, 64)):
        if not any(isinstance(value, tuple) for value in values):
            break
        values = tuple(inner for value in values for inner in (value if isinstance(value, tuple) else (value,)))
    return values


def _distinct(values: Values) -> Values:
    found: list[Any] = []
    for value in values:
        if not contains(tuple(found), value):
            found.append(value)
    return tuple(found)


def _range(count: int) -> Values:
    if count > MAX_RANGE:
        raise CelRuntimeError("operation cancelled: actual cost limit exceeded")
    return tuple(range(count))


def _includes_all(values: Values, wanted: Values) -> bool:
    return all(contains(values, value) for value in wanted)


def _only(values: Values, index: int) -> Optional:
    return Optional(values[index]) if values else NONE


OVERLOADS = [
    overload("<list(A)>.isSorted() -> bool", _is_sorted),
    overload("<list(A)>.sum() -> A", _sum),
    overload("<list(A)>.min() -> A", _extreme("min", -1)),
    overload("<list(A)>.max() -> A", _extreme("max", 1)),
    overload("<list(A)>.indexOf(A) -> int", _index_of),
    overload("<list(A)>.lastIndexOf(A) -> int", _last_index_of),
    overload("<list(A)>.slice(int, int) -> list(A)", _slice),
    overload("<list(A)>.flatten() -> list(dyn)", _flatten),
    overload("<list(A)>.flatten(int) -> list(dyn)", _flatten),
    overload("<list(A)>.sort() -> list(A)", lambda values: sort_by(values, values)),
    overload("<list(A)>.distinct() -> list(A)", _distinct),
    overload("<list(A)>.reverse() -> list(A)", lambda values: values[::-1]),
    overload("<list(A)>.first() -> Optional(A)", lambda values: _only(values, 0)),
    overload("<list(A)>.last() -> Optional(A)", lambda values: _only(values, -1)),
    overload("lists.range(int) -> list(int)", _range),
    overload("sets.contains(list(A), list(A)) -> bool", _includes_all),
    overload("sets.intersects(list(A), list(A)) -> bool", lambda a, b: any(contains(a, value) for value in b)),
    overload("sets.equivalent(list(A), list(A)) -> bool", lambda a, b: _includes_all(a, b) and _includes_all(b, a)),
]
