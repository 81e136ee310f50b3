"""Kubernetes quantities: `80Gi`, `500m`, `1e3`.

The format is that of apimachinery's `resource.Quantity`: a decimal number with a binary suffix, a decimal suffix or
an exponent, of a resolution of 1e-9; finer values round away from zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_UP, Context, Decimal
from functools import lru_cache, total_ordering

from attrs import field, frozen

from drakit.errors import LimitExceeded

FORMAT = r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?P<suffix>[KMGTPE]i|[numkMGTPE]|(?:[eE][+-]?\d{1,3}))?"
_PATTERN = re.compile(FORMAT, re.ASCII)
_BINARY = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", start=1)}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_STEPS = [*((factor, suffix) for suffix, factor in reversed(_BINARY.items())), (1, "")]
_DECIMAL_STEPS = [
    (10 ** (power + 9), suffix) for suffix, power in sorted({"": 0, **_DECIMAL}.items(), key=lambda one: -one[1])
]
_EXPONENT_STEPS = [(10 ** (power + 9), f"e{power}" if power else "") for power in range(18, -10, -3)]
"""Of each way to write a quantity the units with their suffixes, the largest first."""
_EXACT = Context(prec=400)
_LIMIT_NANOS = (2**63 - 1) * 10**9


@total_ordering
@frozen(eq=False, init=False, repr=False)
class Quantity:
    """A quantity as it was written. Equal, ordered and hashed by value: `Quantity("1Gi") == Quantity(2**30)`."""

    text: str
    nanos: int = field(repr=False)

    def __init__(self, value: str | int | Quantity) -> None:
        if isinstance(value, bool) or not isinstance(value, str | int | Quantity):
            raise LimitExceeded("Quantity", "must be an integer or a string such as '80Gi'", value)
        text, nanos = (value.text, value.nanos) if isinstance(value, Quantity) else _parse(value)
        self.__attrs_init__(text, nanos)

    @property
    def canonical(self) -> str:
        """The quantity as an API server writes it: `1024Mi` is `1Gi`, `1000` is `1k`, `0.5` is `500m`."""
        suffix = _PATTERN.fullmatch(self.text)["suffix"] or ""  # type: ignore[index] # it was matched when it was made
        whole, rest = divmod(abs(self.nanos), 10**9)
        if suffix in _BINARY and whole >= 1024 and not rest:
            return _shortened(self.nanos // 10**9, _BINARY_STEPS)
        exponents = suffix not in _DECIMAL and suffix[:1] in ("e", "E")
        return _shortened(self.nanos, _EXPONENT_STEPS if exponents else _DECIMAL_STEPS)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nanos == other.nanos

    def __lt__(self, other: Quantity) -> bool:
        if not isinstance(other, Quantity):
            return NotImplemented
        return self.nanos < other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Quantity({self.text!r})"


@lru_cache(maxsize=4096)
def _parse(value: str | int) -> tuple[str, int]:
    if isinstance(value, int):
        return str(value), _capped(value * 10**9)
    match = _PATTERN.fullmatch(value)
    if match is None:
        raise LimitExceeded("Quantity", "must be a number with an optional suffix such as Gi, M or m", value)
    number, suffix = Decimal(match["number"]), match["suffix"] or ""
    if suffix in _BINARY:
        exact = _EXACT.multiply(number, Decimal(_BINARY[suffix]))
    else:
        power = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:] or 0) if suffix else 0
        exact = number.scaleb(power, _EXACT)
    nanos = int(exact.scaleb(9, _EXACT).to_integral_value(ROUND_UP))
    return value, _capped(nanos)


def _capped(nanos: int) -> int:
    return max(-_LIMIT_NANOS, min(_LIMIT_NANOS, nanos))


def _shortened(value: int, steps: Iterable[tuple[int, str]]) -> str:
    """A number in the largest unit that leaves no fraction."""
    if not value:
        return "0"
    return next(f"{value // unit}{suffix}" for unit, suffix in steps if value % unit == 0)
