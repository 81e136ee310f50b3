"""Random nodes, devices, claims and pods for one cluster: each scenario keeps to nodes, drivers and classes of its own.

They are those of the planner's own random tests, on one to three nodes, as documents that the API server takes.
"""

from __future__ import annotations

import re
import time
from random import Random
from typing import Any

from attrs import frozen
from drakit.plan import Features

from tests.plan.scenarios import Maker

Document = dict[str, Any]
NAMESPACE = "planned"
SCENARIO = "planned-by"
"""The label that the nodes of one scenario share."""
ZONES = ("a", "b", "")
FEW, TOO_MANY = 4, 33
"""What is more than a few becomes more than a claim can have: searches for many devices may take the scheduler long."""
BRITTLE = 'device.attributes["a.x"].t == "y"'
"""A selector that fails on devices without the attribute."""
_MAKER_FEATURES = {
    "PartitionableDevices": "partitionable",
    "ConsumableCapacity": "consumable",
    "ListTypeAttributes": "lists",
}


@frozen(eq=False)
class Scenario:
    """What is submitted for one pod. `holder` is a claim with devices that are in use, `held` its allocation."""

    name: str
    nodes: list[Document]
    classes: list[Document]
    slices: list[Document]
    holder: Document
    held: Document
    claims: list[Document]
    pod: Document


def scenario(seed: int, features: Features, *, anywhere: bool = True, combined: bool = False) -> Scenario:
    """The same for the same arguments; it uses no feature that is off.

    Counters are on several nodes if they may be `anywhere`; `combined`: slices are as 1.34 takes them.
    """
    chance = Random(seed)
    maker = Maker(chance, {theirs: getattr(features, ours) for theirs, ours in _MAKER_FEATURES.items()})
    names = [f"n{number}" for number in range(1, chance.choice((1, 2, 2, 3)) + 1)]
    maker.features["PartitionableDevices"] &= anywhere or len(names) == 1
    pools = [_moved(maker.slices(*pool), number, len(names)) for number in range(len(names)) for pool in maker.pools()]
    slices = []
    for pool in pools:
        if combined:
            _combine(pool)
        if not features.partitionable:
            _place_as_a_whole(pool)
        spoilt = maker.some(0.06)
        if spoilt:
            _spoil(chance, pool, counters=features.partitionable and not combined)
        slices += _scoped(pool, keep=maker.some(0.5) and not spoilt)
    for device in (device for one in slices for device in one["spec"].get("devices", ())):
        if "bindingConditions" in device and maker.some(0.5):
            device["bindsToNode"] = True
    claims = [_claim(maker, index) for index in range(chance.choice((1, 1, 1, 2, 3)))]
    taken = maker.allocated(slices)
    name = f"s{seed}"
    documents = {
        "nodes": [_node(node, zone) for node, zone in zip(names, ZONES, strict=False)],
        "classes": list(_classes(maker)),
        "slices": [{"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", **one} for one in slices],
        "holder": _claim_document("holder", [{"name": "held", "exactly": {"deviceClassName": "any"}}]),
        "held": {"devices": {"results": list(_results(taken))}, "allocationTimestamp": now()},
        "claims": claims,
        "pod": pod("pod", [one["metadata"]["name"] for one in claims]),
    }
    return Scenario(name=name, **_owned(documents, name))


def barrier(name: str = "barrier", wanted: int = 1) -> Scenario:
    """A pod that can only be scheduled by who has seen all that was submitted before it, of every kind.

    It has a claim that holds a device, and one for some of those beside it, of which there is one.
    """
    request: Document = {"name": "some", "exactly": {"deviceClassName": "any"}}
    device = {"driver": "a.x", "pool": "n1", "device": "held"}
    spec = {
        "driver": "a.x",
        "nodeName": "n1",
        "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "held"}, {"name": "free"}],
    }
    documents = {
        "nodes": [_node("n1", "a")],
        "classes": [_class("any", 'device.driver == "a.x"')],
        "slices": [
            {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "n1"}, "spec": spec}
        ],
        "holder": _claim_document("holder", [request]),
        "held": {"devices": {"results": [{"request": "some", **device}]}, "allocationTimestamp": now()},
        "claims": [_claim_document("c0", [{"name": "some", "exactly": request["exactly"] | {"count": wanted}}])],
        "pod": pod("pod", ["c0", "holder"]),
    }
    return Scenario(name=name, **_owned(documents, name))


def pod(name: str, claims: list[str]) -> Document:
    """A pod with these claims, for the nodes of its scenario, in whatever state they are."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "nodeSelector": {SCENARIO: "scenario"},
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "main", "image": "none"}],
            "resourceClaims": [{"name": claim, "resourceClaimName": claim} for claim in claims],
        },
    }


def now() -> str:
    """As the API has times."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _node(name: str, zone: str) -> Document:
    labels = {SCENARIO: "scenario", "kubernetes.io/hostname": name} | ({"zone": zone} if zone else {})
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {
            "capacity": {"cpu": "8", "memory": "8Gi", "pods": "10"},
            "allocatable": {"cpu": "8", "memory": "8Gi", "pods": "10"},
        },
    }


def _classes(maker: Maker) -> list[Document]:
    configured = [_config("a.x", {"of": "class"})] if maker.some(0.3) else []
    return [
        _class("any", 'device.driver in ["a.x", "b.x"]', configured),
        *(_class(driver, f'device.driver == "{driver}"') for driver in ("a.x", "b.x")),
    ]


def _class(name: str, selector: str, config: list[Document] | None = None) -> Document:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": name},
        "spec": {"selectors": [{"cel": {"expression": selector}}], "config": config or []},
    }


def _config(driver: str, parameters: Document) -> Document:
    return {"opaque": {"driver": driver, "parameters": parameters}}


def _claim(maker: Maker, index: int) -> Document:
    devices = maker.claim(index)["spec"]["devices"]
    if maker.some(0.2):
        wanted = maker.chance.choice(devices["requests"])["name"]
        devices["config"] = [_config("b.x", {"of": "claim"}) | ({"requests": [wanted]} if maker.some(0.7) else {})]
    for wanted in devices["requests"]:
        for exact in wanted.get("firstAvailable") or [wanted["exactly"]]:
            if exact.get("count", 0) > FEW:
                exact["count"] = TOO_MANY
    if maker.some(0.06):
        chosen = maker.chance.choice(devices["requests"])
        for exact in chosen.get("firstAvailable") or [chosen["exactly"]]:
            exact["selectors"] = [{"cel": {"expression": BRITTLE}}]
    return _claim_document(f"c{index}", **devices)


def _claim_document(name: str, requests: list[Document], **others: Any) -> Document:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name},
        "spec": {"devices": {"requests": requests, **others}},
    }


def _results(taken: Document) -> list[Document]:
    """The results of an allocation of these devices and shares of devices."""
    found = []
    for text in [*taken["AllocatedDevices"], *taken["SharedDeviceIDs"]][:32]:
        driver, pool, device, *share = text.split("/")
        result: Document = {"request": "held", "driver": driver, "pool": pool, "device": device}
        if share:
            result["shareID"] = share[0]
        if consumed := taken["Aggregated"].get(f"{driver}/{pool}/{device}"):
            result["consumedCapacity"] = consumed
        found.append(result)
    return found


def _moved(slices: list[Document], number: int, count: int) -> list[Document]:
    """The slices of a pool of the first node as those of another: what was for the second is for the next one."""
    to = {"n1": f"n{number + 1}", "p1": f"p{number + 1}", "n2": f"n{(number + 1) % max(count, 2) + 1}"}
    moved: list[Document] = _replaced(slices, re.compile(r"\b(n1|n2|p1)\b"), lambda match: to[match[1]])
    return moved


def _scoped(pool: list[Document], *, keep: bool) -> list[Document]:
    """Keep a pool to the nodes of the scenario, but for one that is whole: that harms no others."""
    generations = {one["spec"]["pool"]["generation"] for one in pool}
    whole = len(generations) == 1 and all(one["spec"]["pool"]["resourceSliceCount"] == len(pool) for one in pool)
    for one in pool:
        for place in (one["spec"], *one["spec"].get("devices", ())):
            _scope(place, keep=keep and whole)
    return pool


def _combine(pool: list[Document]) -> None:
    """Give every slice with devices the counters that were in one beside it, and taints an effect that 1.34 knows."""
    apart = [one["spec"]["sharedCounters"] for one in pool if "sharedCounters" in one["spec"]]
    pool[:] = [one for one in pool if "sharedCounters" not in one["spec"]]
    for one in pool:
        spec = one["spec"]
        counted = any("consumesCounters" in device for device in spec["devices"])
        if apart or counted:
            spec["pool"]["resourceSliceCount"] -= 1
        if counted:
            spec["sharedCounters"] = apart[0] if apart else [{"name": "cs", "counters": {"m": {"value": "4"}}}]
        for taint in (taint for device in spec["devices"] for taint in device.get("taints", ())):
            if taint["effect"] == "None":
                taint["effect"] = "NoSchedule"


def _place_as_a_whole(pool: list[Document]) -> None:
    """Without partitionable devices, a slice says where all of its devices are."""
    for spec in (one["spec"] for one in pool):
        if spec.pop("perDeviceNodeSelection", False):
            nodes = [
                (key, device.pop(key))
                for device in spec["devices"]
                for key in ("nodeName", "allNodes")
                if key in device
            ]
            spec.update(dict(nodes[:1]) or {"allNodes": True})


def _spoil(chance: Random, pool: list[Document], *, counters: bool) -> None:
    """Make a pool invalid in a way that the API server cannot see, since it looks at one slice at a time."""
    parts = [one["spec"]["devices"] for one in pool if one["spec"].get("devices")]
    if any("perDeviceNodeSelection" in one["spec"] for one in pool) or not parts:
        return
    device = chance.choice(chance.choice(parts))
    if len(parts) > 1:
        for devices in parts:
            devices[:] = [*(one for one in devices if one["name"] != device["name"]), dict(device)]
    elif counters:
        device["consumesCounters"] = [{"counterSet": "none", "counters": {"m": {"value": "1"}}}]


def _scope(place: Document, *, keep: bool) -> None:
    own = {"key": SCENARIO, "operator": "In", "values": ["scenario"]}
    if place.get("allNodes") and not keep:
        del place["allNodes"]
        place["nodeSelector"] = {"nodeSelectorTerms": [{"matchExpressions": [own]}]}
    elif selector := place.get("nodeSelector"):
        (term,) = selector["nodeSelectorTerms"]
        term["matchExpressions"] = [*_without_empty(term["matchExpressions"]), own]


def _without_empty(requirements: list[Document]) -> list[Document]:
    """The API server wants no values where none are meant."""
    return [{key: value for key, value in one.items() if value} for one in requirements]


_OWN = re.compile(r"\b(?:(?P<driver>[ab]\.x)|(?P<name>any|scenario|holder|pod|[npc]\d))\b")


def _owned(documents: Document, name: str) -> Document:
    """Names of the scenario's own, wherever they stand."""

    def own(match: re.Match[str]) -> str:
        return f"{match[0]}.{name}" if match["driver"] else f"{match[0]}-{name}"

    owned: Document = _replaced(documents, _OWN, own)
    return owned


def _replaced(value: Any, pattern: re.Pattern[str], by: Any) -> Any:
    """The same with every text in it replaced, but for keys and kinds."""
    if isinstance(value, dict):
        return {key: item if key == "kind" else _replaced(item, pattern, by) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, pattern, by) for item in value]
    return pattern.sub(by, value) if isinstance(value, str) else value
