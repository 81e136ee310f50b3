"""CEL's static types, written as in the specification: `list(string)`, `map(string, dyn)`, `kubernetes.Quantity`."""

from __future__ import annotations

import re
from functools import cache

from attrs import field, frozen


@frozen
class Type:
    """A type; one capital letter as the name is a type parameter of a function."""

    name: str
    parameters: tuple[Type, ...] = field(default=())

    @property
    def is_variable(self) -> bool:
        """Whether it is a function's type parameter."""
        return len(self.name) == 1 and self.name.isupper()

    def __str__(self) -> str:
        inside = ", ".join(str(parameter) for parameter in self.parameters)
        return f"{self.name}({inside})" if inside else self.name


DYN = Type("dyn")
BOOL = Type("bool")
INT = Type("int")
STRING = Type("string")
UNKNOWN = Type("_")
"""The element type of an empty literal, or of no value at all: goes with everything."""

_ABBREVIATIONS = {
    "Quantity": "kubernetes.Quantity",
    "Semver": "kubernetes.Semver",
    "IP": "net.IP",
    "CIDR": "net.CIDR",
    "URL": "kubernetes.URL",
    "Optional": "optional_type",
    "null": "null_type",
}
_PIECE = re.compile(r"[\w.]+|[(),]")


@cache
def parse_type(text: str) -> Type:
    """`map(string, dyn)` to a Type; the opaque types by their last name."""
    pieces = _PIECE.findall(text)[::-1]

    def one() -> Type:
        name = pieces.pop()
        parameters = []
        if pieces and pieces[-1] == "(":
            while pieces.pop() != ")":
                if pieces[-1] != ")":
                    parameters.append(one())
        return Type(_ABBREVIATIONS.get(name, name), tuple(parameters))

    return one()


def list_of(element: Type) -> Type:
    """The type of lists."""
    return Type("list", (element,))


def map_of(key: Type, value: Type) -> Type:
    """The type of maps."""
    return Type("map", (key, value))


def optional_of(value: Type) -> Type:
    """The type of optional values."""
    return Type("optional_type", (value,))


def accepts(wanted: Type, given: Type, bound: dict[str, Type]) -> bool:
    """Whether `given` may stand where `wanted` is declared. Binds type parameters in `bound`."""
    if wanted.is_variable:
        known = bound.get(wanted.name)
        if known is None or known == UNKNOWN:
            bound[wanted.name] = given
            return True
        if accepts(known, given, bound):
            if given == DYN:
                bound[wanted.name] = DYN
            return True
        return False
    if DYN in (wanted, given) or UNKNOWN in (wanted, given):
        return True
    return (
        wanted.name == given.name
        and len(wanted.parameters) == len(given.parameters)
        and all(accepts(w, g, bound) for w, g in zip(wanted.parameters, given.parameters, strict=True))
    )


def substitute(declared: Type, bound: dict[str, Type]) -> Type:
    """A result type with its parameters filled in; what stayed unbound goes with everything."""
    if declared.is_variable:
        return bound.get(declared.name, UNKNOWN)
    return Type(declared.name, tuple(substitute(parameter, bound) for parameter in declared.parameters))


def equivalent(one: Type, other: Type) -> bool:
    """Whether they are the same type, empty literals aside."""
    if UNKNOWN in (one, other):
        return True
    return (
        one.name == other.name
        and len(one.parameters) == len(other.parameters)
        and all(equivalent(a, b) for a, b in zip(one.parameters, other.parameters, strict=True))
    )


def join(types: list[Type]) -> Type:
    """The type of a value that may be of any of these."""
    known = [kind for kind in types if kind != UNKNOWN]
    if not known:
        return UNKNOWN
    return known[0] if all(kind == known[0] for kind in known) else DYN
