"""A plugin's expression, evaluated by the planner's CEL, and the driver's own word on the same document."""

from __future__ import annotations

import functools
from typing import Any
from unittest.mock import patch

from drakit.admission.policy import PARAMETERS, expression
from drakit.decoding import decode_config
from drakit.errors import InvalidDeviceConfig
from drakit.model import ConfigSource, OpaqueConfig
from drakit.plan.cel.checker import Checker
from drakit.plan.cel.evaluator import Compiler
from drakit.plan.cel.library import QUALIFIED
from drakit.plan.cel.parser import parse
from drakit.plan.cel.types import DYN, STRING

_BUDGET = 10**9
_PLACE = 2
"""Of the variable in a frame: behind the budget and the device, which is not there."""


@functools.cache
def _compiled(text: str) -> Any:
    with patch.multiple("drakit.plan.cel.parser", MAX_BYTES=100_000, MAX_NESTING=250):  # device selectors have less
        root = parse(text, QUALIFIED)
    assert Checker(()).type_of(root, {PARAMETERS: DYN}) == STRING
    compiler = Compiler()
    compiler.size = _PLACE + 1
    run = compiler.closure(root, {PARAMETERS: _PLACE})
    return lambda value: run([_BUDGET, None, value, *[None] * (compiler.size - _PLACE - 1)])


def admission(kinds: tuple[type, ...], parameters: Any) -> str:
    """What the policy says of parameters; empty if it admits them."""
    text, _ = expression(kinds)
    said = _compiled(text)(as_read(parameters))
    assert isinstance(said, str)
    return said


def driver(kinds: tuple[type, ...], parameters: Any) -> str:
    """What the driver says of them; empty if it takes them."""
    try:
        decode_config(OpaqueConfig(ConfigSource.CLAIM, parameters), kinds)
    except InvalidDeviceConfig as error:
        return str(error)
    return ""


def as_read(value: Any) -> Any:
    """A JSON value as the API server hands it to CEL: an integer beyond 64 bits is a double."""
    if isinstance(value, dict):
        return {key: as_read(one) for key, one in value.items()}
    if isinstance(value, list):
        return tuple(map(as_read, value))
    if type(value) is int and not -(2**63) <= value < 2**63:
        return float(value)
    return value
