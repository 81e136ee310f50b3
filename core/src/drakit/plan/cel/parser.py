"""Tokens to a syntax tree: CEL's grammar with the macros the DRA environment has.

Nesting is limited (upstream allows 250 levels of its own grammar, nobody writes ten), so that neither parsing nor
anything that walks the tree can exhaust the stack.
"""

from __future__ import annotations

from collections.abc import Collection

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
    depth,
)
from drakit.plan.cel.errors import CelSyntaxError
from drakit.plan.cel.lexer import RESERVED, Token, tokens
from drakit.plan.cel.values import INT_MAX, UInt

MAX_BYTES = 10 * 1024
MAX_NESTING = 64

_BINARY = {
    **dict.fromkeys(["==", "!=", "<", "<=", ">", ">=", "in"], 1),
    **dict.fromkeys(["+", "-"], 2),
    **dict.fromkeys(["*", "/", "%"], 3),
}
_QUANTIFIERS = {"all": "all", "exists": "exists", "exists_one": "existsOne", "existsOne": "existsOne"}


def parse(source: str, qualified: Collection[str]) -> Node:
    """The tree of an expression. `qualified` are the functions with a namespace, such as `sets.contains`.

    Raises CelSyntaxError.
    """
    if len(source.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise CelSyntaxError(f"the expression is longer than {MAX_BYTES} bytes; shorten it")
    parser = _Parser(tokens(source), qualified)
    root = parser.expression()
    if parser.next.kind != "end":
        raise CelSyntaxError(f"unexpected {parser.next.text!r}", parser.next.position)
    if depth(root) > MAX_NESTING:
        raise _too_deep(root.position)
    return root


def _too_deep(position: int) -> CelSyntaxError:
    return CelSyntaxError(f"the expression is nested more than {MAX_NESTING} levels deep; flatten it", position)


class _Parser:
    def __init__(self, found: list[Token], qualified: Collection[str]) -> None:
        self._tokens = found
        self._at = 0
        self._nesting = 0
        self._qualified = qualified

    @property
    def next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        if token.kind == "end":
            raise CelSyntaxError("the expression ends too early", token.position)
        self._at += 1
        return token

    def _accept(self, text: str) -> Token | None:
        if self.next.kind == "op" and self.next.text == text:
            return self._take()
        return None

    def _expect(self, text: str) -> Token:
        token = self._accept(text)
        if token is None:
            raise CelSyntaxError(f"expected {text!r}, found {self.next.text!r}", self.next.position)
        return token

    def expression(self) -> Node:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise _too_deep(self.next.position)
        condition = self._either()
        question = self._accept("?")
        if question:
            yes = self._either()
            self._expect(":")
            condition = Conditional(question.position, condition, yes, self.expression())
        self._nesting -= 1
        return condition

    def _either(self) -> Node:
        operands = [self._both()]
        position = self.next.position
        while self._accept("||"):
            operands.append(self._both())
        return Logical(position, "||", tuple(operands)) if len(operands) > 1 else operands[0]

    def _both(self) -> Node:
        operands = [self._binary(1)]
        position = self.next.position
        while self._accept("&&"):
            operands.append(self._binary(1))
        return Logical(position, "&&", tuple(operands)) if len(operands) > 1 else operands[0]

    def _binary(self, least: int) -> Node:
        left = self._unary()
        while self.next.kind == "op" and _BINARY.get(self.next.text, 0) >= least:
            token = self._take()
            right = self._binary(_BINARY[token.text] + 1)
            if token.text == "in":
                left = Call(token.position, "@in", None, (left, right))
            else:
                left = Call(token.position, f"_{token.text}_", None, (left, right))
        return left

    def _unary(self) -> Node:
        token = self.next
        if token.kind == "op" and token.text in ("!", "-"):
            signs = 0
            while self._accept(token.text):
                signs += 1
            return self._signed(token, signs)
        return self._member(self._primary())

    def _signed(self, token: Token, signs: int) -> Node:
        number = self.next
        if token.text == "-" and number.kind == "literal" and type(number.value) in (int, float):
            signs -= 1
            operand = self._member(self._literal(self._take(), negative=True))
        else:
            operand = self._member(self._primary())
        return Call(token.position, f"{token.text}_", None, (operand,)) if signs % 2 else operand

    def _literal(self, token: Token, *, negative: bool = False) -> Node:
        value = token.value
        if negative and isinstance(value, int | float):
            return Literal(token.position, -value)
        if type(value) is int and value > INT_MAX and not isinstance(value, UInt):
            raise CelSyntaxError(f"the number {token.text} has more than 64 bits", token.position)
        return Literal(token.position, value)

    def _primary(self) -> Node:
        token = self._take()
        if token.kind == "literal":
            return self._literal(token)
        if token.kind == "ident":
            return self._name(token)
        if token.text == "(":
            inside = self.expression()
            self._expect(")")
            return inside
        if token.text == "[":
            return self._list(token)
        if token.text == "{":
            return self._map(token)
        if token.text == "." and self.next.kind == "ident":
            return self._name(self._take())
        raise CelSyntaxError(f"unexpected {token.text!r}", token.position)

    def _name(self, token: Token) -> Node:
        if token.text in RESERVED:
            raise CelSyntaxError(f"{token.text!r} is a reserved word", token.position)
        if self.next.text == "{" and self.next.kind == "op":
            raise CelSyntaxError("messages cannot be made in a device selector", token.position)
        if not self._accept("("):
            return Ident(token.position, token.text)
        arguments = self._arguments()
        if token.text == "has":
            return self._has(token, arguments)
        return Call(token.position, token.text, None, arguments)

    @staticmethod
    def _has(token: Token, arguments: tuple[Node, ...]) -> Node:
        if len(arguments) == 1 and isinstance(arguments[0], Select) and not arguments[0].optional:
            return Has(token.position, arguments[0].operand, arguments[0].field)
        raise CelSyntaxError("has() takes one field, as in has(a.b)", token.position)

    def _arguments(self) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._accept(")"):
            if found:
                self._expect(",")
            found.append(self.expression())
        return tuple(found)

    def _list(self, start: Token) -> Node:
        elements: list[Node] = []
        optional = set()
        while not self._accept("]"):
            if self._accept("?"):
                optional.add(len(elements))
            elements.append(self.expression())
            if not self._accept(","):
                self._expect("]")
                break
        return ListLiteral(start.position, tuple(elements), frozenset(optional))

    def _map(self, start: Token) -> Node:
        keys: list[Node] = []
        values: list[Node] = []
        optional = set()
        while not self._accept("}"):
            if self._accept("?"):
                optional.add(len(keys))
            keys.append(self.expression())
            self._expect(":")
            values.append(self.expression())
            if not self._accept(","):
                self._expect("}")
                break
        return MapLiteral(start.position, tuple(keys), tuple(values), frozenset(optional))

    def _member(self, operand: Node) -> Node:
        while True:
            token = self.next
            if self._accept("."):
                operand = self._selected(token, operand)
            elif self._accept("["):
                optional = self._accept("?") is not None
                operand = Index(token.position, operand, self.expression(), optional)
                self._expect("]")
            else:
                return operand

    def _selected(self, dot: Token, operand: Node) -> Node:
        optional = self._accept("?") is not None
        name = self._take()
        if name.kind != "ident" and name.text not in RESERVED:
            raise CelSyntaxError(f"expected a field's name, found {name.text!r}", name.position)
        if optional or not self._accept("("):
            return Select(dot.position, operand, name.text, optional)
        return self._call(self._tokens[self._at - 1], operand, name.text, self._arguments())

    def _call(self, paren: Token, target: Node, name: str, arguments: tuple[Node, ...]) -> Node:
        position = paren.position
        if isinstance(target, Ident):
            if (target.name, name) == ("cel", "bind") and len(arguments) == 3:
                return Bind(position, _variable(arguments[0]), arguments[1], arguments[2])
            if f"{target.name}.{name}" in self._qualified:
                return Call(position, f"{target.name}.{name}", None, arguments)
        macro = _macro(position, target, name, arguments)
        return macro or Call(position, name, target, arguments)


def _macro(position: int, target: Node, name: str, arguments: tuple[Node, ...]) -> Node | None:
    count = len(arguments)
    if name in _QUANTIFIERS and count in (2, 3):
        return Comprehension(position, _QUANTIFIERS[name], target, _variables(arguments[:-1]), None, arguments[-1])
    if name in ("filter", "sortBy") and count == 2:
        return Comprehension(position, name, target, _variables(arguments[:1]), None, arguments[1])
    variables = {"map": 1, "transformList": 2, "transformMap": 2, "transformMapEntry": 2}.get(name)
    if variables and count in (variables + 1, variables + 2):
        condition = arguments[variables] if count == variables + 2 else None
        return Comprehension(position, name, target, _variables(arguments[:variables]), condition, arguments[-1])
    if name in ("optMap", "optFlatMap") and count == 2:
        return OptionalMap(position, target, _variable(arguments[0]), arguments[1], name == "optFlatMap")
    return None


def _variables(nodes: tuple[Node, ...]) -> tuple[str, ...]:
    names = tuple(_variable(node) for node in nodes)
    if len(set(names)) != len(names):
        raise CelSyntaxError(f"the variable {names[0]!r} is named twice", nodes[-1].position)
    return names


def _variable(node: Node) -> str:
    if not isinstance(node, Ident):
        raise CelSyntaxError("a macro's variable must be a simple name", node.position)
    return node.name
