"""The state of a claim's constraints while devices are tried: each device that is added can be removed again."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from drakit.model import AttributeValue, Device, Version
from drakit.plan.claims import Constraint

Value = tuple[type, object]
"""An attribute's value with its type: true is not 1, and a version is the text it was written as."""


def values_of(device: Device, driver: str, attribute: str) -> frozenset[Value]:
    """The values a device has of a qualified attribute: none, one, or those of a list."""
    value = device.attributes.get(attribute)
    if value is None:
        domain, _, name = attribute.rpartition("/")
        value = device.attributes.get(name) if domain == driver else None
    return frozenset() if value is None else frozenset(_typed(value))


def _typed(value: AttributeValue) -> Iterable[Value]:
    for item in value if isinstance(value, tuple) else (value,):
        yield (type(item), item.text if isinstance(item, Version) else item)


class MatchConstraint:
    """All devices have a value in common.

    `viable`, where it is known, holds the values that enough free devices have: others need not be tried.
    """

    def __init__(self, spec: Constraint) -> None:
        self.spec = spec
        self.viable: Collection[Value] | None = None
        self._common: list[frozenset[Value]] = []

    def add(self, values: frozenset[Value]) -> bool:
        """Take a device's values in; False, and nothing changed, if that cannot be."""
        if self._common:
            values = self._common[-1] & values
        elif self.viable is not None and not any(value in self.viable for value in values):
            return False
        if not values:
            return False
        self._common.append(values)
        return True

    def remove(self, _values: frozenset[Value]) -> None:
        """Undo the last `add`."""
        self._common.pop()


class DistinctConstraint:
    """No two devices have a value in common."""

    def __init__(self, spec: Constraint) -> None:
        self.spec = spec
        self._seen: set[Value] = set()

    def add(self, values: frozenset[Value]) -> bool:
        """Take a device's values in; False, and nothing changed, if that cannot be."""
        if not values or not self._seen.isdisjoint(values):
            return False
        self._seen |= values
        return True

    def remove(self, values: frozenset[Value]) -> None:
        """Undo the `add` of these values."""
        self._seen -= values


def track(spec: Constraint) -> MatchConstraint | DistinctConstraint:
    """The state for one constraint, with no device in it yet."""
    return MatchConstraint(spec) if spec.match_attribute is not None else DistinctConstraint(spec)
