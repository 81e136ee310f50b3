"""Which features of Dynamic Resource Allocation a cluster has: what its API server knows, and what is switched on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from drakit.kube.inspection import Inspection

ON, OFF, KNOWN, ABSENT, UNKNOWN = "on", "off", "known", "absent", "not known"
"""KNOWN: the release has it; whether it is on could not be read."""

_FIELDS = {
    "DRAAdminAccess": ("ExactDeviceRequest", "adminAccess", "claims that look at devices others have"),
    "DRAPrioritizedList": ("DeviceRequest", "firstAvailable", "claims with alternatives"),
    "DRAPartitionableDevices": ("ResourceSliceSpec", "sharedCounters", "devices that can be divided"),
    "DRAConsumableCapacity": ("Device", "allowMultipleAllocations", "devices that claims share by capacity"),
    "DRADeviceTaints": ("Device", "taints", "taints of devices"),
    "DRADeviceBindingConditions": ("Device", "bindingConditions", "devices that are made ready before a pod binds"),
    "DRAListTypeAttributes": ("DeviceAttribute", "strings", "attributes that are lists"),
    "DRAExtendedResource": (
        "DeviceClassSpec",
        "extendedResourceName",
        "pods that ask for extended resources get devices of a class",
    ),
    "DRAResourceClaimDeviceStatus": ("ResourceClaimStatus", "devices", "the status of devices in claims"),
}
"""Gate -> the kind and the field that it governs, and what it is for."""


@frozen(kw_only=True)
class Feature:
    """One feature, and how the cluster stands to it: one of the states above."""

    gate: str
    meaning: str
    state: str


def features(found: Inspection) -> Iterator[Feature]:
    """Each feature that decides over devices."""
    for gate, (kind, name, meaning) in _FIELDS.items():
        yield Feature(gate=gate, meaning=meaning, state=_state(found, gate, kind, name))


def has_extended_resources(found: Inspection) -> bool | None:
    """Whether a DeviceClass can serve pods that ask for an extended resource; None if it is not known."""
    state = _state(found, "DRAExtendedResource", *_FIELDS["DRAExtendedResource"][:2])
    return {ON: True, OFF: False, ABSENT: False}.get(state)


def _state(found: Inspection, gate: str, kind: str, name: str) -> str:
    if found.gates is not None and gate in found.gates:
        return ON if found.gates[gate] else OFF
    if found.schema is None:
        return UNKNOWN
    if name not in _properties(found.schema, kind):
        return ABSENT
    # A server that tells its gates and does not name this one has no gate for it any more: it is always on.
    return ON if found.gates is not None else KNOWN


def _properties(schema: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    schemas: Mapping[str, Any] = (schema.get("components") or {}).get("schemas") or {}
    named: Mapping[str, Any] = next((one for full, one in schemas.items() if full.rpartition(".")[2] == kind), {})
    properties: Mapping[str, Any] = named.get("properties") or {}
    return properties
