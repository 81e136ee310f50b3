"""`"%s-%d".format([a, b])`: the clauses of CEL's string extension."""

from __future__ import annotations

import re
from typing import Any

from drakit.model import Quantity, Version
from drakit.plan.cel.errors import CelRuntimeError
from drakit.plan.cel.values import CelType, UInt, family

_CLAUSE = re.compile(r"%(?:(%)|(\.\d+)?([a-zA-Z])|)")


def format_string(template: str, values: tuple[Any, ...]) -> str:
    """Fill the clauses of a template. Raises CelRuntimeError."""
    given = iter(values)

    def fill(match: re.Match[str]) -> str:
        percent, precision, clause = match.groups()
        if percent:
            return "%"
        if clause is None or clause not in "sdfexXob":
            raise CelRuntimeError(f"format: unknown clause {match[0]!r}")
        try:
            value = next(given)
        except StopIteration:
            raise CelRuntimeError(f"format: no argument for {match[0]!r}") from None
        return _clause(clause, int(precision[1:]) if precision else None, value)

    return _CLAUSE.sub(fill, template)


def _clause(clause: str, precision: int | None, value: Any) -> str:
    if clause == "s":
        return _text(value)
    kind = type(value)
    if clause == "d" and kind in (int, UInt):
        return str(value)
    if clause in "fe" and kind in (int, UInt, float):
        return f"{float(value):.{6 if precision is None else min(precision, 1000)}{clause}}"
    if clause in "xXob" and kind in (int, UInt):
        return f"{int(value):{clause}}"
    if clause == "b" and kind is bool:
        return "1" if value else "0"
    if clause in "xX" and kind in (str, bytes):
        digits = (value.encode() if kind is str else value).hex()
        return str(digits.upper() if clause == "X" else digits)
    raise CelRuntimeError(f"format: %{clause} does not take a {family(value)}")


def _text(value: Any) -> str:  # noqa: PLR0911 - one line per type of value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, CelType):
        return value.name
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(sorted(f"{_text(key)}: {_text(item)}" for key, item in value.items())) + "}"
    if isinstance(value, Quantity | Version):
        raise CelRuntimeError(f"format: %s does not take a {family(value)}")
    return str(value)
