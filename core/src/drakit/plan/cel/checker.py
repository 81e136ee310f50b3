"""Static checks: every name is known, and for every call some function takes arguments of these types.

The type of an attribute is only known at run time (dyn), so what is refused here is what upstream refuses too: unknown
names, calls that no overload can take, lists and maps of mixed types, bad regular expressions, and a result that
cannot be a bool.
"""

from __future__ import annotations

from collections.abc import Container

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
from drakit.plan.cel.errors import CelTypeError
from drakit.plan.cel.library import FUNCTIONS, MISSING, NAMES
from drakit.plan.cel.library.standard import TYPE_NAMES
from drakit.plan.cel.regex import compile_re2
from drakit.plan.cel.types import (
    BOOL,
    DYN,
    INT,
    STRING,
    UNKNOWN,
    Type,
    accepts,
    equivalent,
    join,
    list_of,
    map_of,
    optional_of,
    parse_type,
    substitute,
)
from drakit.plan.cel.values import family

Scope = dict[str, Type]

DEVICE = "kubernetes.DRADevice"
DEVICE_FIELDS: dict[str, Type] = {
    "driver": STRING,
    "allowMultipleAllocations": BOOL,
    "attributes": parse_type("map(string, map(string, dyn))"),
    "capacity": parse_type("map(string, map(string, Quantity))"),
}

_REGEX_FUNCTIONS = {"matches": "matches", "find": "find", "findAll": "findAll"}
_MIXED_ALLOWED = "format"
"""The one function whose list of arguments may be of mixed types."""


def check(root: Node, without: Container[str] = ()) -> None:
    """Raise CelTypeError unless the expression compiles, and may give a bool, for a device.

    `without` names functions and fields of devices that there are not.
    """
    result = Checker(without).type_of(root, {"device": Type(DEVICE)})
    if result not in (BOOL, DYN, UNKNOWN):
        raise CelTypeError(f"must evaluate to bool or the unknown type, not {result}")


class Checker:
    """Finds the types of nodes, or what is wrong with them."""

    def __init__(self, without: Container[str]) -> None:
        self._without = without

    def ranged(self, node: Comprehension, scope: Scope) -> tuple[Type, ...]:
        """The types of a macro's variables."""
        return _ranged(self.type_of(node.operand, scope), node)

    def type_of(self, node: Node, scope: Scope) -> Type:
        """The type of a node. Raises CelTypeError."""
        method = getattr(self, f"_{type(node).__name__.lower()}")
        found: Type = method(node, scope)
        return found

    def _literal(self, node: Literal, _scope: Scope) -> Type:
        return Type(family(node.value))

    def _ident(self, node: Ident, scope: Scope) -> Type:
        if node.name in scope:
            return scope[node.name]
        if node.name in TYPE_NAMES:
            return Type("type")
        raise CelTypeError(f"undeclared reference to {node.name!r}", node.position)

    def _select(self, node: Select, scope: Scope) -> Type:
        operand = self.type_of(node.operand, scope)
        inside, wrapped = _unwrap(operand)
        found = self._field(inside, node.field, node.position)
        return optional_of(found) if node.optional or wrapped else found

    def _has(self, node: Has, scope: Scope) -> Type:
        inside, _ = _unwrap(self.type_of(node.operand, scope))
        self._field(inside, node.field, node.position)
        return BOOL

    def _index(self, node: Index, scope: Scope) -> Type:
        inside, wrapped = _unwrap(self.type_of(node.operand, scope))
        index = self.type_of(node.index, scope)
        found = _element(inside, index)
        if found is None:
            raise CelTypeError(f"no matching overload for '_[_]' applied to '({inside}, {index})'", node.position)
        return optional_of(found) if node.optional or wrapped else found

    def _field(self, operand: Type, name: str, position: int) -> Type:
        if operand.name == DEVICE:
            if name not in DEVICE_FIELDS or name in self._without:
                raise CelTypeError(f"undefined field {name!r}", position)
            return DEVICE_FIELDS[name]
        if operand.name == "map":
            return operand.parameters[1]
        if operand in (DYN, UNKNOWN):
            return DYN
        raise CelTypeError(f"type '{operand}' does not support field selection", position)

    def _logical(self, node: Logical, scope: Scope) -> Type:
        for operand in node.operands:
            self._bool(operand, scope, f"'{node.operator}'")
        return BOOL

    def _bool(self, node: Node, scope: Scope, what: str) -> None:
        found = self.type_of(node, scope)
        if found not in (BOOL, DYN, UNKNOWN):
            raise CelTypeError(f"{what} needs a bool, not {found}", node.position)

    def _conditional(self, node: Conditional, scope: Scope) -> Type:
        self._bool(node.condition, scope, "'?:'")
        yes, no = self.type_of(node.yes, scope), self.type_of(node.no, scope)
        bound: dict[str, Type] = {}
        if not (accepts(Type("A"), yes, bound) and accepts(Type("A"), no, bound)):
            raise CelTypeError(f"'?:' needs one type on both sides, not {yes} and {no}", node.position)
        return join([yes, no])

    def _listliteral(self, node: ListLiteral, scope: Scope, *, mixed: bool = False) -> Type:
        found = [self.type_of(element, scope) for element in node.elements]
        types = [_optional_inside(kind, i in node.optional, node) for i, kind in enumerate(found)]
        if not mixed:
            _check_one_type(types, node.elements)
        return list_of(join(types))

    def _mapliteral(self, node: MapLiteral, scope: Scope) -> Type:
        keys = [self.type_of(key, scope) for key in node.keys]
        found = [self.type_of(value, scope) for value in node.values]
        values = [_optional_inside(kind, i in node.optional, node) for i, kind in enumerate(found)]
        _check_one_type(keys, node.keys)
        _check_one_type(values, node.values)
        return map_of(join(keys), join(values))

    def _bind(self, node: Bind, scope: Scope) -> Type:
        return self.type_of(node.body, scope | {node.name: self.type_of(node.value, scope)})

    def _optionalmap(self, node: OptionalMap, scope: Scope) -> Type:
        operand = self.type_of(node.operand, scope)
        inside, wrapped = _unwrap(operand)
        if not wrapped and inside != DYN:
            raise CelTypeError(f"optMap needs an optional, not {operand}", node.position)
        body = self.type_of(node.body, scope | {node.variable: inside})
        if node.flat and body.name not in ("optional_type", "dyn"):
            raise CelTypeError(f"optFlatMap needs a body that gives an optional, not {body}", node.position)
        return body if node.flat else optional_of(body)

    def _comprehension(self, node: Comprehension, scope: Scope) -> Type:
        operand = self.type_of(node.operand, scope)
        inner = scope | dict(zip(node.variables, _ranged(operand, node), strict=True))
        if node.condition is not None:
            self._bool(node.condition, inner, node.kind)
        if node.kind in ("all", "exists", "existsOne", "filter"):
            self._bool(node.body, inner, node.kind)
            element = inner[node.variables[0]]
            return (operand if operand.name == "list" else list_of(element)) if node.kind == "filter" else BOOL
        body = self.type_of(node.body, inner)
        if node.kind == "sortBy":
            return operand
        if node.kind in ("map", "transformList"):
            return list_of(body)
        if node.kind == "transformMap":
            return map_of(inner[node.variables[0]], body)
        return body

    def _call(self, node: Call, scope: Scope) -> Type:
        operands = node.arguments if node.target is None else (node.target, *node.arguments)
        if node.function not in NAMES or node.function in self._without:
            # The receiver is checked first: a name that is unknown there is what the author wants to hear of.
            if node.target is not None and not isinstance(node.target, Ident):
                self.type_of(node.target, scope)
            reason = "; the planner does not have it" if node.function in MISSING else ""
            raise CelTypeError(f"undeclared reference to {node.function!r}{reason}", node.position)
        given = [self._argument(node, operand, scope) for operand in operands]
        results = []
        for overload in FUNCTIONS.get((node.function, node.target is not None, len(operands)), ()):
            bound: dict[str, Type] = {}
            if all(accepts(w, g, bound) for w, g in zip(overload.parameters, given, strict=True)):
                results.append(substitute(overload.result, bound))
        if not results:
            listed = ", ".join(str(kind) for kind in given)
            raise CelTypeError(f"no matching overload for {node.function!r} applied to '({listed})'", node.position)
        self._check_regex(node)
        return join(results)

    def _argument(self, call: Call, operand: Node, scope: Scope) -> Type:
        if call.function == _MIXED_ALLOWED and isinstance(operand, ListLiteral):
            return self._listliteral(operand, scope, mixed=True)
        return self.type_of(operand, scope)

    def _check_regex(self, node: Call) -> None:
        if node.function not in _REGEX_FUNCTIONS:
            return
        pattern = node.arguments[1 if node.target is None else 0]
        if isinstance(pattern, Literal) and isinstance(pattern.value, str):
            try:
                compile_re2(pattern.value)
            except ValueError as error:
                raise CelTypeError(f"invalid {node.function} argument: {error}", pattern.position) from None


class RememberingChecker(Checker):
    """Answers for each node of one tree once: for those who ask of nodes as they walk over them."""

    def __init__(self) -> None:
        super().__init__(())
        self._known: dict[int, Type] = {}

    def type_of(self, node: Node, scope: Scope) -> Type:
        """See Checker."""
        found = self._known.get(id(node))
        if found is None:
            found = self._known[id(node)] = super().type_of(node, scope)
        return found


def _unwrap(kind: Type) -> tuple[Type, bool]:
    """What is inside an optional, and whether it was one."""
    if kind.name == "optional_type":
        return (kind.parameters or (DYN,))[0], True
    return kind, False


def _optional_inside(kind: Type, optional: bool, node: Node) -> Type:
    if not optional:
        return kind
    inside, wrapped = _unwrap(kind)
    if not wrapped and kind != DYN:
        raise CelTypeError(f"'?' needs an optional, not {kind}", node.position)
    return inside


def _element(operand: Type, index: Type) -> Type | None:
    if operand in (DYN, UNKNOWN):
        return DYN
    if operand.name == "list" and index in (INT, DYN, UNKNOWN):
        return operand.parameters[0]
    if operand.name == "map" and accepts(operand.parameters[0], index, {}):
        return operand.parameters[1]
    return None


def _check_one_type(types: list[Type], nodes: tuple[Node, ...]) -> None:
    for kind, node in zip(types[1:], nodes[1:], strict=True):
        if not equivalent(types[0], kind):
            raise CelTypeError(f"expected type '{types[0]}' but found '{kind}'", node.position)


def _ranged(operand: Type, node: Comprehension) -> tuple[Type, ...]:
    """The types of a macro's variables."""
    two = len(node.variables) == 2
    if operand in (DYN, UNKNOWN):
        return (DYN,) * len(node.variables)
    if operand.name == "list":
        return (INT, operand.parameters[0]) if two else operand.parameters
    if operand.name == "map" and node.kind != "sortBy":
        return operand.parameters if two else operand.parameters[:1]
    raise CelTypeError(f"expression of type '{operand}' cannot be the range of {node.kind}", node.position)
