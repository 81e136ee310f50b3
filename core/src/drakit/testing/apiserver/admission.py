"""What the server makes of a document before it is validated and stored: defaults, canonical forms, dropped fields."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from drakit.model import Quantity
from drakit.testing.apiserver.resources import Document

_DECIMAL_SUFFIXES = {-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}
_BINARY_SUFFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def now() -> str:
    """The time, as metadata has it: whole seconds, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def drop_slice_fields(document: Document, dropped: frozenset[str]) -> None:
    """Drop, in place, fields of a slice and its devices, silently, as the server does whose feature gate is off."""
    spec = document["spec"]
    for field in dropped:
        spec.pop(field, None)
        for device in spec.get("devices") or ():
            device.pop(field, None)


def drop_deallocated(document: Document, old: Document) -> None:
    """Drop, in place, what a claim's status says of devices that the claim had until now."""
    status = document.get("status") or {}
    if not status.get("devices"):
        return
    lost = _allocated(old) - _allocated(document)
    status["devices"] = [entry for entry in status["devices"] if identity(entry) not in lost]


def _allocated(document: Document) -> set[tuple[Any, ...]]:
    allocation = (document.get("status") or {}).get("allocation") or {}
    return {identity(result) for result in (allocation.get("devices") or {}).get("results") or ()}


def identity(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells the devices of a claim apart, in its allocation and its status."""
    return entry.get("driver"), entry.get("pool"), entry.get("device"), entry.get("shareID")


def normalize_slice(document: Document) -> None:
    """Bring a valid slice, in place, into the form it is read back in.

    Empty fields vanish, taints get the time they were added, and quantities their canonical spelling.
    """
    spec = document["spec"] = _without_empty(document["spec"])
    for counter_set in spec.get("sharedCounters", ()):
        _canonical_values(counter_set["counters"])
    for device in spec.get("devices", ()):
        for taint in device.get("taints", ()):
            taint.setdefault("timeAdded", now())
        for consumption in device.get("consumesCounters", ()):
            _canonical_values(consumption["counters"])
        _canonical_values(device.get("capacity", {}))


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: kept for key, item in value.items() if (kept := _without_empty(item)) not in (None, {}, [])}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def _canonical_values(entries: dict[str, Any]) -> None:
    for entry in entries.values():
        entry["value"] = canonical_quantity(entry["value"])
        policy = entry.get("requestPolicy", {})
        if "default" in policy:
            policy["default"] = canonical_quantity(policy["default"])
        if "validValues" in policy:
            policy["validValues"] = [canonical_quantity(value) for value in policy["validValues"]]
        for bound, value in policy.get("validRange", {}).items():
            policy["validRange"][bound] = canonical_quantity(value)


def canonical_quantity(text: str | int) -> str:
    """The one spelling of a quantity that the server gives back: `1024Mi` is `1Gi`, `1500m` stays, `1000m` is `1`.

    The suffix stays of the kind it was; a binary one gives way to a decimal one for fractions and for less than 1024.
    """
    nanos = Quantity(text).nanos
    written = str(text)
    if nanos == 0:
        return "0"
    if written.endswith("i") and nanos % 10**9 == 0 and abs(nanos) >= 1024 * 10**9:
        return _scaled(nanos // 10**9, 1024, _BINARY_SUFFIXES)
    mantissa, power = nanos, -9
    while mantissa % 1000 == 0 and power < 18:
        mantissa, power = mantissa // 1000, power + 3
    exponential = "e" in written or ("E" in written and written[-1] not in "Ei")
    suffix = (f"e{power}" if power else "") if exponential else _DECIMAL_SUFFIXES[power]
    return f"{mantissa}{suffix}"


def _scaled(number: int, base: int, suffixes: tuple[str, ...]) -> str:
    power = 0
    while number % base == 0 and power < len(suffixes) - 1:
        number, power = number // base, power + 1
    return f"{number}{suffixes[power]}"
