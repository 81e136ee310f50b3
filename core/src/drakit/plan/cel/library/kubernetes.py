"""Kubernetes' quantities and semantic versions, and `includes` of the DRA environment."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from drakit.errors import LimitExceeded
from drakit.model import Quantity, Version
from drakit.plan.cel.errors import CelRuntimeError
from drakit.plan.cel.library.collections import compare
from drakit.plan.cel.library.overload import Overload, overload
from drakit.plan.cel.values import INT_MAX, INT_MIN, contains, equal

MAX_INCLUDES = 48
"""The most values a list may have that `includes` looks through: a device cannot have more."""

_NANO = 10**9
_LOOSE_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?([-+].*)?", re.ASCII | re.DOTALL)


def _quantity(text: str) -> Quantity:
    try:
        return Quantity(text)
    except LimitExceeded:
        raise CelRuntimeError(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        ) from None


def _is_integer(value: Quantity) -> bool:
    return value.nanos % _NANO == 0 and INT_MIN <= value.nanos // _NANO <= INT_MAX


def _as_integer(value: Quantity) -> int:
    if not _is_integer(value):
        raise CelRuntimeError("cannot convert value to integer")
    return value.nanos // _NANO


def _from_nanos(nanos: int) -> Quantity:
    return Quantity(nanos // _NANO) if nanos % _NANO == 0 else Quantity(f"{nanos}n")


def _semver(text: str, normalize: bool = False) -> Version:  # noqa: FBT002 - CEL passes arguments by place
    try:
        return Version(_normalized(text) if normalize else text)
    except LimitExceeded:
        raise CelRuntimeError(f"{text!r} is not a semantic version") from None


def _normalized(text: str) -> str:
    """`v1.02` is `1.2.0`."""
    match = _LOOSE_VERSION.fullmatch(text)
    if match is None:
        return text
    numbers = [(part or "").lstrip("0") or "0" for part in match.group(1, 2, 3)]
    return ".".join(numbers) + (match[4] or "")


def _parses(convert: Callable[..., Any]) -> Callable[..., bool]:
    def attempt(*arguments: Any) -> bool:
        try:
            convert(*arguments)
        except CelRuntimeError:
            return False
        return True

    return attempt


def _number(place: int) -> Callable[[Version], int]:
    def pick(version: Version) -> int:
        release = version.precedence[0]
        assert isinstance(release, tuple)
        return int(release[place])

    return pick


def _includes(value: Any, wanted: Any) -> bool:
    if not isinstance(value, tuple):
        return equal(value, wanted)
    if len(value) > MAX_INCLUDES:
        raise CelRuntimeError(f"'includes' function cannot be applied to lists longer than {MAX_INCLUDES} values")
    return contains(value, wanted)


def _comparisons(kind: str) -> list[Overload]:
    return [
        overload(f"<{kind}>.isLessThan({kind}) -> bool", lambda a, b: a < b),
        overload(f"<{kind}>.isGreaterThan({kind}) -> bool", lambda a, b: a > b),
        overload(f"<{kind}>.compareTo({kind}) -> int", compare),
    ]


OVERLOADS = [
    overload("quantity(string) -> Quantity", _quantity),
    overload("isQuantity(string) -> bool", _parses(_quantity)),
    overload("<Quantity>.isInteger() -> bool", _is_integer),
    overload("<Quantity>.asInteger() -> int", _as_integer),
    overload("<Quantity>.asApproximateFloat() -> double", lambda value: value.nanos / _NANO),
    overload("<Quantity>.sign() -> int", lambda value: (value.nanos > 0) - (value.nanos < 0)),
    overload("<Quantity>.add(Quantity) -> Quantity", lambda a, b: _from_nanos(a.nanos + b.nanos)),
    overload("<Quantity>.add(int) -> Quantity", lambda a, b: _from_nanos(a.nanos + b * _NANO)),
    overload("<Quantity>.sub(Quantity) -> Quantity", lambda a, b: _from_nanos(a.nanos - b.nanos)),
    overload("<Quantity>.sub(int) -> Quantity", lambda a, b: _from_nanos(a.nanos - b * _NANO)),
    *_comparisons("Quantity"),
    overload("semver(string) -> Semver", _semver),
    overload("semver(string, bool) -> Semver", _semver),
    overload("isSemver(string) -> bool", _parses(_semver)),
    overload("isSemver(string, bool) -> bool", _parses(_semver)),
    overload("<Semver>.major() -> int", _number(0)),
    overload("<Semver>.minor() -> int", _number(1)),
    overload("<Semver>.patch() -> int", _number(2)),
    *_comparisons("Semver"),
    overload("<dyn>.includes(dyn) -> bool", _includes),
]
