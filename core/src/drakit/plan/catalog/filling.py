"""Texts with values in braces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from drakit.plan.catalog.model import Values

_PLACE = re.compile(r"\{([A-Za-z][A-Za-z0-9]*)\}")


def fill(item: Any, values: Values) -> Any:
    """Put values where their names stand in braces, in all texts of some plain data. Raises ValueError.

    Braces around anything else, as CEL has them, are left alone.
    """
    if isinstance(item, Mapping):
        return {key: fill(inner, values) for key, inner in item.items()}
    if isinstance(item, list | tuple):
        return [fill(inner, values) for inner in item]
    if not isinstance(item, str):
        return item
    if whole := _PLACE.fullmatch(item):
        return _value(whole[1], values)
    return _PLACE.sub(lambda match: str(_value(match[1], values)), item)


def _value(name: str, values: Values) -> Any:
    if name not in values:
        raise ValueError(f"there is no value {name!r}; there are: {', '.join(sorted(values))}")
    return values[name]
