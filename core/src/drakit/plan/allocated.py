"""What claims hold already."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from attrs import field, frozen

from drakit.errors import LimitExceeded
from drakit.model import DeviceRef, Quantity
from drakit.plan.errors import InvalidDocument

Consumed = Mapping[str, int]
"""Billionths of each capacity."""


def _devices(devices: Collection[DeviceRef]) -> frozenset[DeviceRef]:
    return frozenset(devices)


@frozen(kw_only=True)
class Allocated:
    """Devices held as a whole, devices held in shares, and how much of the latter's capacity is consumed."""

    devices: frozenset[DeviceRef] = field(default=frozenset(), converter=_devices)
    shares: frozenset[DeviceRef] = field(default=frozenset(), converter=_devices)
    consumed: Mapping[DeviceRef, Consumed] = field(factory=dict)

    @classmethod
    def of_claims(cls, documents: Iterable[Mapping[str, Any]]) -> Allocated:
        """What ResourceClaim documents hold, admin access not counted. Raises InvalidDocument."""
        devices, shares, consumed = set(), set(), dict[DeviceRef, dict[str, int]]()
        for document in documents:
            for result in _results(document):
                if result.get("adminAccess"):
                    continue
                try:
                    ref = DeviceRef(result["driver"], result["pool"], result["device"])
                    amounts = {k: Quantity(v).nanos for k, v in (result.get("consumedCapacity") or {}).items()}
                except (LimitExceeded, KeyError) as error:
                    name = (document.get("metadata") or {}).get("name")
                    raise InvalidDocument(f"claim {name!r}: status.allocation.devices.results: {error}") from None
                if not result.get("shareID"):
                    devices.add(ref)
                    continue
                shares.add(ref)
                if amounts:
                    known = consumed.setdefault(ref, {})
                    for capacity, amount in amounts.items():
                        known[capacity] = known.get(capacity, 0) + amount
        return cls(devices=devices, shares=shares, consumed=consumed)

    @property
    def every(self) -> frozenset[DeviceRef]:
        """All devices that anything of is held."""
        return self.devices | self.shares | frozenset(self.consumed)


def _results(document: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    allocation = (document.get("status") or {}).get("allocation") or {}
    found: Iterable[Mapping[str, Any]] = (allocation.get("devices") or {}).get("results") or ()
    return found
