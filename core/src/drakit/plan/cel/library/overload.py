"""How a function is declared: its signature as CEL's documentation writes it, and the Python that computes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from attrs import frozen

from drakit.plan.cel.types import Type, parse_type
from drakit.plan.cel.values import family

_SIGNATURE = re.compile(r"(?:<(?P<receiver>[^>]+)>\.)?(?P<name>[^()]+)\((?P<parameters>.*)\) -> (?P<result>.+)")


@frozen
class Overload:
    """One function for one list of parameter types; a method's receiver is the first parameter."""

    name: str
    is_method: bool
    parameters: tuple[Type, ...]
    result: Type
    call: Callable[..., Any]

    def takes(self, values: tuple[Any, ...]) -> bool:
        """Do these values fit at run time? Elements of lists and maps are not looked at."""
        return all(
            parameter.is_variable or parameter.name in ("dyn", family(value))
            for parameter, value in zip(self.parameters, values, strict=True)
        )


def overload(signature: str, call: Callable[..., Any]) -> Overload:
    """`overload("<string>.contains(string) -> bool", ...)`; without `<receiver>.` it is a function."""
    match = _SIGNATURE.fullmatch(signature)
    assert match is not None, signature
    receiver = (match["receiver"],) if match["receiver"] else ()
    parameters = (*receiver, *_split(match["parameters"]))
    return Overload(
        match["name"], bool(receiver), tuple(map(parse_type, parameters)), parse_type(match["result"]), call
    )


def _split(text: str) -> list[str]:
    """Cut at commas outside parentheses."""
    return [piece.strip() for piece in re.split(r",(?![^(]*\))", text) if piece.strip()]
