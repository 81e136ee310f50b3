"""The most that a function may cost, by what is known of its arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from attrs import frozen

from drakit.plan.cel.types import DYN, Type

ANY = 2**64 - 1
"""No limit is known."""


@frozen
class Known:
    """What is known of a value: how large it can be (None: nothing), where it is read from, and its type."""

    size: int | None = None
    path: tuple[str, ...] = ()
    key_size: int | None = None
    value_size: int | None = None
    kind: Type = DYN
    literal: object = None

    @property
    def most(self) -> int:
        """The size it can have."""
        return ANY if self.size is None else self.size


def plus(*amounts: int) -> int:
    """The sum, up to ANY."""
    return min(ANY, sum(amounts))


def times(left: int, right: int) -> int:
    """The product, up to ANY."""
    return min(ANY, left * right)


def part(amount: int, factor: float) -> int:
    """A part of an amount, rounded up: as upstream reckons, in floating point."""
    return min(ANY, math.ceil(amount * factor))


def ceiling(function: str, values: Sequence[Known]) -> tuple[int, Known]:
    """The most a call may cost beside its arguments, and what is known of its result."""
    known = _CEILINGS.get(function)
    return (1, Known()) if known is None else known(values)


def _read(values: Sequence[Known]) -> tuple[int, Known]:
    return part(values[0].most, 0.1), Known()


def _read_and_kept(values: Sequence[Known]) -> tuple[int, Known]:
    return part(values[0].most, 0.1), Known(size=values[0].most)


def _second(values: Sequence[Known]) -> tuple[int, Known]:
    return part(values[1].most, 0.1), Known()


def _pattern(values: Sequence[Known]) -> tuple[int, Known]:
    return times(part(plus(values[0].most, 1), 0.1), part(values[1].most, 0.25)), Known()


def _found(values: Sequence[Known]) -> tuple[int, Known]:
    return _pattern(values)[0], Known(size=values[0].most)


def _contains(values: Sequence[Known]) -> tuple[int, Known]:
    return times(part(values[0].most, 0.1), part(values[1].most, 0.1)), Known()


_STEADY = ("kubernetes.Quantity", "kubernetes.Semver", "net.IP", "net.CIDR")


def _equality(values: Sequence[Known]) -> tuple[int, Known]:
    if values[0].kind == values[1].kind and values[0].kind.name in _STEADY:
        return 1, Known()
    return part(min(value.most for value in values), 0.1), Known()


def _order(values: Sequence[Known]) -> tuple[int, Known]:
    names = {value.kind.name for value in values}
    if names & {"int", "uint", "double", "bool"}:
        return 1, Known()
    return max(names == {"dyn"}, part(min(value.most for value in values), 0.1)), Known()


def _sum(values: Sequence[Known]) -> tuple[int, Known]:
    names = {value.kind.name for value in values}
    size = plus(values[0].most, values[1].most)
    entries = [value.value_size for value in values]
    inside = None if None in entries else max(entry or 0 for entry in entries)
    if names & {"int", "uint", "double"}:
        return 1, Known()
    if "list" in names:
        return 1, Known(size=size, key_size=1, value_size=inside)
    return max(names == {"dyn"}, part(size, 0.1)), Known(size=size)


def _within(values: Sequence[Known]) -> tuple[int, Known]:
    return (1 if values[1].kind.name == "map" else max(1, values[1].most)), Known()


def _traversal(values: Sequence[Known]) -> tuple[int, Known]:
    target = values[0]
    if target.kind.name != "list":
        return part(target.most, 0.1), Known()
    inside = target.kind.parameters[0].name
    element = plus(1, part(ANY, 0.1)) if inside in ("string", "bytes") else 1
    return times(target.most, element), Known()


def _includes(values: Sequence[Known]) -> tuple[int, Known]:
    return _traversal(values) if values[0].kind.name == "list" else (values[0].most, Known())


def _replace(values: Sequence[Known]) -> tuple[int, Known]:
    text, old, new = values[:3]
    if not isinstance(old.literal, str):
        grown = plus(times(plus(text.most, 1), new.most), text.most)
    elif new.most <= len(old.literal):
        grown = text.most
    elif old.literal:
        grown = times(math.ceil(text.most / len(old.literal)), new.most)
    else:
        grown = plus(times(plus(text.most, 1), new.most), text.most)
    return part(text.most, 0.2), Known(size=grown)


def _split(values: Sequence[Known]) -> tuple[int, Known]:
    most = values[0].most
    if len(values) > 2 and isinstance(values[2].literal, int):
        most = values[2].literal
    return part(values[0].most, 0.2), Known(size=most)


def _join(values: Sequence[Known]) -> tuple[int, Known]:
    target = values[0]
    size = times(target.most, target.value_size or ANY) if target.kind.name == "list" else 0
    if len(values) > 1:
        size = plus(size, times(values[1].most, max(target.most - 1, 0)))
    return part(size, 0.1), Known(size=size)


def _address(values: Sequence[Known]) -> tuple[int, Known]:
    return (1, Known()) if values[0].kind.name == "net.CIDR" else _read(values)


def _inside_cidr(least: int) -> Callable[[Sequence[Known]], tuple[int, Known]]:
    def cost(values: Sequence[Known]) -> tuple[int, Known]:
        extra = part(values[1].most, 0.1) if values[1].kind.name in ("string", "dyn") else 0
        return plus(least, extra), Known()

    return cost


def _sets(factor: int) -> Callable[[Sequence[Known]], tuple[int, Known]]:
    return lambda values: (plus(1, times(factor, times(values[0].most, values[1].most))), Known())


def _copied(values: Sequence[Known]) -> tuple[int, Known]:
    return plus(11, values[0].most), Known(size=values[0].most, value_size=values[0].value_size)


def _sliced(values: Sequence[Known]) -> tuple[int, Known]:
    start, end = values[1].literal, values[2].literal
    size = end - start if isinstance(start, int) and isinstance(end, int) else values[0].most
    return plus(11, size), Known(size=size)


def _ranged(values: Sequence[Known]) -> tuple[int, Known]:
    size = values[0].literal if isinstance(values[0].literal, int) else ANY
    return plus(11, size), Known(size=size)


def _paired(values: Sequence[Known]) -> tuple[int, Known]:
    return plus(11, times(2, times(values[0].most, values[0].most))), Known(size=values[0].most)


def _text(values: Sequence[Known]) -> tuple[int, Known]:
    return (max(1, part(values[0].most, 0.1)) if values[0].kind.name in ("dyn", "bytes") else 1), Known()


def _same(values: Sequence[Known]) -> tuple[int, Known]:
    return 1, values[0]


_CEILINGS: dict[str, Callable[[Sequence[Known]], tuple[int, Known]]] = {
    "_==_": _equality,
    "_!=_": _equality,
    "_+_": _sum,
    "@in": _within,
    "dyn": _same,
    "contains": _contains,
    "matches": _pattern,
    "includes": _includes,
    "replace": _replace,
    "split": _split,
    "join": _join,
    "ip": _address,
    "containsIP": _inside_cidr(4),
    "containsCIDR": _inside_cidr(7),
    "slice": _sliced,
    "lists.range": _ranged,
    "ip.isCanonical": lambda values: (part(values[0].most, 0.2), Known()),
    "string": _text,
    "bytes": lambda values: (_text(values)[0], Known(size=times(values[0].most, 4))),
    "sets.equivalent": _sets(2),
    **dict.fromkeys(("sets.contains", "sets.intersects"), _sets(1)),
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _order),
    **dict.fromkeys(("startsWith", "endsWith"), _second),
    **dict.fromkeys(("find", "findAll"), _found),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _traversal),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim", "url"), _read_and_kept),
    **dict.fromkeys(("quantity", "isQuantity", "semver", "isSemver", "cidr", "isIP", "isCIDR", "format"), _read),
    **dict.fromkeys(("flatten", "reverse"), _copied),
    **dict.fromkeys(("sort", "distinct"), _paired),
}
