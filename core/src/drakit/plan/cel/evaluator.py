"""A syntax tree to nested Python closures, each taking the frame: a list with `device` and the macros' variables.

Calls on constants (`semver("1.2.3")`) are computed once. Errors are exceptions: `&&`, `||` and the quantifiers absorb
one that the other operands make irrelevant, as CEL demands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drakit.plan.cel.access import DEVICE_FIELDS, find, lookup
from drakit.plan.cel.ast import (
    Bind,
    Call,
    Comprehension,
    Conditional,
    Has,
    Ident,
    Index,
    ListLiteral,
    Literal,
    Logical,
    MapLiteral,
    Node,
    OptionalMap,
    Select,
)
from drakit.plan.cel.errors import CelRuntimeError
from drakit.plan.cel.library import FUNCTIONS
from drakit.plan.cel.library.overload import Overload
from drakit.plan.cel.loops import (
    DEVICE,
    Closure,
    Frame,
    Turns,
    insert,
    map_maker,
    quantifier,
    sorter,
    truth,
    turns_over,
    where,
)
from drakit.plan.cel.values import NONE, CelType, Optional, no_overload

_UNSET = object()


class Constant:
    """A closure whose value is known."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, _frame: Frame) -> Any:
        """The value, whatever the frame."""
        return self.value


class Compiler:
    """Makes closures of nodes. `size` is how long a frame must be."""

    def __init__(self) -> None:
        self.size = DEVICE + 1
        self._bound: dict[int, Closure] = {}

    def closure(self, node: Node, scope: dict[str, int]) -> Closure:
        """What computes the value of a node; `scope` has the places of variables in the frame."""
        method = getattr(self, f"_{type(node).__name__.lower()}")
        made: Closure = method(node, scope)
        return made

    def _place(self) -> int:
        self.size += 1
        return self.size - 1

    def _literal(self, node: Literal, _scope: dict[str, int]) -> Closure:
        return Constant(node.value)

    def _ident(self, node: Ident, scope: dict[str, int]) -> Closure:
        if node.name not in scope:
            return Constant(CelType(node.name))
        place = scope[node.name]
        compute = self._bound.get(place)
        if compute is None:
            return lambda frame: frame[place]

        def bound(frame: Frame) -> Any:
            if frame[place] is _UNSET:
                frame[place] = compute(frame)
            return frame[place]

        return bound

    def _select(self, node: Select, scope: dict[str, int]) -> Closure:
        operand, name = self.closure(node.operand, scope), node.field
        if isinstance(node.operand, Ident) and scope.get(node.operand.name) == DEVICE and not node.optional:
            read = DEVICE_FIELDS[name]
            return lambda frame: read(frame[DEVICE])
        if node.optional:
            return lambda frame: find(operand(frame), name)

        def select(frame: Frame) -> Any:
            value = operand(frame)
            if value.__class__ is dict and name in value:
                return value[name]
            return lookup(value, name)

        return select

    def _has(self, node: Has, scope: dict[str, int]) -> Closure:
        operand, name = self.closure(node.operand, scope), node.field
        return lambda frame: find(operand(frame), name).present

    def _index(self, node: Index, scope: dict[str, int]) -> Closure:
        operand, index = self.closure(node.operand, scope), self.closure(node.index, scope)
        if node.optional:
            return lambda frame: find(operand(frame), index(frame))
        if isinstance(index, Constant):
            key = index.value
            return lambda frame: lookup(operand(frame), key)
        return lambda frame: lookup(operand(frame), index(frame))

    def _logical(self, node: Logical, scope: dict[str, int]) -> Closure:
        operands = tuple(self.closure(operand, scope) for operand in node.operands)
        decisive = node.operator == "||"

        def decide(frame: Frame) -> Any:
            failure: CelRuntimeError | None = None
            for operand in operands:
                try:
                    value = operand(frame)
                    if value is decisive:
                        return decisive
                    truth(value)
                except CelRuntimeError as error:
                    failure = failure or error
            if failure is not None:
                raise failure
            return not decisive

        return decide

    def _conditional(self, node: Conditional, scope: dict[str, int]) -> Closure:
        condition, yes, no = (self.closure(part, scope) for part in (node.condition, node.yes, node.no))

        def choose(frame: Frame) -> Any:
            value = condition(frame)
            if value is True:
                return yes(frame)
            if value is False:
                return no(frame)
            raise no_overload()

        return choose

    def _listliteral(self, node: ListLiteral, scope: dict[str, int]) -> Closure:
        elements = [self.closure(element, scope) for element in node.elements]
        if not node.optional:
            return fold(elements, lambda *values: values)
        optional = node.optional

        def build(frame: Frame) -> tuple[Any, ...]:
            values: list[Any] = []
            for place, element in enumerate(elements):
                value = element(frame)
                if place not in optional:
                    values.append(value)
                elif value.present:
                    values.append(value.value)
            return tuple(values)

        return build

    def _mapliteral(self, node: MapLiteral, scope: dict[str, int]) -> Closure:
        keys = [self.closure(key, scope) for key in node.keys]
        values = [self.closure(value, scope) for value in node.values]

        def build(frame: Frame) -> dict[Any, Any]:
            made: dict[Any, Any] = {}
            for place, (key_closure, value_closure) in enumerate(zip(keys, values, strict=True)):
                key, value = key_closure(frame), value_closure(frame)
                if place in node.optional:
                    if not value.present:
                        continue
                    value = value.value
                insert(made, key, value)
            return made

        return build

    def _bind(self, node: Bind, scope: dict[str, int]) -> Closure:
        place = self._place()
        # Upstream computes the value where it is first used: an error in it surfaces there, or not at all.
        self._bound[place] = self.closure(node.value, scope)
        body = self.closure(node.body, scope | {node.name: place})

        def bind(frame: Frame) -> Any:
            frame[place] = _UNSET
            return body(frame)

        return bind

    def _optionalmap(self, node: OptionalMap, scope: dict[str, int]) -> Closure:
        place = self._place()
        operand, body = self.closure(node.operand, scope), self.closure(node.body, scope | {node.variable: place})

        def transform(frame: Frame) -> Any:
            given = operand(frame)
            if not isinstance(given, Optional):
                raise no_overload()
            if not given.present:
                return NONE
            frame[place] = given.value
            return body(frame) if node.flat else Optional(body(frame))

        return transform

    def _call(self, node: Call, scope: dict[str, int]) -> Closure:
        nodes = node.arguments if node.target is None else (node.target, *node.arguments)
        arguments = [self.closure(part, scope) for part in nodes]
        overloads = FUNCTIONS[node.function, node.target is not None, len(nodes)]
        return fold(arguments, dispatch(overloads))

    def _comprehension(self, node: Comprehension, scope: dict[str, int]) -> Closure:
        places = tuple(self._place() for _ in node.variables)
        inner = scope | dict(zip(node.variables, places, strict=True))
        turns = turns_over(self.closure(node.operand, scope), places)
        body = self.closure(node.body, inner)
        if node.condition is not None:
            turns = where(turns, self.closure(node.condition, inner))
        return LOOPS[node.kind](turns, body, places[0])


LOOPS: dict[str, Callable[[Turns, Closure, int], Closure]] = {
    "all": lambda turns, body, _: quantifier(turns, body, decisive=False),
    "exists": lambda turns, body, _: quantifier(turns, body, decisive=True),
    "existsOne": lambda turns, body, _: lambda frame: sum(truth(body(frame)) for _ in turns(frame)) == 1,
    "filter": lambda turns, body, place: lambda frame: tuple(frame[place] for _ in turns(frame) if truth(body(frame))),
    "map": lambda turns, body, _: lambda frame: tuple(body(frame) for _ in turns(frame)),
    "transformList": lambda turns, body, _: lambda frame: tuple(body(frame) for _ in turns(frame)),
    "transformMap": lambda turns, body, place: map_maker(turns, lambda frame: {frame[place]: body(frame)}),
    "transformMapEntry": lambda turns, body, _: map_maker(turns, body),
    "sortBy": sorter,
}
"""For each macro, its loop made of the turns, the closure of its body and the place of its first variable."""


def dispatch(overloads: tuple[Overload, ...]) -> Callable[..., Any]:
    """Choose among overloads by the types of the values, once per combination of types."""
    if len(overloads) == 1 and all(p.is_variable or p.name == "dyn" for p in overloads[0].parameters):
        return overloads[0].call
    known: dict[tuple[type, ...], Callable[..., Any]] = {}

    def choose(*values: Any) -> Any:
        chosen = next((overload.call for overload in overloads if overload.takes(values)), None)
        if chosen is None:
            raise no_overload()
        known[tuple(map(type, values))] = chosen
        return chosen(*values)

    def call_two(left: Any, right: Any) -> Any:
        chosen = known.get((left.__class__, right.__class__)) or choose
        return chosen(left, right)

    def call(*values: Any) -> Any:
        chosen = known.get(tuple(map(type, values))) or choose
        return chosen(*values)

    return call_two if len(overloads[0].parameters) == 2 else call


def fold(arguments: list[Closure], function: Callable[..., Any]) -> Closure:
    """Call with the arguments' values: now, where all are constants and it does not fail."""
    if all(isinstance(argument, Constant) for argument in arguments):
        try:
            return Constant(function(*(argument([]) for argument in arguments)))
        except CelRuntimeError:
            pass
    if len(arguments) == 1:
        (only,) = arguments
        return lambda frame: function(only(frame))
    if len(arguments) == 2 and isinstance(arguments[1], Constant):
        first, fixed = arguments[0], arguments[1].value
        return lambda frame: function(first(frame), fixed)
    if len(arguments) == 2:
        left, right = arguments
        return lambda frame: function(left(frame), right(frame))
    return lambda frame: function(*[argument(frame) for argument in arguments])
