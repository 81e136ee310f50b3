"""Rules that opaque configuration keeps, which the driver and the API server both know.

A rule is an attrs validator that can be written in CEL as well: the driver checks it when it decodes a claim, and the
policy of `drakit admission` when the claim is written. A validator of any other kind is for the driver alone. Rules are
not asked about None, which is a field left open.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from attrs import Attribute, field, frozen

from drakit.decoding import camel
from drakit.errors import shorten
from drakit.model import Quantity

Scalar = bool | int | float | str

_INT64 = range(-(2**63), 2**63)
_NOT_ALIKE = re.compile(r"\(\?(?!:)|\\[sSZ1-9]|\[:|\{,")
"""What Python and RE2 read differently, or RE2 not at all."""


def literal(value: Scalar | Quantity) -> str:
    """A value as CEL writes it."""
    if isinstance(value, Quantity):
        return f"quantity({literal(value.text)})"
    return json.dumps(value, ensure_ascii=False)


class Rule(ABC):
    """What holds for the value of a field. An attrs validator."""

    @abstractmethod
    def problem(self, value: Any) -> str:
        """What is wrong with a value that is not None, to be put after its path; empty if nothing is."""

    def __call__(self, _instance: Any, attribute: Attribute[Any], value: Any) -> None:
        """Raise ValueError with the field's name in documents."""
        if value is not None and (problem := self.problem(value)):
            raise ValueError(f"{camel(attribute.name)}{problem}")


class ValueRule(Rule):
    """A rule for one value. `says` is what it must be, in words."""

    says: str

    @abstractmethod
    def suits(self, kind: type) -> bool:
        """Whether CEL can ask it of values of this type; `set` is a list whose repeated entries count once."""

    @abstractmethod
    def holds(self, value: Any) -> bool:
        """Whether it holds."""

    @abstractmethod
    def cel(self, value: str) -> str:
        """The same in CEL, of the value that an expression gives."""

    def problem(self, value: Any) -> str:
        """See Rule."""
        return "" if self.holds(value) else f" {self.says}, not {shorten(value, 60)}"


def _scalar_tuple(values: Iterable[Scalar]) -> tuple[Scalar, ...]:
    return tuple(values)


def _scalars(_instance: Any, attribute: Attribute[Any], values: tuple[Scalar, ...]) -> None:
    if not values or len({type(value) for value in values}) > 1 or type(values[0]) not in (bool, int, float, str):
        raise ValueError(f"{attribute.name} must be some strings, integers, numbers or booleans, all of one type")


class _Listed(ValueRule):
    values: tuple[Scalar, ...]

    def suits(self, kind: type) -> bool:
        """See ValueRule."""
        return kind is type(self.values[0])

    def cel(self, value: str) -> str:
        """See ValueRule."""
        return f"{value} in [{', '.join(map(literal, self.values))}]"

    @property
    def _named(self) -> str:
        return ", ".join(map(str, self.values))


@frozen
class OneOf(_Listed):
    """The value is one of these."""

    values: tuple[Scalar, ...] = field(converter=_scalar_tuple, validator=_scalars)
    says: str = field(kw_only=True)

    @says.default
    def _says(self) -> str:
        return f"must be one of {self._named}"

    def holds(self, value: Any) -> bool:
        """See ValueRule."""
        return value in self.values


@frozen
class NoneOf(_Listed):
    """The value is none of these."""

    values: tuple[Scalar, ...] = field(converter=_scalar_tuple, validator=_scalars)
    says: str = field(kw_only=True)

    @says.default
    def _says(self) -> str:
        return f"must be none of {self._named}"

    def holds(self, value: Any) -> bool:
        """See ValueRule."""
        return value not in self.values

    def cel(self, value: str) -> str:
        """See ValueRule."""
        return f"!({super().cel(value)})"


def _span(least: object, most: object, what: str = "") -> str:
    if least is None or most is None:
        return f"at most {most}{what}" if least is None else f"at least {least}{what}"
    return f"{least}{what}" if least == most else f"from {least} to {most}{what}"


@frozen
class Between(ValueRule):
    """A number or quantity is not less than one bound and not more than the other; None is no bound."""

    least: int | float | Quantity | None = None
    most: int | float | Quantity | None = None
    says: str = field(kw_only=True)

    @says.default
    def _says(self) -> str:
        return f"must be {_span(self.least, self.most)}"

    def __attrs_post_init__(self) -> None:
        kinds = {isinstance(bound, Quantity) for bound in self._bounds}
        if len(kinds) != 1 or any(isinstance(bound, int) and bound not in _INT64 for bound in self._bounds):
            raise ValueError("least and most, or one of them, must be 64-bit integers, numbers or quantities")

    def suits(self, kind: type) -> bool:
        """See ValueRule."""
        return kind is Quantity if isinstance(self._bounds[0], Quantity) else kind in (int, float)

    def holds(self, value: Any) -> bool:
        """See ValueRule."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def cel(self, value: str) -> str:
        """See ValueRule."""
        sides = (("<=", self.least), (">=", self.most))
        found = [(side, bound) for side, bound in sides if bound is not None]
        if not isinstance(self._bounds[0], Quantity):
            return " && ".join(f"{literal(bound)} {side} {value}" for side, bound in found)
        # A double is an integer of more than 64 bits: a quantity counts it as the most or least that it can hold.
        wide = f'{value} > 0.0 ? "{_INT64[-1]}" : "-{_INT64[-1]}"'
        given = f"quantity(type({value}) == int ? string({value}) : type({value}) == double ? ({wide}) : {value})"
        return " && ".join(f"{literal(bound)}.compareTo({given}) {side} 0" for side, bound in found)

    @property
    def _bounds(self) -> list[Any]:
        return [bound for bound in (self.least, self.most) if bound is not None]


def _both_read(_instance: Any, _attribute: Attribute[str], pattern: str) -> None:
    if found := _NOT_ALIKE.search(pattern):
        raise ValueError(f"{found[0]!r} in {pattern!r} means something else to Python than to Kubernetes; avoid it")
    re.compile(pattern, re.ASCII)


@frozen
class Matches(ValueRule):
    """A string matches a regular expression as a whole, in which letters are ASCII. `says` is it in words."""

    pattern: str = field(validator=_both_read)
    says: str = field(kw_only=True)

    def suits(self, kind: type) -> bool:
        """See ValueRule."""
        return kind is str

    def holds(self, value: Any) -> bool:
        """See ValueRule."""
        return re.fullmatch(self.pattern, value, re.ASCII) is not None

    def cel(self, value: str) -> str:
        """See ValueRule."""
        return f"{value}.matches({literal(f'^(?:{self.pattern})$')})"


@frozen
class Length(ValueRule):
    """How many characters, entries or keys there are, at least and at most; None is no bound."""

    least: int | None = None
    most: int | None = None
    says: str = field(kw_only=True)

    @says.default
    def _says(self) -> str:
        return f"must have {_span(self.least, self.most, ' characters or entries')}"

    def __attrs_post_init__(self) -> None:
        if self.least is None and self.most is None:
            raise ValueError("least or most must be given")

    def suits(self, kind: type) -> bool:
        """See ValueRule. Entries of a set that repeat others make a list longer than what the driver counts."""
        return kind in (str, list, dict) or (kind is set and self.most is None)

    def holds(self, value: Any) -> bool:
        """See ValueRule."""
        return (self.least is None or len(value) >= self.least) and (self.most is None or len(value) <= self.most)

    def cel(self, value: str) -> str:
        """See ValueRule."""
        sides = (("<=", self.least), (">=", self.most))
        return " && ".join(f"{bound} {side} size({value})" for side, bound in sides if bound is not None)


def _tuple(rules: Rule | Collection[Rule]) -> tuple[Rule, ...]:
    return (rules,) if isinstance(rules, Rule) else tuple(rules)


@frozen
class Each(Rule):
    """Every entry of a list, or every value of a mapping, keeps these rules."""

    rules: tuple[Rule, ...] = field(converter=_tuple)

    def problem(self, value: Any) -> str:
        """See Rule."""
        entries = value.items() if hasattr(value, "items") else enumerate(value)
        found = (
            f"[{json.dumps(place)}]{problem}"
            for place, entry in entries
            if entry is not None
            for rule in self.rules
            if (problem := rule.problem(entry))
        )
        return next(found, "")


@frozen
class EachKey(Rule):
    """Every key of a mapping keeps these rules."""

    rules: tuple[Rule, ...] = field(converter=_tuple)

    def problem(self, value: Any) -> str:
        """See Rule."""
        found = (f": key{problem}" for key in value for rule in self.rules if (problem := rule.problem(key)))
        return next(found, "")


@frozen(kw_only=True)
class AtMost:
    """Of several fields, not more than `count` are given. One of a class's `cross_checks`, for the fields together.

    A field is given where it is not None, and one that is in `filled` too where it is not empty either. They are
    attributes of the class; `a.b` is attribute b of attribute a. `says` follows their names: "exclude each other".
    """

    count: int
    fields: tuple[str, ...]
    filled: Collection[str] = ()
    says: str

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.count < len(self.fields) or not set(self.filled) <= set(self.fields):
            raise ValueError("count must be less than the number of fields, and those in filled must be among them")

    def check(self, value: Any) -> None:
        """Raise ValueError with the fields that are given, as documents name them, where they are too many."""
        given = [shown(name) for name in self._given(value)]
        if len(given) > self.count:
            raise ValueError(f"{', '.join(given)} {self.says}")

    def _given(self, value: Any) -> Iterator[str]:
        for name in self.fields:
            found = value
            for attribute in name.split("."):
                found = None if found is None else getattr(found, attribute)
            if found is not None and (name not in self.filled or found or isinstance(found, bool | int | float)):
                yield name


def shown(path: str) -> str:
    """The path of an attribute in documents: `interface.gso_max_size` is `interface.gsoMaxSize`."""
    return ".".join(map(camel, path.split(".")))
