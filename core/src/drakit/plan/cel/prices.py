"""What a function costs on actual values, in upstream's units: 1, or more where it looks through text or lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from drakit.plan.cel.values import Cidr

FREE_ON_CONSTANTS = frozenset({"int", "uint", "double", "string", "bytes", "bool", "dyn"})
"""Conversions, which upstream computes once where it can."""

Price = Callable[[Sequence[Any], Any], int]


def price(function: str, values: Sequence[Any], result: Any) -> int:
    """The price of one call that gave a result."""
    known = _PRICES.get(function)
    return 1 if known is None else known(values, result)


def size(value: Any) -> int:
    """The size upstream takes a value to have."""
    if isinstance(value, str | bytes | tuple | dict):
        return len(value)
    if isinstance(value, Cidr):
        return 4 if value.address.version == 4 else 16
    return 1


def _tenths(amount: int) -> int:
    return math.ceil(amount * 0.1)  # as upstream reckons: a tenth of 70 is a little more than 7


def _equality(values: Sequence[Any], _result: Any) -> int:
    return _tenths(min(map(size, values)))


def _sum(values: Sequence[Any], _result: Any) -> int:
    return _tenths(size(values[0]) + size(values[1])) if isinstance(values[0], str | bytes) else 1


def _traversal(values: Sequence[Any], _result: Any) -> int:
    return _weight(values[0])


def _weight(value: Any) -> int:
    """What it costs to look through a value: nothing for a short text, which is upstream's rounding."""
    if isinstance(value, str | bytes):
        return int(len(value) * 0.1)
    if isinstance(value, dict):
        return sum(_weight(key) + _weight(item) for key, item in value.items())
    return sum(map(_weight, value)) if isinstance(value, tuple) else 1


def _read(values: Sequence[Any], _result: Any) -> int:
    return _tenths(size(values[0]))


def _read_twice(values: Sequence[Any], _result: Any) -> int:
    return _tenths(2 * size(values[0]))


def _pattern(values: Sequence[Any], _result: Any) -> int:
    return _tenths(1 + size(values[0])) * -(-size(values[1]) // 4)


def _range(_values: Sequence[Any], result: Any) -> int:
    return 11 + size(result)


def _flatten(values: Sequence[Any], _result: Any) -> int:
    return 11 + size(values[0])


def _pairs(values: Sequence[Any], _result: Any) -> int:
    return 11 + 2 * size(values[0]) ** 2


def _sets(values: Sequence[Any], _result: Any) -> int:
    return 1 + size(values[0]) * size(values[1])


def _address(values: Sequence[Any], _result: Any) -> int:
    return 1 if isinstance(values[0], Cidr) else _tenths(size(values[0]))


def _contains_ip(values: Sequence[Any], _result: Any) -> int:
    return _tenths(2 * size(values[0])) + (_tenths(size(values[1])) if isinstance(values[1], str) else 0)


def _contains_cidr(values: Sequence[Any], result: Any) -> int:
    return _contains_ip(values, result) + _tenths(size(values[0])) + 1


def _convert(values: Sequence[Any], _result: Any) -> int:
    return _tenths(size(values[0])) if isinstance(values[0], str | bytes) else 1


def _free(_values: Sequence[Any], _result: Any) -> int:
    return 0


_PRICES: dict[str, Price] = {
    "_==_": _equality,
    "_!=_": _equality,
    "_+_": _sum,
    "@in_list": lambda values, _: size(values[1]),
    "startsWith": lambda values, _: _tenths(size(values[1])),
    "endsWith": lambda values, _: _tenths(size(values[1])),
    "contains": lambda values, _: _tenths(size(values[0])) * _tenths(size(values[1])),
    "join": lambda _, result: _tenths(2 * size(result)),
    "sets.equivalent": lambda values, _: 1 + 2 * size(values[0]) * size(values[1]),
    "ip": _address,
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "bytes": _convert,
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _equality),
    **dict.fromkeys(("matches", "find", "findAll"), _pattern),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf", "includes"), _traversal),
    **dict.fromkeys(("url", "lowerAscii", "upperAscii", "substring", "trim", "cidr", "isIP", "isCIDR"), _read),
    **dict.fromkeys(("quantity", "isQuantity", "semver", "isSemver", "format", "strings.quote"), _read),
    **dict.fromkeys(("replace", "split", "ip.isCanonical"), _read_twice),
    **dict.fromkeys(("lists.range", "slice"), _range),
    **dict.fromkeys(("flatten", "reverse"), _flatten),
    **dict.fromkeys(("sort", "distinct"), _pairs),
    **dict.fromkeys(("sets.contains", "sets.intersects"), _sets),
    **dict.fromkeys(("orValue", "or"), _free),
}
