"""attrs converters: what the model's values freeze on the way in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from drakit.model.quantity import Quantity

# mypy cannot bind the type variables of a generic converter, hence one function per type that matters to callers.


def frozen_mapping(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Take a read-only copy."""
    return MappingProxyType(dict(value))


def string_mapping(value: Mapping[str, str]) -> Mapping[str, str]:
    """Take a read-only copy of names with strings; anything else is a TypeError, since it could not be stored."""
    for item in (*value.keys(), *value.values()):
        if not isinstance(item, str):
            raise TypeError(f"expected names with strings, not {item!r}")
    return MappingProxyType(dict(value))


def frozen_tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    """Take a tuple of any iterable but a string, which would be one value given by mistake."""
    if isinstance(values, str):
        raise TypeError(f"expected a sequence of values, not the string {values!r}")
    return tuple(values)


def quantity(value: str | int | Quantity) -> Quantity:
    """Parse a quantity."""
    return Quantity(value)


def optional_quantity(value: str | int | Quantity | None) -> Quantity | None:
    """Parse a quantity that may be absent."""
    return None if value is None else Quantity(value)


def quantity_tuple(values: Iterable[str | int | Quantity]) -> tuple[Quantity, ...]:
    """Parse several quantities."""
    return tuple(Quantity(value) for value in values)


def quantity_mapping(value: Mapping[str, str | int | Quantity]) -> Mapping[str, Quantity]:
    """Parse named quantities."""
    return MappingProxyType({name: Quantity(amount) for name, amount in value.items()})
