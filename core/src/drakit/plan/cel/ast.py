"""The syntax tree of a CEL expression. Macros are nodes of their own, so an explanation can speak of what was written.

`position` is the offset of the character that the node is about, as error messages give it.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
from attrs import frozen

Constant = None | bool | int | float | str | bytes


@frozen
class Node:
    """Any expression."""

    position: int

    def parts(self) -> Iterator[Node]:
        """The expressions directly inside this one."""
        for attribute in attrs.fields(type(self)):
            value = getattr(self, attribute.name)
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, Node):
                    yield item


@frozen
class Literal(Node):
    """A constant; an unsigned one is a `values.UInt`."""

    value: Constant


@frozen
class Ident(Node):
    """A variable, or the name of a type."""

    name: str


@frozen
class Select(Node):
    """`operand.field`, or `operand.?field`."""

    operand: Node
    field: str
    optional: bool = False


@frozen
class Has(Node):
    """`has(operand.field)`."""

    operand: Node
    field: str


@frozen
class Index(Node):
    """`operand[index]`, or `operand[?index]`."""

    operand: Node
    index: Node
    optional: bool = False


@frozen
class Call(Node):
    """A function, an operator (such as `_+_`) or, with a target, a method."""

    function: str
    target: Node | None
    arguments: tuple[Node, ...]


@frozen
class Logical(Node):
    """A chain of `&&`, or of `||`, flat however long it is."""

    operator: str
    operands: tuple[Node, ...]


@frozen
class Conditional(Node):
    """`condition ? yes : no`."""

    condition: Node
    yes: Node
    no: Node


@frozen
class ListLiteral(Node):
    """`[a, ?b]`; `optional` holds the places with a question mark."""

    elements: tuple[Node, ...]
    optional: frozenset[int] = frozenset()


@frozen
class MapLiteral(Node):
    """`{k: v, ?k: v}`."""

    keys: tuple[Node, ...]
    values: tuple[Node, ...]
    optional: frozenset[int] = frozenset()


@frozen
class Comprehension(Node):
    """A macro over a list or a map: `operand.kind(variables, condition?, body)`.

    `kind` is all, exists, existsOne, filter, map, transformList, transformMap, transformMapEntry or sortBy. Quantifiers
    have their predicate as `body`. With one variable it takes elements, or keys; with two, index or key, and value.
    """

    kind: str
    operand: Node
    variables: tuple[str, ...]
    condition: Node | None
    body: Node


@frozen
class Bind(Node):
    """`cel.bind(name, value, body)`."""

    name: str
    value: Node
    body: Node


@frozen
class OptionalMap(Node):
    """`operand.optMap(variable, body)`, or `optFlatMap` where the body is an optional itself."""

    operand: Node
    variable: str
    body: Node
    flat: bool


def depth(root: Node) -> int:
    """How deep the tree is; itself not recursive."""
    deepest, level = 0, [root]
    while level:
        deepest += 1
        level = [part for node in level for part in node.parts()]
    return deepest
