"""API documents, as plain dicts, to and from the model. Source: `resource.k8s.io/v1`.

The only place that knows how claims and slice devices are spelled in JSON. What the model does not know is left
alone: no document read from the API is written back from here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drakit.decoding import duplicate_key
from drakit.errors import ClaimError, InvalidDeviceConfig
from drakit.model import (
    ALL_NODES,
    AllocatedDevice,
    AttributeValue,
    BindingConditions,
    ClaimAllocation,
    ClaimRef,
    Condition,
    ConfigSource,
    CounterConsumption,
    CounterSet,
    Device,
    DeviceRef,
    DeviceStatus,
    NetworkData,
    NodeSelection,
    NodeSelector,
    NodeSelectorRequirement,
    OpaqueConfig,
    PreparedDevice,
    Quantity,
    RequestPolicy,
    SharePolicy,
    Taint,
    TaintEffect,
    Toleration,
    TolerationOperator,
    ValidRange,
    Version,
)

API_VERSION = "resource.k8s.io/v1"
ANNOTATION_POD_CLAIM_NAME = "resource.kubernetes.io/pod-claim-name"
"""On a claim that was made from a template: what its pod calls it."""

Document = dict[str, Any]


def claim_ref(document: Mapping[str, Any]) -> ClaimRef:
    """The identity in a claim's metadata."""
    metadata = document.get("metadata") or {}
    return ClaimRef(metadata.get("uid", ""), metadata.get("namespace", ""), metadata.get("name", ""))


def claim_allocation(document: Mapping[str, Any], driver: str) -> ClaimAllocation:
    """What a claim was allocated from one driver.

    Raises ClaimError if the claim has no allocation, and InvalidDeviceConfig for a configuration of this driver that
    cannot be read at all.
    """
    claim = claim_ref(document)
    allocation = (document.get("status") or {}).get("allocation")
    if not allocation:
        raise ClaimError(f"claim {claim} has no allocation; it was deallocated, or not scheduled yet")
    devices = allocation.get("devices") or {}
    results = [result for result in devices.get("results") or () if result.get("driver") == driver]
    configs = _own_configs(devices.get("config") or (), driver) if results else []
    annotations = document["metadata"].get("annotations") or {}
    name = annotations.get(ANNOTATION_POD_CLAIM_NAME, "")
    return ClaimAllocation(claim, tuple(_allocated(result, configs) for result in results), name)


def _own_configs(entries: Sequence[Mapping[str, Any]], driver: str) -> list[tuple[frozenset[str], OpaqueConfig]]:
    """The driver's configurations with the requests they are for, lowest precedence first.

    A claim's override a class's whatever their place in the list; within one source the later wins.
    """
    found = []
    for entry in entries:
        opaque = entry.get("opaque")
        if opaque is None:
            raise InvalidDeviceConfig("the allocation holds a configuration that is not opaque; drakit knows no other")
        if opaque.get("driver") != driver:
            continue
        source = entry.get("source")
        if source not in list(ConfigSource):
            raise InvalidDeviceConfig(f"the allocation holds a configuration of unknown source {source!r}")
        parameters = opaque.get("parameters")
        if not isinstance(parameters, Mapping):
            raise InvalidDeviceConfig(f"opaque parameters for {driver} must be a JSON object, not {parameters!r}")
        if (key := duplicate_key(parameters)) is not None:
            raise InvalidDeviceConfig(f"opaque parameters for {driver} have the key {key!r} twice; give it once")
        found.append((frozenset(entry.get("requests") or ()), OpaqueConfig(source, parameters)))
    return sorted(found, key=lambda item: item[1].source is ConfigSource.CLAIM)


def _allocated(result: Mapping[str, Any], configs: Sequence[tuple[frozenset[str], OpaqueConfig]]) -> AllocatedDevice:
    request = result["request"]
    names = {request, request.partition("/")[0]}
    return AllocatedDevice(
        request=request,
        device=DeviceRef(result["driver"], result["pool"], result["device"]),
        share_id=result.get("shareID"),
        consumed={name: Quantity(value) for name, value in (result.get("consumedCapacity") or {}).items()},
        admin_access=bool(result.get("adminAccess")),
        opaque=tuple(config for requests, config in configs if not requests or requests & names),
        tolerations=tuple(_tolerations(result.get("tolerations") or ())),
    )


def _tolerations(entries: Sequence[Mapping[str, Any]]) -> Iterator[Toleration]:
    """The tolerations of a result. One that cannot be read, as of a later release, tolerates nothing here."""
    for entry in entries:
        with contextlib.suppress(ValueError):
            yield Toleration(
                key=entry.get("key") or "",
                operator=TolerationOperator(entry.get("operator") or TolerationOperator.EQUAL),
                value=entry.get("value") or "",
                effect=TaintEffect(entry["effect"]) if entry.get("effect") else None,
                toleration_seconds=entry.get("tolerationSeconds"),
            )


def status_to_api(claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> Document:
    """What a driver applies to `resourceclaims/status`: the entries of its own devices that have a status.

    The uid is in it: of a claim that was replaced by another of its name, nothing is written. A device that several
    requests were given has one entry, by the first of them: the server refuses all where one comes twice.
    """
    entries: dict[object, Document] = {}
    for device in prepared:
        if device.status is not None:
            entry = _device_id(device) | _device_status(device.status)
            entries.setdefault((device.device, device.share_id), entry)
    return {
        "apiVersion": API_VERSION,
        "kind": "ResourceClaim",
        "metadata": {"name": claim.name, "namespace": claim.namespace, "uid": claim.uid},
        "status": {"devices": list(entries.values())},
    }


def _device_id(device: PreparedDevice) -> Document:
    ref = device.device
    identity = {"driver": ref.driver, "pool": ref.pool, "device": ref.name}
    return identity | ({"shareID": device.share_id} if device.share_id else {})


def _device_status(status: DeviceStatus) -> Document:
    document: Document = {
        "data": dict(status.data),
        "conditions": [
            {
                "type": condition.type,
                "status": str(condition.status),
                "reason": condition.reason,
                "message": condition.message,
                "lastTransitionTime": condition.since,
            }
            for condition in status.conditions
        ],
        "networkData": network_to_api(status.network),
    }
    return {key: value for key, value in document.items() if value}


def status_from_api(document: Mapping[str, Any]) -> DeviceStatus:
    """The status in one entry of a claim's `status.devices`. Raises LimitExceeded or KeyError."""
    return DeviceStatus(
        data=document.get("data") or {},
        conditions=[
            Condition(item["type"], item["status"], item["reason"], item.get("message", ""), item["lastTransitionTime"])
            for item in document.get("conditions") or ()
        ],
        network=network_from_api(document.get("networkData")),
    )


def network_from_api(document: Mapping[str, Any] | None) -> NetworkData | None:
    """The network in the API's `networkData`. Raises LimitExceeded."""
    if not document:
        return None
    return NetworkData(
        interface_name=document.get("interfaceName", ""),
        ips=document.get("ips") or (),
        hardware_address=document.get("hardwareAddress", ""),
    )


def network_to_api(network: NetworkData | None) -> Document:
    """The API's `networkData`; empty parts are left out."""
    if network is None:
        return {}
    document: Document = {
        "interfaceName": network.interface_name,
        "ips": list(network.ips),
        "hardwareAddress": network.hardware_address,
    }
    return {key: value for key, value in document.items() if value}


def device_to_api(device: Device, share: SharePolicy | None = None) -> Document:
    """One entry of a ResourceSlice's `devices`. Empty parts are left out, as the server does."""
    policies = share.policies if share else {}
    document: Document = {
        "name": device.name,
        "attributes": {name: attribute_to_api(value) for name, value in device.attributes.items()},
        "capacity": {name: _capacity_to_api(value, policies.get(name)) for name, value in device.capacity.items()},
        "taints": [taint_to_api(taint) for taint in device.taints],
        "consumesCounters": [
            {"counterSet": item.counter_set, "counters": _counters_to_api(item.counters)} for item in device.consumes
        ],
    }
    if share is not None:
        document["allowMultipleAllocations"] = True
    if device.binding is not None:
        document["bindingConditions"] = list(device.binding.conditions)
        document["bindingFailureConditions"] = list(device.binding.failure_conditions)
        if device.binding.binds_to_node:
            document["bindsToNode"] = True
    if device.nodes is not None:
        document |= nodes_to_api(device.nodes)
    return {key: value for key, value in document.items() if value not in ({}, [])}


def device_from_api(document: Mapping[str, Any]) -> tuple[Device, SharePolicy | None]:
    """The device in one entry of a ResourceSlice, and how it is shared. Raises LimitExceeded or KeyError."""
    capacity = document.get("capacity") or {}
    share = None
    if document.get("allowMultipleAllocations"):
        policies = {name: value.get("requestPolicy") for name, value in capacity.items()}
        share = SharePolicy({name: _policy_from_api(policy) for name, policy in policies.items() if policy})
    binding = None
    if document.get("bindingConditions"):
        binding = BindingConditions(
            document["bindingConditions"],
            document.get("bindingFailureConditions") or (),
            bool(document.get("bindsToNode")),
        )
    device = Device(
        name=document["name"],
        attributes={name: attribute_from_api(value) for name, value in (document.get("attributes") or {}).items()},
        capacity={name: value["value"] for name, value in capacity.items()},
        taints=tuple(taint_from_api(taint) for taint in document.get("taints") or ()),
        consumes=tuple(
            CounterConsumption(item["counterSet"], _counters_from_api(item["counters"]))
            for item in document.get("consumesCounters") or ()
        ),
        binding=binding,
        nodes=nodes_from_api(document),
    )
    return device, share


def attribute_to_api(value: AttributeValue) -> Document:
    """The API's one-of for an attribute value."""
    if isinstance(value, tuple):
        kind = _KINDS[type(value[0])] + "s"
        return {kind: [str(item) if isinstance(item, Version) else item for item in value]}
    return {_KINDS[type(value)]: str(value) if isinstance(value, Version) else value}


_KINDS: dict[type, str] = {bool: "bool", int: "int", str: "string", Version: "version"}


def attribute_from_api(document: Mapping[str, Any]) -> AttributeValue:
    """The value in the API's one-of. Raises KeyError where it holds none that is known."""
    for kind in ("int", "bool", "string"):
        if document.get(kind) is not None:
            scalar: AttributeValue = document[kind]
            return scalar
        if document.get(f"{kind}s") is not None:
            return tuple(document[f"{kind}s"])
    if document.get("versions") is not None:
        return tuple(Version(text) for text in document["versions"])
    return Version(document["version"])


def taint_to_api(taint: Taint) -> Document:
    """A device taint; `timeAdded` is the server's to set."""
    return {"key": taint.key, "effect": str(taint.effect)} | ({"value": taint.value} if taint.value else {})


def taint_from_api(document: Mapping[str, Any]) -> Taint:
    """A device taint, without the time it was added."""
    return Taint(document["key"], document.get("value", ""), document["effect"])


def counter_set_to_api(counter_set: CounterSet) -> Document:
    """One entry of a ResourceSlice's `sharedCounters`."""
    return {"name": counter_set.name, "counters": _counters_to_api(counter_set.counters)}


def counter_set_from_api(document: Mapping[str, Any]) -> CounterSet:
    """The counter set in one entry of `sharedCounters`."""
    return CounterSet(document["name"], _counters_from_api(document["counters"]))


def _counters_to_api(counters: Mapping[str, Quantity]) -> Document:
    return {name: {"value": str(value)} for name, value in counters.items()}


def _counters_from_api(document: Mapping[str, Any]) -> dict[str, Quantity]:
    return {name: Quantity(value["value"]) for name, value in document.items()}


def nodes_to_api(nodes: NodeSelection) -> Document:
    """`allNodes` or `nodeSelector`, as slices and devices have them."""
    if isinstance(nodes, NodeSelector):
        term: Document = {}
        for requirement in nodes.requirements:
            entry: Document = {"key": requirement.key, "operator": requirement.operator}
            if requirement.values:
                entry["values"] = list(requirement.values)
            term.setdefault("matchFields" if requirement.on_fields else "matchExpressions", []).append(entry)
        return {"nodeSelector": {"nodeSelectorTerms": [term]}}
    if nodes is ALL_NODES:
        return {"allNodes": True}
    return {}


def nodes_from_api(document: Mapping[str, Any]) -> NodeSelection | None:
    """The `allNodes` or `nodeSelector` of a slice or a device; a `nodeName` becomes the selector of that one node."""
    if document.get("allNodes"):
        return ALL_NODES
    if document.get("nodeName"):
        name = NodeSelectorRequirement("metadata.name", "In", (document["nodeName"],), on_fields=True)
        return NodeSelector((name,))
    terms = (document.get("nodeSelector") or {}).get("nodeSelectorTerms")
    if not terms:
        return None
    return NodeSelector(
        tuple(
            NodeSelectorRequirement(entry["key"], entry["operator"], tuple(entry.get("values") or ()), on_fields)
            for where, on_fields in (("matchExpressions", False), ("matchFields", True))
            for entry in terms[0].get(where) or ()
        )
    )


def _capacity_to_api(value: Quantity, policy: RequestPolicy | None) -> Document:
    return {"value": str(value)} | ({"requestPolicy": _policy_to_api(policy)} if policy else {})


def _policy_to_api(policy: RequestPolicy) -> Document:
    document: Document = {}
    if policy.default is not None:
        document["default"] = str(policy.default)
    if policy.valid_values:
        document["validValues"] = [str(value) for value in policy.valid_values]
    if policy.valid_range:
        parts = {
            "min": policy.valid_range.minimum,
            "max": policy.valid_range.maximum,
            "step": policy.valid_range.step,
        }
        document["validRange"] = {key: str(value) for key, value in parts.items() if value is not None}
    return document


def _policy_from_api(document: Mapping[str, Any]) -> RequestPolicy:
    limits = document.get("validRange")
    return RequestPolicy(
        default=document.get("default"),
        valid_values=tuple(document.get("validValues") or ()),
        valid_range=limits and ValidRange(minimum=limits["min"], maximum=limits.get("max"), step=limits.get("step")),
    )
