"""The evaluator with upstream's prices: an evaluation that costs more than 1,000,000 is cancelled.

Sources: cel-go's `runtimecost.go` and Kubernetes' `library/cost.go`. Macros cost what they are written out as. To read
a variable costs 1, and so does each field or index; constants, `&&`, `||` and `? :` are free.
"""

from __future__ import annotations

from typing import Any

from drakit.plan.cel.ast import (
    Call,
    Comprehension,
    Conditional,
    Ident,
    Index,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    OptionalMap,
    Select,
)
from drakit.plan.cel.checker import DEVICE as DEVICE_TYPE
from drakit.plan.cel.checker import RememberingChecker, Scope
from drakit.plan.cel.evaluator import LOOPS, Compiler, Constant, dispatch
from drakit.plan.cel.library import FUNCTIONS
from drakit.plan.cel.loops import DEVICE, Closure, Frame, spend, turns_over, where
from drakit.plan.cel.prices import FREE_ON_CONSTANTS, price
from drakit.plan.cel.types import Type
from drakit.plan.cel.values import NONE, Optional

_LIST, _MAP = 10, 30
_TURN = {
    "all": 3,
    "exists": 4,
    "map": 12,
    "transformList": 12,
    "sortBy": 12,
    "transformMap": 3,
    "transformMapEntry": 2,
}
"""What a turn costs beside its body; of `map` and `transformList`, once its condition holds."""
_HELD = {"filter": 13, "existsOne": 2}
"""What a turn costs more whose body is true."""
_ENDED = {"existsOne": 2, "sortBy": 4}
"""What the result costs, 1 otherwise."""
_UNFINISHED = {"all": 2, "exists": 3}
"""What it costs to see that there is no need to go on."""


class Metered(Compiler):
    """Makes closures that pay for what they do from the frame's budget."""

    def __init__(self, root: Node) -> None:
        super().__init__()
        self._names = _priced_as(root)

    def closure(self, node: Node, scope: dict[str, int]) -> Closure:
        """See Compiler."""
        made = super().closure(node, scope)
        fee = _fee(node, scope)
        if not fee or isinstance(made, Constant):
            return made
        if isinstance(node, Select | Index) and node.optional:
            return _paying_if_present(made)

        def paying(frame: Frame) -> Any:
            value = made(frame)
            spend(frame, fee)
            return value

        return paying

    def _call(self, node: Call, scope: dict[str, int]) -> Closure:
        nodes = node.arguments if node.target is None else (node.target, *node.arguments)
        arguments = [self.closure(part, scope) for part in nodes]
        function = dispatch(FUNCTIONS[node.function, node.target is not None, len(nodes)])
        constant = [isinstance(argument, Constant) for argument in arguments]
        if (all(constant) and node.function in FREE_ON_CONSTANTS) or (node.function == "@in" and constant[1]):
            return super()._call(node, scope)
        name = self._names.get(id(node), node.function)

        def call(frame: Frame) -> Any:
            values = [argument(frame) for argument in arguments]
            value = function(*values)
            spend(frame, price(name, values, value))
            return value

        return call

    def _conditional(self, node: Conditional, scope: dict[str, int]) -> Closure:
        """A branch that only reads something is one read with the condition."""
        made = super()._conditional(node, scope)
        saved = _reads(node.yes) or _reads(node.no)
        if not saved:
            return made
        condition, yes, no = (self.closure(part, scope) for part in (node.condition, node.yes, node.no))

        def choose(frame: Frame) -> Any:
            held = condition(frame)
            chosen, branch = (yes, node.yes) if held is True else (no, node.no)
            if held is not True and held is not False:
                return made(frame)
            value = chosen(frame)
            spend(frame, -int(_reads(branch)))
            return value

        return choose

    def _optionalmap(self, node: OptionalMap, scope: dict[str, int]) -> Closure:
        """It is written out as `x.hasValue() ? optional.of(f(x.value())) : none`, so that x is computed twice."""
        place = self._place()
        operand, body = self.closure(node.operand, scope), self.closure(node.body, scope | {node.variable: place})

        def transform(frame: Frame) -> Any:
            given = operand(frame)
            spend(frame, 1)
            if not given.present:
                return NONE
            frame[place] = operand(frame).value
            spend(frame, 1 if node.flat else 2)
            return body(frame) if node.flat else Optional(body(frame))

        return transform

    def _comprehension(self, node: Comprehension, scope: dict[str, int]) -> Closure:
        places = tuple(self._place() for _ in node.variables)
        inner = scope | dict(zip(node.variables, places, strict=True))
        turn, held = _TURN.get(node.kind, 0), _HELD.get(node.kind, 0)
        if turn == _TURN["map"] and _constant(node.body):
            turn -= _LIST  # a list of a constant is a constant
        later = turn if node.condition is not None else 0
        operand = self.closure(node.operand, scope)
        turns = turns_over(operand, places, turn - later, _UNFINISHED.get(node.kind, 0))
        if node.condition is not None:
            turns = where(turns, self.closure(node.condition, inner))
        body = self.closure(node.body, inner)

        def charged(frame: Frame) -> Any:
            spend(frame, later)
            value = body(frame)
            if held and value is True:
                spend(frame, held)
            return value

        loop = LOOPS[node.kind](turns, charged, places[0])
        ended = _ENDED.get(node.kind, 1)

        def whole(frame: Frame) -> Any:
            value = loop(frame)
            spend(frame, ended)
            return value

        return whole


_BY_TYPE = ("_+_", "_<_", "_<=_", "_>_", "_>=_")


def _priced_as(root: Node) -> dict[int, str]:
    """By id of a call, the name of its price, where that hangs on types: what nothing is known of costs 1."""
    found: dict[int, str] = {}

    class Finder(RememberingChecker):
        def _call(self, node: Call, scope: Scope) -> Type:
            kinds = [self.type_of(argument, scope).name for argument in node.arguments]
            if node.function == "@in" and kinds[1] == "list":
                found[id(node)] = "@in_list"
            elif node.function in _BY_TYPE and set(kinds) == {"dyn"}:
                found[id(node)] = "unknown"
            return super()._call(node, scope)

    Finder().type_of(root, {"device": Type(DEVICE_TYPE)})
    return found


def _reads(node: Node) -> bool:
    return isinstance(node, Ident) or (isinstance(node, Select | Index) and not node.optional)


def _fee(node: Node, scope: dict[str, int]) -> int:
    """What a node costs by itself; calls and macros pay on their own."""
    match node:
        case Ident(name=name):
            return int(name in scope)
        case Select(operand=Ident(name=name)) if scope.get(name) == DEVICE and not node.optional:
            return 2  # the device is read with its field
        case Select(operand=operand) | Index(operand=operand):
            return 1 if _reads(operand) or node.optional else 2
        case ListLiteral():
            return 0 if _constant(node) else _LIST
        case MapLiteral():
            return 0 if _constant(node) else _MAP
    return 0


def _constant(node: Node) -> bool:
    return isinstance(node, Literal) or (
        isinstance(node, ListLiteral | MapLiteral) and all(map(_constant, node.parts()))
    )


def _paying_if_present(made: Closure) -> Closure:
    def paying(frame: Frame) -> Any:
        found = made(frame)
        spend(frame, int(found.present))
        return found

    return paying
