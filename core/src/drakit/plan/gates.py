"""Feature gates of a cluster, by Kubernetes' names: which features of a profile each is, and which ones slices tell of.

An API server drops the fields that a gate governs while it is off. So slices that hold such fields are of a cluster on
which it is on. Sources: the feature gates of kubernetes 1.37.2, and when each came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
from attrs import evolve, frozen

from drakit.plan.contents import Offer
from drakit.plan.pools import SliceSet
from drakit.plan.profiles import KubeProfile, kube_profile
from drakit.plan.requests import has_lists


@frozen
class Gate:
    """One gate: the feature that it switches, and the first release that has it, of those there are profiles of."""

    feature: str
    since: str = "1.34"


GATES: Mapping[str, Gate] = {
    "DRAAdminAccess": Gate("admin_access"),
    "DRAPrioritizedList": Gate("prioritized_list"),
    "DRADeviceTaints": Gate("taints"),
    "DRAPartitionableDevices": Gate("partitionable"),
    "DRAConsumableCapacity": Gate("consumable"),
    "DRADeviceBindingConditions": Gate("binding"),
    "DRAFractionalCapacityRange": Gate("fractional", since="1.37"),
    "DRAListTypeAttributes": Gate("lists", since="1.36"),
}


def gates_told(slices: SliceSet, version: str) -> dict[str, bool]:
    """The gates that slices tell to be on, of those that are off by default in this release."""
    usual = kube_profile(version)
    told = set(_features_in(slices))
    return {
        name: True
        for name, gate in GATES.items()
        if gate.feature in told and gate.since <= usual.version and not getattr(usual.features, gate.feature)
    }


def _features_in(slices: SliceSet) -> Iterator[str]:
    seen: set[int] = set()
    for one in slices.slices:
        if one.counters:
            yield "partitionable"
        if id(one.content) not in seen:  # slices of nodes alike share what they hold
            seen.add(id(one.content))
            yield from _features_of(one.content.offers)


def _features_of(offers: Iterable[Offer]) -> Iterator[str]:
    for offer in offers:
        if has_lists(offer):
            yield "lists"
        if offer.device.taints:
            yield "taints"
        if offer.draws:
            yield "partitionable"
        if offer.shared or offer.policies:
            yield "consumable"
        if offer.conditions:
            yield "binding"


def with_gates(version: str, gates: Mapping[str, bool], *, bugs: str = "as-is") -> KubeProfile:
    """The profile of a release whose gates are as it comes, but for these. Raises ConfigError."""
    usual = kube_profile(version, bugs=bugs)
    changed = {GATES[name].feature: on for name, on in gates.items()}
    if all(getattr(usual.features, feature) is on for feature, on in changed.items()):
        return usual
    return kube_profile(version, bugs=bugs, features=evolve(usual.features, **changed))


def changed_gates(profile: KubeProfile) -> dict[str, bool]:
    """The gates of a profile that are not as its release comes."""
    usual: dict[str, Any] = attrs.asdict(kube_profile(profile.version).features)
    ours: dict[str, Any] = attrs.asdict(profile.features)
    return {name: ours[gate.feature] for name, gate in GATES.items() if ours[gate.feature] is not usual[gate.feature]}
