"""What a selector may cost at most, before any device is seen: the API server refuses those over 1,000,000.

Sources: cel-go's `checker/cost.go`, Kubernetes' `library/cost.go` and the sizes of the DRA environment. Macros are
costed as what they are written out as. What has no known size may be of any size, so most loops in loops are refused
that compare what they loop over.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

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
from drakit.plan.cel.ceilings import Known, ceiling, part, plus, times
from drakit.plan.cel.checker import RememberingChecker, Scope
from drakit.plan.cel.types import DYN, Type

_LIST, _MAP = 10, 30
_ATTRIBUTE = 64
_FIELDS = {"driver": 63, "allowMultipleAllocations": 1}
_KEYS = (63, 32)
"""How long a domain can be, and a name."""
_ENTRIES = 32

Variables = Mapping[str, Known]


def estimate(root: Node) -> int:
    """The most that an evaluation may cost, as the API server estimates it. The expression must have been checked."""
    estimator = _Estimator()
    return estimator.of(root, {"device": Known(path=("device",), kind=Type("kubernetes.DRADevice"))})[0]


def _size_at(path: tuple[str, ...]) -> int | None:
    """How large what a path leads to can be; None where that is not known."""
    if len(path) < 2 or path[0] != "device":
        return None
    root, *steps = path[1:]
    if root in _FIELDS:
        return _FIELDS[root] if not steps else None
    depth = 0
    for step in steps:
        if depth > 1:
            return None
        if step == "@keys":
            return _KEYS[depth] if step is steps[-1] else None
        if not step.startswith("@") and (depth == 0 or root != "attributes"):
            return None
        depth += 1
    return _ENTRIES if depth < 2 else _ATTRIBUTE if root == "attributes" else None


class _Estimator:
    """Walks the tree; each node has a cost and what is known of its value."""

    def __init__(self) -> None:
        self._checker = RememberingChecker()

    def of(self, node: Node, known: Variables) -> tuple[int, Known]:
        """The cost of a node, and what is known of its value."""
        method = getattr(self, f"_{type(node).__name__.lower()}")
        cost, value = method(node, known)
        value = evolve(value, kind=self._checker.type_of(node, _types(known)))
        if value.size is None:
            size = _size_at(value.path)
            if size is None and value.kind.name in ("bool", "int", "uint", "double"):
                size = 1
            value = evolve(value, size=size)
        return cost, value

    def _literal(self, node: Literal, _known: Variables) -> tuple[int, Known]:
        return 0, Known(size=len(node.value) if isinstance(node.value, str | bytes) else 1, literal=node.value)

    def _ident(self, node: Ident, known: Variables) -> tuple[int, Known]:
        return 1, known.get(node.name, Known())

    def _select(self, node: Select, known: Variables) -> tuple[int, Known]:
        cost, operand = self.of(node.operand, known)
        if node.optional:
            return cost + 1, Known()
        step = operand.kind.name == "map" or operand.kind.name.startswith("kubernetes.")
        return cost + step, Known(path=(*operand.path, node.field))

    def _has(self, node: Has, known: Variables) -> tuple[int, Known]:
        return self.of(node.operand, known)[0], Known()

    def _index(self, node: Index, known: Variables) -> tuple[int, Known]:
        cost, operand = self.of(node.operand, known)
        of_index, _ = self.of(node.index, known)
        total = plus(cost, of_index, 1)
        if node.optional:
            return total, Known()
        step = "@items" if operand.kind.name == "list" else "@values"
        return total, Known(size=operand.value_size, path=(*operand.path, step))

    def _logical(self, node: Logical, known: Variables) -> tuple[int, Known]:
        return plus(*(self.of(operand, known)[0] for operand in node.operands)), Known()

    def _conditional(self, node: Conditional, known: Variables) -> tuple[int, Known]:
        condition, _ = self.of(node.condition, known)
        (yes, one), (no, other) = self.of(node.yes, known), self.of(node.no, known)
        return plus(condition, max(yes, no)), Known(size=max(one.most, other.most))

    def _listliteral(self, node: ListLiteral, known: Variables) -> tuple[int, Known]:
        found = [self.of(element, known) for element in node.elements]
        value = max((one.most for _, one in found), default=0)
        return plus(_LIST, *(cost for cost, _ in found)), Known(size=len(found), key_size=1, value_size=value)

    def _mapliteral(self, node: MapLiteral, known: Variables) -> tuple[int, Known]:
        keys = [self.of(key, known) for key in node.keys]
        values = [self.of(value, known) for value in node.values]
        return plus(_MAP, *(cost for cost, _ in (*keys, *values))), Known(
            size=len(keys),
            key_size=max((one.most for _, one in keys), default=0),
            value_size=max((one.most for _, one in values), default=0),
        )

    def _bind(self, node: Bind, known: Variables) -> tuple[int, Known]:
        cost, value = self.of(node.value, known)
        of_body, body = self.of(node.body, {**known, node.name: value})
        return plus(_LIST, cost, of_body), body

    def _optionalmap(self, node: OptionalMap, known: Variables) -> tuple[int, Known]:
        cost, operand = self.of(node.operand, known)
        inside = (operand.kind.parameters or (DYN,))[0]
        of_body, _ = self.of(node.body, {**known, node.variable: Known(kind=inside)})
        computed = plus(_LIST, cost, 1, of_body, 0 if node.flat else 1)
        return plus(cost, 1, max(computed, 1)), Known()

    def _call(self, node: Call, known: Variables) -> tuple[int, Known]:
        nodes = node.arguments if node.target is None else (node.target, *node.arguments)
        found = [self.of(part, known) for part in nodes]
        values = [value for _, value in found]
        cost, value = ceiling(node.function, values)
        return plus(cost, *(one for one, _ in found)), value

    def _comprehension(self, node: Comprehension, known: Variables) -> tuple[int, Known]:
        cost, operand = self.of(node.operand, known)
        inner = {**known, **dict(zip(node.variables, self._variables(node, operand, known), strict=True))}
        body, of_body = self.of(node.body, inner)
        condition = 0 if node.condition is None else self.of(node.condition, inner)[0]
        turn, around, size = _WRITTEN_OUT[node.kind]
        total = plus(cost, around, times(operand.most, plus(turn, body, condition)))
        if node.kind == "sortBy":
            most = operand.most
            total = plus(total, 10 + 1 + 1, 11 + 2 * times(most, most) + part(times(most, most), 0.1))
        if not size:
            return total, Known(size=1)
        element = inner[node.variables[0]] if node.kind == "filter" else of_body
        return total, Known(size=operand.most, value_size=element.size)

    def _variables(self, node: Comprehension, operand: Known, known: Variables) -> tuple[Known, ...]:
        """What is known of a macro's variables: dyn counts as a map."""
        kinds = self._checker.ranged(node, _types(known))
        is_list = operand.kind.name == "list"
        values = Known(size=operand.value_size, path=(*operand.path, "@items" if is_list else "@values"))
        keys = Known(size=operand.key_size, path=(*operand.path, "@indices" if is_list else "@keys"))
        chosen = (keys, values) if len(node.variables) == 2 else (values if is_list else keys,)
        return tuple(evolve(value, kind=kind) for value, kind in zip(chosen, kinds, strict=True))


_WRITTEN_OUT = {
    "all": (3, 1, False),
    "exists": (4, 1, False),
    "existsOne": (2, 2, False),
    "filter": (13, 11, True),
    "map": (12, 11, True),
    "transformList": (12, 11, True),
    "sortBy": (12, 11, True),
    "transformMap": (3, 31, True),
    "transformMapEntry": (2, 31, True),
}
"""For each macro: what a turn costs beside its parts, what the loop costs once, and whether it makes a collection."""


def _types(known: Variables) -> Scope:
    return {name: value.kind for name, value in known.items()}
