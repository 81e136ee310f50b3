"""Fields that the API server did not keep: it drops, without a word, what is behind a feature gate that is off."""

from __future__ import annotations

import re
from collections.abc import Iterable

_GATES = {
    "DRADeviceTaints": {"taints"},
    "DRAPartitionableDevices": {"sharedCounters", "consumesCounters", "perDeviceNodeSelection"},
    "DRADeviceBindingConditions": {"bindingConditions", "bindingFailureConditions", "bindsToNode"},
    "DRAConsumableCapacity": {"allowMultipleAllocations", "requestPolicy"},
    "DRAListTypeAttributes": {"ints", "bools", "strings", "versions"},
}
_MOST_NAMED = 4


def report(driver: str, pool: str, index: int, paths: Iterable[str]) -> str:
    """What was not kept of one slice, and what to do about it, for the operator."""
    found = list(paths)
    gates = sorted(
        {gate for path in found for gate, fields in _GATES.items() if fields & set(re.split(r"[.\[\]]+", path))}
    )
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    advice = (
        f"enable the feature gate {' and '.join(gates)} on it, or turn the feature off in the driver"
        if gates
        else "a feature gate may be off there, or an admission webhook may change ResourceSlices"
    )
    return (
        f"driver {driver}: the API server did not keep {', '.join(found[:_MOST_NAMED])}{more} of slice {index} of pool "
        f"{pool}; it is published without: {advice}"
    )
