"""A selector taken apart for explanations: the conditions that `&&` joins, each with its text, verdict and operands."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache

from attrs import field, frozen

from drakit.plan.cel.ast import Has, Ident, Index, Literal, Logical, Node, Select
from drakit.plan.cel.errors import CelRuntimeError
from drakit.plan.cel.lexer import Token, tokens
from drakit.plan.cel.program import Program
from drakit.plan.cel.selector import Selector
from drakit.plan.cel.values import DeviceValue, Value


@frozen(slots=False)
class Conjunct:
    """One of the conditions of a selector that must all hold. `text` is as it was written."""

    text: str
    root: Node = field(repr=False, eq=False)

    @cached_property
    def _program(self) -> Program:
        return Program(self.root)

    @cached_property
    def references(self) -> tuple[tuple[str, Program], ...]:
        """What it reads of the device, by how that is written: `device.attributes["d"].x`."""
        found = {text: Program(node) for text, node in _references(self.root)}
        return tuple(found.items())

    def verdict(self, device: DeviceValue) -> bool:
        """Whether the device meets it. Raises CelRuntimeError."""
        value = self._program.run(device)
        if value is True or value is False:
            return bool(value)
        raise CelRuntimeError("the condition is not a bool")

    def operands(self, device: DeviceValue) -> dict[str, Value | CelRuntimeError]:
        """What it reads of the device, with the actual values, or why there is none."""
        return {text: _value(program, device) for text, program in self.references}


def _value(program: Program, device: DeviceValue) -> Value | CelRuntimeError:
    try:
        return program.run(device)
    except CelRuntimeError as error:
        return error


@lru_cache(maxsize=1024)
def conjuncts(selector: Selector) -> tuple[Conjunct, ...]:
    """The conditions of a selector, in the order of its text; one where it is no `&&`."""
    return tuple(Conjunct(text, node) for text, node in _taken_apart(selector.expression.strip(), selector.root))


def _taken_apart(text: str, node: Node) -> Iterator[tuple[str, Node]]:
    if not isinstance(node, Logical) or node.operator != "&&":
        yield text, node
        return
    pieces = _split(text)
    if len(pieces) != len(node.operands):
        yield text, node
        return
    for piece, operand in zip(pieces, node.operands, strict=True):
        yield from _taken_apart(piece, operand)


def _split(text: str) -> list[str]:
    """The text between the `&&` that are in no brackets, brackets around all of it aside."""
    found = tokens(text)
    while _enclosed(found):
        text = text[found[0].position + 1 : found[-2].position].strip()
        found = tokens(text)
    pieces, start, nesting = [], 0, 0
    for token in found:
        nesting += _nesting(token)
        if token.kind == "end" or (token.kind == "op" and token.text == "&&" and not nesting):
            pieces.append(text[start : token.position].strip())
            start = token.position + 2
    return pieces


def _nesting(token: Token) -> int:
    if token.kind != "op":
        return 0
    return (token.text in "([{") - (token.text in ")]}")


def _enclosed(found: list[Token]) -> bool:
    """Whether the first bracket is closed by the last token."""
    if len(found) < 3 or found[0].text != "(" or found[0].kind != "op":
        return False
    nesting = 0
    for place, token in enumerate(found[:-1]):
        nesting += _nesting(token)
        if not nesting:
            return place == len(found) - 2
    return False


def _references(node: Node) -> Iterator[tuple[str, Node]]:
    text = _written(node)
    if text is not None and text != "device":
        yield text, node
        return
    if isinstance(node, Has):
        inside = _written(node.operand)
        if inside is not None:
            yield f"has({inside}.{node.field})", node
            return
    for part in node.parts():
        yield from _references(part)


def _written(node: Node) -> str | None:
    """A chain of fields and constant indices from `device` on, as text; None for anything else."""
    match node:
        case Ident(name="device"):
            return "device"
        case Select(operand=operand, field=name, optional=optional):
            inside, step = _written(operand), f".{'?' * optional}{name}"
        case Index(operand=operand, index=Literal(value=str(key)), optional=optional):
            inside, step = _written(operand), f'[{"?" * optional}"{key}"]'
        case _:
            return None
    return None if inside is None else inside + step
