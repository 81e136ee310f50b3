"""Allocations as a scheduler would make them from what a plugin discovers: no more than can be held at once."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve

from drakit.documents import API_VERSION, Document
from drakit.model import (
    AllocatedDevice,
    ClaimAllocation,
    ClaimRef,
    ConfigSource,
    Device,
    DeviceRef,
    OpaqueConfig,
    Quantity,
    RequestPolicy,
    SharePolicy,
    TaintEffect,
)
from drakit.testing.conformance.rules import NotTried
from drakit.testing.conformance.subject import NODE, Subject

MAX_RESULTS = 32
"""How many devices one claim may have."""
NAMESPACE = "conformance"
_UNIT = 10**9
_UIDS = uuid.UUID("5f0c7f5c-6f0e-4c8e-9d54-6e2f9ab0a9f1")


def claim_ref(name: str) -> ClaimRef:
    """A claim of this name, always with the same uid."""
    return ClaimRef(str(uuid.uuid5(_UIDS, name)), NAMESPACE, name)


def single(subject: Subject, name: str = "single") -> ClaimAllocation:
    """One device, for one claim. Raises NotTried where the plugin has none."""
    return allocation(subject, name, holdable(subject)[:1])


def many(subject: Subject, name: str = "many") -> ClaimAllocation:
    """As many devices as can be held at once, up to what a claim may have."""
    return allocation(subject, name, holdable(subject))


def two(subject: Subject, first: str = "first", second: str = "second") -> tuple[ClaimAllocation, ClaimAllocation]:
    """Two claims with a device each. Raises NotTried where no two devices can be held at once."""
    refs = holdable(subject)
    if len(refs) < 2:
        raise NotTried("the root has but one device that can be allocated; give one with two")
    return allocation(subject, first, refs[:1]), allocation(subject, second, refs[1:2])


def two_shares(subject: Subject) -> tuple[ClaimAllocation, ClaimAllocation]:
    """Two claims that share a device, within what it has. Raises NotTried where none may be shared by two."""
    shared = [ref for ref in holdable(subject) if ref in subject.shares]
    if not shared:
        raise NotTried("no device may be shared")
    parts = ((ref, _part(subject.found[ref], subject.shares[ref])) for ref in shared)
    ref, part = next(((ref, part) for ref, part in parts if part is not None), (None, {}))
    if ref is None:
        raise NotTried("no device has as much as two claims must take of it")
    claims = (allocation(subject, name, [ref]) for name in ("share-one", "share-two"))
    first, second = (evolve(claim, devices=[evolve(claim.devices[0], consumed=part)]) for claim in claims)
    return first, second


def allocation(subject: Subject, name: str, refs: Sequence[DeviceRef]) -> ClaimAllocation:
    """A claim with these devices, each by a request of its own, with the subject's parameters."""
    opaque = [OpaqueConfig(ConfigSource.CLAIM, parameters) for parameters in subject.parameters]
    devices = [_allocated(subject, name, number, ref) for number, ref in enumerate(refs)]
    return ClaimAllocation(claim_ref(name), [evolve(device, opaque=opaque) for device in devices])


def configured(claim: ClaimAllocation, *opaque: OpaqueConfig) -> ClaimAllocation:
    """The same claim with this configuration in place of its own."""
    return evolve(claim, devices=[evolve(device, opaque=opaque) for device in claim.devices])


def holdable(subject: Subject) -> list[DeviceRef]:
    """Devices that can be allocated together, in the order of discovery. Raises NotTried where there is none.

    Those with a taint that keeps claims away are passed over as long as others are there.
    """
    found = subject.found
    usable = [ref for ref, device in found.items() if not _is_tainted(device)] or list(found)
    return list(_within_counters(subject, usable))[:MAX_RESULTS]


def _is_tainted(device: Device) -> bool:
    return any(taint.effect is not TaintEffect.NONE for taint in device.taints)


def _within_counters(subject: Subject, refs: Sequence[DeviceRef]) -> Iterator[DeviceRef]:
    """The devices whose counters suffice, first come first served."""
    left: Counter[tuple[str, str, str]] = Counter()
    for pool in subject.pools:
        for counter_set in pool.counters:
            for counter, amount in counter_set.counters.items():
                left[pool.name or NODE, counter_set.name, counter] = amount.nanos
    for ref in refs:
        wanted = {
            (ref.pool, consumption.counter_set, counter): amount.nanos
            for consumption in subject.found[ref].consumes
            for counter, amount in consumption.counters.items()
        }
        if all(left[counter] >= amount for counter, amount in wanted.items()):
            left.subtract(wanted)
            yield ref


def _allocated(subject: Subject, name: str, number: int, ref: DeviceRef) -> AllocatedDevice:
    request = f"request-{number}"
    policy = subject.shares.get(ref)
    if policy is None:
        return AllocatedDevice(request, ref)
    consumed = {
        capacity: policy.policies[capacity].default or amount if capacity in policy.policies else amount
        for capacity, amount in subject.found[ref].capacity.items()
    }
    return AllocatedDevice(request, ref, str(uuid.uuid5(_UIDS, f"{name}/{number}/share")), consumed)


def _part(device: Device, policy: SharePolicy) -> Mapping[str, Quantity] | None:
    """What a claim takes of each capacity so that another can take the same; None where two never can."""
    part = {}
    for name, amount in device.capacity.items():
        half = Quantity(amount.nanos // 2 // _UNIT)
        taken = _at_most(half, policy.policies.get(name))
        if taken is None:
            return None
        part[name] = taken
    return part


def _at_most(limit: Quantity, policy: RequestPolicy | None) -> Quantity | None:
    """The usual amount if it is within the limit, else the most that is; None where the least is too much."""
    if policy is None or policy.default is None:
        return limit
    if policy.default <= limit:
        return policy.default
    if policy.valid_range is not None:
        least, step = policy.valid_range.minimum, policy.valid_range.step
        over = (limit.nanos - least.nanos) % step.nanos if step else 0
        return Quantity((limit.nanos - over) // _UNIT) if least <= limit else None
    return max((value for value in policy.valid_values if value <= limit), default=None)


def claim_document(claim: ClaimAllocation) -> Document:
    """The claim as the API server has it, without its uid: that the server gives."""
    requests = [
        {"name": device.base_request, "exactly": {"deviceClassName": "conformance"}} for device in claim.devices
    ]
    return {
        "apiVersion": API_VERSION,
        "kind": "ResourceClaim",
        "metadata": {"name": claim.claim.name, "namespace": claim.claim.namespace},
        "spec": {"devices": {"requests": requests}},
        "status": {
            "allocation": {
                "devices": {"results": [_result(device) for device in claim.devices], "config": _configs(claim)}
            }
        },
    }


def _result(device: AllocatedDevice) -> Document:
    ref = device.device
    document: Document = {"request": device.request, "driver": ref.driver, "pool": ref.pool, "device": ref.name}
    if device.share_id is not None:
        document["shareID"] = device.share_id
        document["consumedCapacity"] = {name: str(amount) for name, amount in device.consumed.items()}
    return document


def _configs(claim: ClaimAllocation) -> list[Mapping[str, Any]]:
    return [
        {
            "source": str(opaque.source),
            "requests": [device.base_request],
            "opaque": {"driver": device.device.driver, "parameters": dict(opaque.parameters)},
        }
        for device in claim.devices
        for opaque in device.opaque
    ]
