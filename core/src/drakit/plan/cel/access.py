"""Looking things up in values: `a.b`, `a[b]`, and their optional forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drakit.plan.cel.errors import CelRuntimeError
from drakit.plan.cel.values import NONE, DeviceValue, Domains, Optional, UInt, has_key, no_overload

DEVICE_FIELDS: dict[str, Callable[[DeviceValue], Any]] = {
    "driver": lambda device: device.driver,
    "attributes": lambda device: device.attributes,
    "capacity": lambda device: device.capacity,
    "allowMultipleAllocations": lambda device: device.allow_multiple_allocations,
}


def lookup(value: Any, key: Any) -> Any:
    """`value[key]`, or `value.key`. Raises CelRuntimeError, such as `no such key: x`."""
    if key.__class__ is str and (value.__class__ is Domains or (value.__class__ is dict and key in value)):
        return value[key]
    if isinstance(value, Optional):
        return find(value, key)
    if isinstance(value, DeviceValue):
        return DEVICE_FIELDS[key](value)
    found = find(value, key)
    if found.present:
        return found.value
    problem = "index out of bounds" if isinstance(value, tuple) else "no such key"
    raise CelRuntimeError(f"{problem}: {key}")


def find(value: Any, key: Any) -> Optional:
    """What is at a key or index, as an optional. Raises CelRuntimeError where the value has neither."""
    if isinstance(value, Optional):
        return find(value.value, key) if value.present else NONE
    if isinstance(value, Domains):
        return Optional(value[key])
    if isinstance(value, dict):
        return Optional(value[key]) if has_key(value, key) else NONE
    if isinstance(value, DeviceValue):
        return Optional(DEVICE_FIELDS[key](value))
    if isinstance(value, tuple) and type(key) in (int, UInt, float) and int(key) == key:
        return Optional(value[int(key)]) if 0 <= key < len(value) else NONE
    raise no_overload()
