"""Operators, conversions and optionals of the CEL specification."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from drakit.plan.cel.errors import CelRuntimeError
from drakit.plan.cel.library.overload import Overload, overload
from drakit.plan.cel.values import (
    INT_MAX,
    INT_MIN,
    NONE,
    UINT_MAX,
    CelType,
    Optional,
    UInt,
    contains,
    equal,
    family,
    has_key,
)


def as_int(value: int) -> int:
    """Check that an integer has 64 bits. Raises CelRuntimeError."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise CelRuntimeError("integer overflow")


def as_uint(value: int) -> UInt:
    """Check that an unsigned integer has 64 bits. Raises CelRuntimeError."""
    if 0 <= value <= UINT_MAX:
        return UInt(value)
    raise CelRuntimeError("unsigned integer overflow")


def _quotient(left: int, right: int) -> int:
    if right == 0:
        raise CelRuntimeError("division by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _remainder(left: int, right: int) -> int:
    if right == 0:
        raise CelRuntimeError("modulus by zero")
    return int(math.copysign(1, left)) * (abs(left) % abs(right))


def _float_quotient(left: float, right: float) -> float:
    if right:
        return left / right
    return math.nan if not left or math.isnan(left) else math.copysign(math.inf, left) * math.copysign(1, right)


def _parse_int(text: str) -> int:
    sign, digits = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 30:
        raise CelRuntimeError(f"{text!r} is not an integer")
    return as_int(int(sign + digits))


def _parse_uint(text: str) -> UInt:
    if not (text.isascii() and text.isdigit()) or len(text) > 30:
        raise CelRuntimeError(f"{text!r} is not an unsigned integer")
    return as_uint(int(text))


def _parse_float(text: str) -> float:
    try:
        return float(text.replace("_", "x"))
    except ValueError:
        raise CelRuntimeError(f"{text!r} is not a number") from None


def _float_to_int(value: float, lowest: int, highest: int) -> int:
    if math.isnan(value) or not lowest <= value < highest:
        raise CelRuntimeError("integer overflow")
    return int(value)


def _parse_bool(text: str) -> bool:
    if text in ("true", "True", "TRUE", "t", "1"):
        return True
    if text in ("false", "False", "FALSE", "f", "0"):
        return False
    raise CelRuntimeError(f"{text!r} is neither true nor false")


def _decode(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise CelRuntimeError("the bytes are not UTF-8") from None


def float_text(value: float) -> str:
    """A double as CEL prints it: the shortest digits, no trailing `.0`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    mantissa, exponent, power = repr(value).partition("e")
    return mantissa.removesuffix(".0") + exponent + power


def _arithmetic() -> list[Overload]:
    add, sub, mul = operator.add, operator.sub, operator.mul
    found = [
        overload("_/_(int, int) -> int", lambda a, b: as_int(_quotient(a, b))),
        overload("_/_(uint, uint) -> uint", lambda a, b: UInt(_quotient(a, b))),
        overload("_/_(double, double) -> double", _float_quotient),
        overload("_%_(int, int) -> int", _remainder),
        overload("_%_(uint, uint) -> uint", lambda a, b: UInt(_remainder(a, b))),
        overload("-_(int) -> int", lambda a: as_int(-a)),
        overload("-_(double) -> double", operator.neg),
        overload("_+_(string, string) -> string", add),
        overload("_+_(bytes, bytes) -> bytes", add),
        overload("_+_(list(A), list(A)) -> list(A)", add),
        overload("!_(bool) -> bool", operator.not_),
    ]
    for sign, compute in (("+", add), ("-", sub), ("*", mul)):
        found += [
            overload(f"_{sign}_(int, int) -> int", _bounded(as_int, compute)),
            overload(f"_{sign}_(uint, uint) -> uint", _bounded(as_uint, compute)),
            overload(f"_{sign}_(double, double) -> double", compute),
        ]
    return found


def _bounded(check: Callable[[int], int], compute: Callable[[int, int], int]) -> Callable[[int, int], int]:
    return lambda a, b: check(compute(int(a), int(b)))


def _orderings() -> list[Overload]:
    pairs = [(kind, kind) for kind in ("bool", "string", "bytes")]
    pairs += [(a, b) for a in ("int", "uint", "double") for b in ("int", "uint", "double")]
    signs: dict[str, Callable[[Any, Any], bool]] = {
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
    }
    return [overload(f"_{sign}_({a}, {b}) -> bool", compute) for sign, compute in signs.items() for a, b in pairs]


def _value(optional: Optional) -> Any:
    if not optional.present:
        raise CelRuntimeError("optional.none() dereference")
    return optional.value


def _of_non_zero(value: Any) -> Optional:
    empty = value is None or value in (False, 0, "", b"", (), {})
    return NONE if empty else Optional(value)


_EQUALITY = [
    overload("_==_(A, A) -> bool", equal),
    overload("_!=_(A, A) -> bool", lambda a, b: not equal(a, b)),
    overload("@in(A, list(A)) -> bool", lambda a, values: contains(values, a)),
    overload("@in(A, map(A, B)) -> bool", lambda a, mapping: has_key(mapping, a)),
]

_CONVERSIONS = [
    overload("int(int) -> int", lambda a: a),
    overload("int(uint) -> int", lambda a: as_int(int(a))),
    overload("int(double) -> int", lambda a: _float_to_int(a, INT_MIN, INT_MAX)),
    overload("int(string) -> int", _parse_int),
    overload("uint(uint) -> uint", lambda a: a),
    overload("uint(int) -> uint", as_uint),
    overload("uint(double) -> uint", lambda a: UInt(_float_to_int(a, 0, UINT_MAX))),
    overload("uint(string) -> uint", _parse_uint),
    overload("double(double) -> double", lambda a: a),
    overload("double(int) -> double", float),
    overload("double(uint) -> double", float),
    overload("double(string) -> double", _parse_float),
    overload("bool(bool) -> bool", lambda a: a),
    overload("bool(string) -> bool", _parse_bool),
    overload("string(string) -> string", lambda a: a),
    overload("string(int) -> string", str),
    overload("string(uint) -> string", str),
    overload("string(double) -> string", float_text),
    overload("string(bool) -> string", lambda a: "true" if a else "false"),
    overload("string(bytes) -> string", _decode),
    overload("bytes(bytes) -> bytes", lambda a: a),
    overload("bytes(string) -> bytes", lambda a: a.encode()),
    overload("dyn(A) -> dyn", lambda a: a),
    overload("type(A) -> type", lambda a: CelType(family(a))),
]

_SIZES = [
    overload(form.format(kind), measure)
    for kind, measure in (("string", len), ("bytes", len), ("list(A)", len), ("map(A, B)", len))
    for form in ("size({}) -> int", "<{}>.size() -> int")
]

_OPTIONALS = [
    overload("optional.of(A) -> Optional(A)", Optional),
    overload("optional.ofNonZeroValue(A) -> Optional(A)", _of_non_zero),
    overload("optional.none() -> Optional(A)", lambda: NONE),
    overload("<Optional(A)>.hasValue() -> bool", lambda a: a.present),
    overload("<Optional(A)>.value() -> A", _value),
    overload("<Optional(A)>.orValue(A) -> A", lambda a, other: a.value if a.present else other),
    overload("<Optional(A)>.or(Optional(A)) -> Optional(A)", lambda a, other: a if a.present else other),
]

OVERLOADS = [*_arithmetic(), *_orderings(), *_EQUALITY, *_CONVERSIONS, *_SIZES, *_OPTIONALS]

TYPE_NAMES = frozenset(
    (
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "list",
        "map",
        "null_type",
        "type",
        "optional_type",
    )
)
"""Names that stand for a type as a value, as in `type(x) == int`."""
