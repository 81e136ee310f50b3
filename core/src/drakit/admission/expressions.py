"""Shapes in CEL: an expression that says what is wrong with a value, and gives "" where nothing is.

Values come from outside and are of type dyn. Each expression asks for the type before it asks for more, so that none
ends in an error. `Place` is where a value is: what a message begins with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import singledispatch
from itertools import groupby

from attrs import frozen

from drakit.admission.shapes import Choice, Key, Listing, Mapped, Object, Scalar, Shape
from drakit.model import Quantity
from drakit.model.quantity import FORMAT
from drakit.rules import AtMost, Between, OneOf, ValueRule, literal, shown

_WIDE = "9223372036854775807.0"
"""Kubernetes reads an integer that needs more than 64 bits as a double; Python knows no such limit."""

_TYPES = {
    bool: ("bool", "true or false"),
    float: ("double", "a number"),
    str: ("string", "a string"),
    list: ("list", "a list"),
    dict: ("map", "a mapping"),
}


@frozen
class Place:
    """The path to a value below the parameters, in parts: text, or variables of loops. `depth` is that of variables."""

    parts: tuple[str, ...] = ()
    depth: int = 0

    def key(self, name: str) -> Place:
        """What a key of an object has; the name is an expression."""
        return Place((*self.parts, '"."', name) if self.parts else (name,), self.depth + 1)

    def inside(self, variable: str, *, of_map: bool) -> Place:
        """An entry of the value, or what a key of it maps to."""
        shown = f"strings.quote({variable})" if of_map else f"string({variable})"
        return Place((*self.parts, '"["', shown, '"]"'), self.depth + 1)

    def says(self, *rest: str) -> str:
        """A message in CEL that begins with the path."""
        start = self.parts or ('"it"',)
        return joined(*start, *rest)


def joined(*parts: str) -> str:
    """A concatenation in CEL, of literals and expressions; neighbouring literals become one."""
    merged: list[str] = []
    for part in parts:
        if merged and _is_literal(merged[-1]) and _is_literal(part):
            merged[-1] = f"{merged[-1][:-1]}{part[1:]}"
        else:
            merged.append(part)
    return " + ".join(merged)


def _is_literal(part: str) -> bool:
    return part.startswith('"')


def together(problems: Iterable[str]) -> str:
    """Several expressions of this kind as one."""
    found = [problem for problem in problems if problem != NOTHING]
    if len(found) < 2:
        return found[0] if found else NOTHING
    listed = indented(",\n".join(found))
    return f'[\n{listed}\n].filter(s, s != "").join("; ")'


def bound(name: str, value: str, body: str) -> str:
    """An expression in which a value has a name. Policies do not have CEL's own macro for this."""
    return f"[{value}].map({name},\n{indented(body)})[0]"


def indented(expression: str) -> str:
    """An expression, for a reader, within another."""
    return "\n".join(f"  {line}" for line in expression.split("\n"))


NOTHING = '""'


@singledispatch
def problem(shape: Shape, value: str, place: Place) -> str:  # noqa: ARG001 - what others need
    """What is wrong with the value that an expression gives; NOTHING for a shape that takes anything."""
    return NOTHING


@problem.register
def _scalar(shape: Scalar, value: str, place: Place) -> str:
    kind, conditions = shape.kind, shape.conditions
    if kind is Quantity:
        text = f"{value}.matches({literal(f'^(?:{FORMAT})$')})"
        right = f"type({value}) == int || {_wide(value)} || type({value}) == string && {text}"
        rest = _conditions(conditions, value, place)
        if rest != NOTHING:
            rest = f"type({value}) == string && !isQuantity({value}) ? {NOTHING} :\n{rest}"
        return _asked(right, "must be a quantity such as 80Gi", value, place, rest)
    if kind is int:
        bounded = any(isinstance(one, OneOf) or _is_closed(one) for one in conditions)
        right = f"type({value}) == int" + ("" if bounded else f" || {_wide(value)}")
        return _asked(right, "must be an integer", value, place, _conditions(conditions, value, place))
    if kind is float:
        right = f"type({value}) == double || type({value}) == int"
        return _asked(
            right, "must be a number", value, place, _conditions(conditions, value, place, f"double({value})")
        )
    return _typed(kind, value, place, _conditions(conditions, value, place))


@problem.register
def _listing(shape: Listing, value: str, place: Place) -> str:
    index, entry = f"i{place.depth}", f"v{place.depth}"
    inner = problem(shape.entries, entry, place.inside(index, of_map=False))
    return _typed(
        list, value, place, _conditions(shape.conditions, value, place, rest=_looped(value, index, entry, inner))
    )


@problem.register
def _mapped(shape: Mapped, value: str, place: Place) -> str:
    key, entry = f"k{place.depth}", f"v{place.depth}"
    keys = _conditions(shape.keys, key, Place((*place.parts, '": key"'), place.depth))
    inner = together([keys, problem(shape.values, entry, place.inside(key, of_map=True))])
    return _typed(
        dict, value, place, _conditions(shape.conditions, value, place, rest=_looped(value, key, entry, inner))
    )


@problem.register
def _object(shape: Object, value: str, place: Place) -> str:
    return _typed(dict, value, place, contents(shape, value, place))


@problem.register
def _choice(shape: Choice, value: str, place: Place) -> str:
    each = [problem(one, value, place) for one in shape.of]
    if NOTHING in each:
        return NOTHING
    listed = f"[{', '.join(each)}]"
    return f'{listed}.exists(s, s == "") ? "" : {listed}.join(" or ")'


def contents(shape: Object, value: str, place: Place, *, header: Sequence[str] = (), hint: str = "") -> str:
    """What is wrong with an object that is known to be a map.

    Keys of its header are somebody else's matter; the hint is for who uses keys that there are not.
    """
    known = [*header, *sorted(key.name for key in shape.keys)]
    names = ", ".join(known[len(header) :])
    told = literal((f"; known keys are {names}" if names else "; it has no keys") + hint)
    strangers = f"{value}.filter(k, !(k in [{_names(known)}]))" if known else value
    required = [key.name for key in shape.keys if key.required]
    missing = f"[{_names(required)}].filter(k, !(k in {value}))"
    return together(
        [
            _of_keys(strangers, place, literal("unknown key "), told),
            _of_keys(missing, place, literal("missing key ")) if required else NOTHING,
            _known(shape, value, place),
            *(_cross_check(check, value, place) for check in shape.checks),
        ]
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(literal, names))


def _of_keys(keys: str, place: Place, before: str, after: str = NOTHING) -> str:
    message = joined(*_before(place), before, "strings.quote(k)", *([] if after == NOTHING else [after]))
    return f'{keys}.map(k, {message}).join("; ")'


def _before(place: Place) -> tuple[str, ...]:
    """What a message about keys begins with."""
    return (*place.parts, '": "') if place.parts else ()


def _known(shape: Object, value: str, place: Place) -> str:
    """What is wrong with the values of known keys. Those that are asked the same are asked together.

    That is shorter, and quicker: the type checker of the API server takes a time that grows faster than an expression.
    """
    name, entry = f"k{place.depth}", f"v{place.depth}"
    alike: dict[str, list[Key]] = {}
    for key in shape.keys:
        if (asked := _key(key, entry, place.key(name))) != NOTHING:
            alike.setdefault(asked, []).append(key)
    if not alike:
        return NOTHING
    every = [key.name for keys in alike.values() for key in keys]
    chosen = [
        _key(keys[0], entry, place.key(literal(keys[0].name))) if len(keys) == 1 else asked
        for asked, keys in alike.items()
    ]
    *others, text = chosen
    for keys, asked in reversed([*zip(alike.values(), others, strict=False)]):
        text = f"{name} in [{_names(key.name for key in keys)}] ? (\n{indented(asked)}\n) :\n{text}"
    if len(every) == 1:
        return f"!({literal(every[0])} in {value}) ? {NOTHING} : {bound(entry, f'{value}[{literal(every[0])}]', text)}"
    found = bound(entry, f"{value}[{name}]", text)
    there = f"[{_names(every)}].filter({name}, {name} in {value})"
    return f'{there}.map({name},\n{indented(found)}\n).filter(s, s != "").join("; ")'


def _key(key: Key, value: str, place: Place) -> str:
    inner = problem(key.shape, value, place)
    return f'{value} == null ? "" :\n{inner}' if key.nullable and inner != NOTHING else inner


def _cross_check(check: AtMost, value: str, place: Place) -> str:
    given = " +\n".join(_given(value, outer, names, filled=filled) for outer, filled, names in _together_given(check))
    message = joined(*_before(place), 'given.join(", ")', literal(f" {check.says}"))
    return bound("given", given, f'size(given) > {check.count} ? {message} : ""')


def _together_given(check: AtMost) -> Iterator[tuple[tuple[str, ...], bool, list[str]]]:
    """The fields that stand together, in their order: in which objects, whether empty ones do not count, and which."""
    fields = [(*shown(name).rpartition(".")[::2], name in check.filled) for name in check.fields]
    for (outer, filled), members in groupby(fields, key=lambda one: (one[0], one[2])):
        yield tuple(outer.split(".")) if outer else (), filled, [name for _, name, _ in members]


def _given(value: str, outer: Sequence[str], names: Iterable[str], *, filled: bool) -> str:
    guards: list[str] = []
    for name in outer:
        value, before = f"{value}[{literal(name)}]", value
        guards += [f"{literal(name)} in {before}", f"type({value}) == map"]
    empty = "".join(f" && {value}[k] != {nothing}" for nothing in ('""', "[]", "{}")) if filled else ""
    found = f"[{_names(names)}].filter(k, k in {value} && {value}[k] != null{empty})"
    if not guards:
        return found
    return f"({' && '.join(guards)} ? {found}.map(k, {literal('.'.join(outer) + '.')} + k) : [])"


def _typed(kind: type, value: str, place: Place, rest: str) -> str:
    name, said = _TYPES[kind]
    return _asked(f"type({value}) == {name}", f"must be {said}", value, place, rest)


def _conditions(
    conditions: Iterable[ValueRule], value: str, place: Place, number: str | None = None, *, rest: str = NOTHING
) -> str:
    for condition in reversed(tuple(conditions)):
        rest = _asked(condition.cel(number or value), condition.says, value, place, rest)
    return rest


def _asked(right: str, says: str, value: str, place: Place, rest: str) -> str:
    """What follows where something is right, and otherwise that it must be."""
    wrong = place.says(literal(f" {says}, not "), _shown(value))
    if rest == NOTHING:
        return f'{right} ? "" :\n  {wrong}'
    return f"!({right}) ?\n  {wrong} :\n{rest}"


def _shown(value: str) -> str:
    """A value in a message. It may be of any type."""
    return f'(type({value}) == string ? strings.quote({value}) : "%s".format([{value}]))'


def _looped(value: str, first: str, second: str, inner: str) -> str:
    if inner == NOTHING:
        return NOTHING
    return f'{value}.transformList({first}, {second},\n{indented(inner)}\n).filter(s, s != "").join("; ")'


def _wide(value: str) -> str:
    return f"type({value}) == double && ({value} >= {_WIDE} || {value} <= -{_WIDE})"


def _is_closed(condition: ValueRule) -> bool:
    return isinstance(condition, Between) and condition.least is not None and condition.most is not None
