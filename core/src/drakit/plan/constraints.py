"""The state of a claim's constraints while devices are tried: each device that is added can be removed again."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Protocol

from drakit.model import AttributeValue, Device, Version
from drakit.plan.claims import Constraint
from drakit.plan.profiles import Bug, KubeProfile

Value = tuple[type, object]
"""An attribute's value with its type: true is not 1, and a version is the text it was written as."""

Values = frozenset[Value]


UNKNOWN: Value = (tuple, None)
"""A list, for a distinctAttribute where lists are off: it may come first, but is not distinct from what came before."""


def values_of(device: Device, driver: str, attribute: str) -> Values:
    """The values a device has of a qualified attribute: none, one, or those of a list."""
    value = _attribute(device, driver, attribute)
    return frozenset() if value is None else frozenset(_typed(value))


def scalar_of(device: Device, driver: str, spec: Constraint) -> Values:
    """The same where lists are off: one is a value that matches no other, and is distinct from no other."""
    value = _attribute(device, driver, spec.attribute)
    if not isinstance(value, tuple):
        return frozenset() if value is None else frozenset(_typed(value))
    return frozenset({(tuple, object()) if spec.match_attribute else UNKNOWN})


def _distinct(values: Values, before: Iterable[Values]) -> bool:
    return all(UNKNOWN not in values and seen.isdisjoint(values) for seen in before)


def _attribute(device: Device, driver: str, attribute: str) -> AttributeValue | None:
    value = device.attributes.get(attribute)
    if value is None:
        domain, _, name = attribute.partition("/")
        value = device.attributes.get(name) if domain == driver else None
    return value


def _typed(value: AttributeValue) -> Iterable[Value]:
    for item in value if isinstance(value, tuple) else (value,):
        yield (type(item), item.text if isinstance(item, Version) else item)


class State(Protocol):
    """What a constraint remembers. `request` is a request's name, without that of an alternative."""

    def add(self, request: str, values: Values) -> bool:
        """Take a device's values in; False, and nothing changed, if that cannot be."""

    def remove(self, request: str, values: Values) -> None:
        """Undo the last `add`."""

    def known(self) -> Hashable:
        """All that it remembers."""


class Match:
    """All devices have a value in common."""

    def __init__(self) -> None:
        self._common: list[Values] = []

    @property
    def common(self) -> Values | None:
        """What the devices so far have in common; None where there are none."""
        return self._common[-1] if self._common else None

    def add(self, _request: str, values: Values) -> bool:
        """See State."""
        if self._common:
            values = self._common[-1] & values
        if not values:
            return False
        self._common.append(values)
        return True

    def remove(self, _request: str, _values: Values) -> None:
        """See State."""
        self._common.pop()

    def known(self) -> Hashable:
        """See State."""
        return self.common


class Distinct:
    """No two devices have a value in common."""

    def __init__(self) -> None:
        self._seen: list[Values] = []

    def add(self, _request: str, values: Values) -> bool:
        """See State."""
        if not values or not _distinct(values, self._seen):
            return False
        self._seen.append(values)
        return True

    def remove(self, _request: str, _values: Values) -> None:
        """See State."""
        self._seen.pop()

    def known(self) -> Hashable:
        """See State."""
        return frozenset(self._seen)


class MatchStayingNarrowed:
    """Match, with Bug.LISTS_STAY_NARROWED."""

    def __init__(self) -> None:
        self._devices = 0
        self._common: Values = frozenset()

    def add(self, _request: str, values: Values) -> bool:
        """See State."""
        common = self._common & values if self._devices else values
        if not common:
            return False
        self._common = common
        self._devices += 1
        return True

    def remove(self, _request: str, _values: Values) -> None:
        """See State."""
        self._devices -= 1

    def known(self) -> Hashable:
        """See State."""
        return (self._devices, self._common)


class DistinctFromLast:
    """Distinct, with Bug.LAST_DISTINCT_ONLY."""

    def __init__(self) -> None:
        self._devices = 0
        self._last: dict[str, Values] = {}

    def add(self, request: str, values: Values) -> bool:
        """See State."""
        if not values:
            return False
        if self._devices and not _distinct(values, self._last.values()):
            return False
        self._last[request] = values
        self._devices += 1
        return True

    def remove(self, request: str, _values: Values) -> None:
        """See State."""
        self._last.pop(request, None)
        self._devices -= 1

    def known(self) -> Hashable:
        """See State."""
        return (self._devices, frozenset(self._last.items()))


def track(spec: Constraint, profile: KubeProfile) -> State:
    """The state for one constraint, with no device in it yet."""
    if spec.match_attribute is None:
        return DistinctFromLast() if Bug.LAST_DISTINCT_ONLY in profile.bugs else Distinct()
    narrowed = Bug.LISTS_STAY_NARROWED in profile.bugs and profile.features.lists
    return MatchStayingNarrowed() if narrowed else Match()
