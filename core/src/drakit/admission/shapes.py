"""What values the strict decoding of a class takes, as far as CEL can ask for it.

A shape takes all that the driver takes: where a type, a converter or a validator is more than CEL can say, the shape is
the wider, and it is noted that the driver alone checks it.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import attrs
from attrs import field, frozen

from drakit.decoding import CROSS_CHECKS, camel
from drakit.errors import ConfigError
from drakit.model import Quantity
from drakit.model.converters import frozen_mapping, frozen_tuple, string_mapping
from drakit.plan.cel.regex import compile_re2
from drakit.rules import AtMost, Each, EachKey, Matches, OneOf, Rule, ValueRule

_SCALARS: dict[Any, type] = {bool: bool, int: int, float: float, str: str, Path: str, Quantity: Quantity}
_AS_THEY_ARE = (frozen_mapping, frozen_tuple, string_mapping)
"""Converters that leave what rules ask about as it is."""


@frozen(kw_only=True)
class Shape:
    """Any value at all, unless it is of a subclass. `conditions` are asked of values of the right type."""

    conditions: tuple[ValueRule, ...] = ()


@frozen(kw_only=True)
class Scalar(Shape):
    """A boolean, integer, number, string or quantity. `member`: rules see the member of an enum made of it."""

    kind: type
    member: bool = False


@frozen(kw_only=True)
class Listing(Shape):
    """A list; `kind` is `set` where repeated entries count once."""

    kind: type = list
    entries: Shape = field(factory=Shape)


@frozen(kw_only=True)
class Mapped(Shape):
    """A mapping of any keys that are strings, with conditions of their own."""

    keys: tuple[ValueRule, ...] = ()
    values: Shape = field(factory=Shape)


@frozen(kw_only=True)
class Key:
    """A key of an object."""

    name: str
    shape: Shape
    required: bool
    nullable: bool


@frozen(kw_only=True)
class Object(Shape):
    """A mapping with known keys: an attrs class."""

    keys: tuple[Key, ...]
    checks: tuple[AtMost, ...] = ()


@frozen(kw_only=True)
class Choice(Shape):
    """What one of several shapes takes."""

    of: tuple[Shape, ...]


def shape_of(kind: type, note: Callable[[str], None], *, depth: int) -> Object:
    """The shape of a configuration class; `note` is told of each thing that the driver alone checks.

    Objects are followed `depth` deep.
    """
    return _Reader(note, kind.__name__, depth).of_class(kind)


class _Reader:
    """Reads one place: `path` is where it is, for notes."""

    def __init__(self, note: Callable[[str], None], path: str, depth: int) -> None:
        self._note = note
        self._path = path
        self._depth = depth

    def of_class(self, kind: Any) -> Object:
        """The shape of an attrs class."""
        if hasattr(kind, "__attrs_post_init__"):
            self._alone("__attrs_post_init__")
        attrs.resolve_types(kind)
        fields = [a for a in attrs.fields(kind) if a.init]
        keys = tuple(_Reader(self._note, f"{self._path}.{camel(a.name)}", self._depth).of_field(a) for a in fields)
        return Object(keys=keys, checks=self._cross_checks(kind))

    def of_field(self, attribute: attrs.Attribute[Any]) -> Key:
        """The key of an attribute."""
        kind, nullable = _without_none(attribute.type)
        return Key(
            name=camel(attribute.name),
            shape=self._ruled(self._of(kind), self._rules(attribute)),
            required=attribute.default is attrs.NOTHING,
            nullable=nullable,
        )

    def _rules(self, attribute: attrs.Attribute[Any]) -> list[Rule]:
        validator: Any = attribute.validator
        validators = getattr(validator, "_validators", (validator,)) if validator else ()  # those of a list, by attrs
        rules = [one for one in validators if isinstance(one, Rule)]
        for other in validators:
            if other not in rules:
                self._alone(getattr(other, "__name__", repr(other)))
        converter: Any = attribute.converter
        if rules and converter and converter not in _AS_THEY_ARE:
            self._alone("its rules, which are asked of what its converter makes")
            return []
        return rules

    def _of(self, kind: Any) -> Shape:
        """The shape of a type that is not optional."""
        plain, arguments = get_origin(kind) or kind, get_args(kind)
        if plain in (Any, object, None):
            return Shape()
        if kind in _SCALARS:
            return Scalar(kind=_SCALARS[kind])
        if plain in (Union, types.UnionType):
            return Choice(of=tuple(self._of(one) for one in arguments))
        if plain is Literal:
            return self._of_values(kind, arguments)
        return self._of_class(kind, plain, arguments) if isinstance(plain, type) else self._wider(kind)

    def _of_class(self, kind: Any, plain: type, arguments: tuple[Any, ...]) -> Shape:
        if issubclass(plain, enum.Enum):
            # What `_missing_` takes beside the members nobody knows but the class.
            own = getattr(plain._missing_, "__func__", None) is not getattr(enum.Enum._missing_, "__func__", None)
            return self._wider(kind) if own else self._of_values(kind, [one.value for one in plain], member=True)
        if attrs.has(kind):
            return self._nested(kind)
        if issubclass(plain, Collection) and not issubclass(plain, str | bytes):
            return self._of_collection(kind, plain, arguments)
        return self._wider(kind)

    def _nested(self, kind: Any) -> Shape:
        if self._depth == 0:
            self._alone("what is nested deeper")
            return Mapped()
        return _Reader(self._note, self._path, self._depth - 1).of_class(kind)

    def _of_values(self, kind: Any, values: Collection[Any], *, member: bool = False) -> Shape:
        types_of = {type(value) for value in values}
        if len(types_of) != 1 or not types_of <= {bool, int, str}:
            return self._wider(kind)
        # An empty one is what leaving the key out means: nobody is told of it.
        says = f"must be one of {', '.join(str(value) for value in values if value != '')}"
        return Scalar(kind=types_of.pop(), conditions=(OneOf(values, says=says),), member=member)

    def _of_collection(self, kind: Any, plain: type, arguments: tuple[Any, ...]) -> Shape:
        if issubclass(plain, Mapping):
            keys = self._of(arguments[0]) if arguments else Scalar(kind=str)
            values = self._inner(arguments[1]) if arguments else Shape()
            if not isinstance(keys, Scalar) or keys.kind is not str:
                return self._wider(kind)
            return Mapped(keys=keys.conditions, values=values)
        if issubclass(plain, tuple) and arguments[1:] not in ((), (...,)):
            return self._wider(kind)
        entries = self._inner(arguments[0]) if arguments else Shape()
        return Listing(kind=set if issubclass(plain, AbstractSet) else list, entries=entries)

    def _inner(self, kind: Any) -> Shape:
        """The shape of entries. Those that may be null are rare enough to be left to the driver."""
        inside, nullable = _without_none(kind)
        return self._wider(kind) if nullable and inside is not Any else self._of(inside)

    def _ruled(self, shape: Shape, rules: Collection[Rule]) -> Shape:
        for rule in rules:
            shape = self._with(shape, rule)
        return shape

    def _with(self, shape: Shape, rule: Rule) -> Shape:
        if isinstance(rule, Each) and isinstance(shape, Listing):
            return attrs.evolve(shape, entries=self._ruled(shape.entries, rule.rules))
        if isinstance(rule, Each) and isinstance(shape, Mapped):
            return attrs.evolve(shape, values=self._ruled(shape.values, rule.rules))
        if isinstance(rule, EachKey) and isinstance(shape, Mapped):
            able = [one for one in rule.rules if isinstance(one, ValueRule) and self._can(one, str)]
            return attrs.evolve(shape, keys=(*shape.keys, *able))
        if isinstance(rule, ValueRule) and self._can(rule, _kind(shape)):
            return attrs.evolve(shape, conditions=(*shape.conditions, rule))
        if not isinstance(rule, ValueRule):
            self._alone(repr(rule))
        return shape

    def _can(self, rule: ValueRule, kind: type | None) -> bool:
        if kind is not None and rule.suits(kind) and not (isinstance(rule, Matches) and not _is_re2(rule.pattern)):
            return True
        self._alone(rule.says)
        return False

    def _cross_checks(self, kind: Any) -> tuple[AtMost, ...]:
        checks: Collection[AtMost] = getattr(kind, CROSS_CHECKS, ())
        able = tuple(check for check in checks if not any(_converted(kind, name) for name in check.fields))
        for check in checks:
            if check not in able:
                self._alone(check.says)
        return able

    def _wider(self, kind: Any) -> Shape:
        self._alone(f"its type, {getattr(kind, '__name__', None) or kind}")
        return Shape()

    def _alone(self, what: str) -> None:
        self._note(f"{self._path}: {what}")


def _without_none(kind: Any) -> tuple[Any, bool]:
    """A type without the None of its union, and whether there was one."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind, kind in (None, Any, object)
    rest = tuple(one for one in get_args(kind) if one is not type(None))
    return Union[rest], len(rest) < len(get_args(kind))  # noqa: UP007 - of a tuple


def _kind(shape: Shape) -> type | None:
    if isinstance(shape, Scalar | Listing):
        return None if isinstance(shape, Scalar) and shape.member else shape.kind
    return dict if isinstance(shape, Mapped) else None


def _is_re2(pattern: str) -> bool:
    try:
        compile_re2(pattern)
    except ValueError:
        return False
    return True


def _converted(kind: Any, path: str) -> bool:
    """Whether something on the way to an attribute is not what the document says. Raises ConfigError for none such."""
    whole = kind.__name__
    for name in path.split("."):
        attribute = attrs.fields_dict(kind).get(name) if attrs.has(kind) else None
        if attribute is None:
            raise ConfigError(f"{whole}: {CROSS_CHECKS} name the field {path!r}, which it does not have")
        if attribute.converter:
            return True
        kind = _without_none(attribute.type)[0]
    return False
