"""What the server refuses as invalid. Source: validation of `resource.k8s.io` in Kubernetes 1.34 to 1.37.

Each check yields causes. The rules of one device are those of drakit's model; what depends on the release, on a whole
slice or on what was stored before stands here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from drakit.documents import counter_set_from_api, device_from_api, status_from_api
from drakit.errors import LimitExceeded
from drakit.model import Quantity, Version
from drakit.model.names import check_driver_name, check_label, check_pool_name, check_subdomain
from drakit.testing.apiserver.admission import identity
from drakit.testing.apiserver.events import validate_event
from drakit.testing.apiserver.resources import Document
from drakit.testing.apiserver.status import Cause

Causes = Iterator[Cause]

MAX_DEVICES = 128
MAX_DEVICES_WITH_DETAIL = 64
MAX_COUNTER_SETS = 8
MAX_COUNTERS_1_34 = 32
MAX_TAINTS_1_34 = 4
MAX_REQUESTS = 32
MAX_RESULTS = 32
MAX_RESERVED_FOR = 256
MAX_STRING_BYTES = 64
MAX_PARAMETERS_BYTES = 10 * 1024
_ATTRIBUTE_KINDS = ("int", "bool", "string", "version", "ints", "bools", "strings", "versions")
_NODE_CHOICES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")


def validate(document: Document, old: Document | None, minor: int) -> list[Cause]:
    """Every cause why a document may not be stored, `old` being what it replaces. `minor` is the server's release.

    Raises AttributeError, KeyError, TypeError or ValueError for one that is not even shaped as its kind is.
    """
    causes = list(_metadata(document))
    if document["kind"] == "Event":
        causes += validate_event(document, old)
    checks = _CHECKS.get(document["kind"])
    if checks is not None:
        causes += checks(document, minor)
    for path in _IMMUTABLE.get(document["kind"], ()):
        before, after = _at(old or {}, path), _at(document, path)
        if before is not None and before != after and not (path in _CLEARABLE and after is None):
            shown = json.dumps(after) if isinstance(after, str) else "null"
            rule = "field cannot be modified once set" if path in _CLEARABLE else "field is immutable"
            causes.append(Cause(path, f"Invalid value: {shown}: {rule}"))
    return causes


_IMMUTABLE = {
    "ResourceSlice": ("spec.driver", "spec.pool.name", "spec.nodeName"),
    "ResourceClaim": ("spec", "status.allocation"),
    "ResourceClaimTemplate": ("spec",),
}
_CLEARABLE = ("status.allocation",)


def _at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for step in path.split("."):
        value = (value or {}).get(step)
    return value


def _metadata(document: Document) -> Causes:
    yield from _rule(
        lambda field, name: check_subdomain(field, name, 253), "metadata.name", document["metadata"]["name"]
    )


def _rule(check: Callable[[str, Any], None], field: str, value: Any) -> Causes:
    if value is None:
        yield Cause(field, "Required value", "FieldValueRequired")
        return
    try:
        check(field, value)
    except LimitExceeded as error:
        yield Cause(field, f"Invalid value: {json.dumps(value)}: {error.limit}")


def _check_any_case(field: str, name: str) -> None:
    """A driver's name: the server only warns of upper case."""
    check_driver_name(field, name.lower())


def _at_most(field: str, values: Any, limit: int) -> Causes:
    if len(values or ()) > limit:
        yield Cause(field, f"Too many: {len(values)}: must have at most {limit} items", "FieldValueTooMany")


def _unique(field: str, names: list[Any]) -> Causes:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Cause(field.format(index), f"Duplicate value: {json.dumps(name)}", "FieldValueDuplicate")


def _slice(document: Document, minor: int) -> Causes:
    spec = document["spec"]
    yield from _rule(_check_any_case, "spec.driver", spec.get("driver"))
    yield from _pool(spec.get("pool") or {})
    yield from _node_choice("spec", spec, _NODE_CHOICES)
    devices, counter_sets = spec.get("devices"), spec.get("sharedCounters")
    if devices is not None and counter_sets is not None and minor >= 35:
        yield Cause("spec", "Invalid value: exactly one of devices and sharedCounters may be set")
    yield from _devices(devices or [], per_device=bool(spec.get("perDeviceNodeSelection")), minor=minor)
    yield from _counter_sets(counter_sets or [], minor)


def _pool(pool: Mapping[str, Any]) -> Causes:
    yield from _rule(check_pool_name, "spec.pool.name", pool.get("name"))
    if pool.get("generation", 0) < 0:
        yield Cause("spec.pool.generation", f"Invalid value: {pool['generation']}: must be greater than or equal to 0")
    count = pool.get("resourceSliceCount", 0)
    if count <= 0:
        yield Cause("spec.pool.resourceSliceCount", f"Invalid value: {count}: must be greater than zero")


def _node_choice(field: str, holder: Mapping[str, Any], choices: tuple[str, ...]) -> Causes:
    given = [choice for choice in choices if holder.get(choice) not in (None, "")]
    for choice in given:
        if holder[choice] is False:
            yield Cause(f"{field}.{choice}", "Invalid value: false: must be true or not be set")
    if len(given) != 1:
        yield Cause(field, f"exactly one of {', '.join(choices)} is required; got {', '.join(given) or 'none'}")
    terms = (holder.get("nodeSelector") or {}).get("nodeSelectorTerms")
    if "nodeSelector" in given and len(terms or ()) != 1:
        yield Cause(
            f"{field}.nodeSelector.nodeSelectorTerms", "Invalid value: must have exactly one node selector term"
        )


def _devices(devices: list[Document], *, per_device: bool, minor: int) -> Causes:
    detailed = minor >= 35 and any(_is_detailed(device) for device in devices)
    yield from _at_most("spec.devices", devices, MAX_DEVICES_WITH_DETAIL if detailed else MAX_DEVICES)
    yield from _unique("spec.devices[{}]", [device.get("name") for device in devices])
    for index, device in enumerate(devices):
        yield from _device(f"spec.devices[{index}]", device, per_device=per_device, minor=minor)


def _is_detailed(device: Document) -> bool:
    """Whether the device has what halves the number of devices a slice may have."""
    lists = any(
        isinstance(item, list) for value in (device.get("attributes") or {}).values() for item in value.values()
    )
    return bool(device.get("taints") or device.get("consumesCounters") or lists)


def _device(field: str, device: Document, *, per_device: bool, minor: int) -> Causes:
    named = list(_rule(check_label, f"{field}.name", device.get("name")))
    yield from named
    if per_device:
        yield from _node_choice(field, device, _NODE_CHOICES[:3])
    elif any(device.get(choice) is not None for choice in _NODE_CHOICES[:3]):
        yield Cause(field, "node selection is only for slices with perDeviceNodeSelection", "FieldValueForbidden")
    if minor < 35:
        yield from _taints_1_34(f"{field}.taints", device.get("taints") or [])
    unclear = [
        *_capacities(f"{field}.capacity", device),
        *_binding_conditions(field, device),
        *_attribute_values(f"{field}.attributes", device.get("attributes") or {}),
    ]
    yield from unclear
    if not named and not unclear:
        yield from _as_model(field, device_from_api, device)


def _capacities(field: str, device: Document) -> Causes:
    """Raises ValueError for what is no quantity: the server cannot even decode it."""
    for name, entry in (device.get("capacity") or {}).items():
        try:
            Quantity(entry["value"])
        except LimitExceeded as error:
            raise ValueError(f"quantities must be numbers with a suffix: {error}") from error
        if entry.get("requestPolicy") and not device.get("allowMultipleAllocations"):
            message = "Forbidden: allowMultipleAllocations must be true"
            yield Cause(f"{field}[{name}].requestPolicy", message, "FieldValueForbidden")


def _binding_conditions(field: str, device: Document) -> Causes:
    pair = ("bindingConditions", "bindingFailureConditions")
    for given, lacking in (pair, pair[::-1]):
        if device.get(given) and not device.get(lacking):
            yield Cause(f"{field}.{lacking}", f"Invalid value: null: {lacking} are required to use {given}")


def _attribute_values(field: str, attributes: Mapping[str, Mapping[str, Any]]) -> Causes:
    for name, value in attributes.items():
        where = f"{field}[{name}]"
        given = [kind for kind in _ATTRIBUTE_KINDS if value.get(kind) not in (None, [])]
        if len(given) != 1:
            yield Cause(where, f"exactly one value must be specified; got {len(given)}")
        elif given == ["string"] and len(value["string"].encode()) > MAX_STRING_BYTES:
            message = f"Too long: may not be more than {MAX_STRING_BYTES} bytes"
            yield Cause(f"{where}.string", message, "FieldValueTooLong")
        elif given == ["version"]:
            yield from _version(f"{where}.version", value["version"])


def _version(field: str, text: Any) -> Causes:
    try:
        Version(text)
    except LimitExceeded:
        rule = "must be a string compatible with semver.org spec 2.0.0"
        yield Cause(field, f"Invalid value: {json.dumps(text)}: {rule}")


def _taints_1_34(field: str, taints: list[Document]) -> Causes:
    yield from _at_most(field, taints, MAX_TAINTS_1_34)
    for index, taint in enumerate(taints):
        if taint.get("effect") == "None":
            yield Cause(f"{field}[{index}].effect", 'Unsupported value: "None"', "FieldValueNotSupported")


def _as_model(field: str, build: Callable[[Document], object], document: Document) -> Causes:
    try:
        build(document)
    except LimitExceeded as error:
        yield Cause(field, str(error))


def _counter_sets(counter_sets: list[Document], minor: int) -> Causes:
    yield from _at_most("spec.sharedCounters", counter_sets, MAX_COUNTER_SETS)
    yield from _unique("spec.sharedCounters[{}].name", [entry.get("name") for entry in counter_sets])
    if minor < 35:
        counters = [name for entry in counter_sets for name in entry.get("counters") or ()]
        yield from _at_most("spec.sharedCounters", counters, MAX_COUNTERS_1_34)
    for index, counter_set in enumerate(counter_sets):
        field = f"spec.sharedCounters[{index}]"
        if counter_set.get("counters"):
            yield from _as_model(field, counter_set_from_api, counter_set)
        else:
            yield Cause(f"{field}.counters", "Required value", "FieldValueRequired")


def _claim(document: Document, _minor: int) -> Causes:
    yield from _device_requests("spec.devices", (document.get("spec") or {}).get("devices") or {})
    status = document.get("status") or {}
    yield from _at_most("status.reservedFor", status.get("reservedFor"), MAX_RESERVED_FOR)
    allocation = (status.get("allocation") or {}).get("devices") or {}
    results = allocation.get("results") or []
    yield from _at_most("status.allocation.devices.results", results, MAX_RESULTS)
    yield from _configs("status.allocation.devices.config", allocation.get("config") or [], 2 * MAX_REQUESTS)
    if status.get("reservedFor") and not status.get("allocation"):
        message = "may not be specified when `allocated` is not set"
        yield Cause("status.reservedFor", message, "FieldValueForbidden")
    allocated = {identity(result) for result in results}
    for index, entry in enumerate(status.get("devices") or ()):
        if identity(entry) not in allocated:
            yield Cause(f"status.devices[{index}]", "must be an allocated device in the claim")
        yield from _as_model(f"status.devices[{index}]", status_from_api, entry)


def _template(document: Document, _minor: int) -> Causes:
    yield from _device_requests("spec.spec.devices", (document["spec"].get("spec") or {}).get("devices") or {})


def _device_requests(field: str, devices: Mapping[str, Any]) -> Causes:
    requests = devices.get("requests") or []
    yield from _at_most(f"{field}.requests", requests, MAX_REQUESTS)
    yield from _unique(f"{field}.requests[{{}}].name", [request.get("name") for request in requests])
    for index, request in enumerate(requests):
        yield from _rule(check_label, f"{field}.requests[{index}].name", request.get("name"))
        if bool(request.get("exactly")) == bool(request.get("firstAvailable")):
            yield Cause(f"{field}.requests[{index}]", "exactly one of exactly, firstAvailable is required")
    names = {request.get("name") for request in requests}
    for index, constraint in enumerate(devices.get("constraints") or ()):
        for name in constraint.get("requests") or ():
            if name.partition("/")[0] not in names:
                yield Cause(f"{field}.constraints[{index}].requests", f'Invalid value: "{name}": must be a request')
    yield from _configs(f"{field}.config", devices.get("config") or [], MAX_REQUESTS)


def _device_class(document: Document, _minor: int) -> Causes:
    yield from _configs("spec.config", (document.get("spec") or {}).get("config") or [], MAX_REQUESTS)


def _configs(field: str, configs: list[Document], limit: int) -> Causes:
    yield from _at_most(field, configs, limit)
    for index, config in enumerate(configs):
        where = f"{field}[{index}].opaque"
        opaque = config.get("opaque")
        if opaque is None:
            yield Cause(where, "Required value", "FieldValueRequired")
            continue
        yield from _rule(check_driver_name, f"{where}.driver", opaque.get("driver"))
        parameters = opaque.get("parameters")
        if parameters is None:
            yield Cause(f"{where}.parameters", "Required value", "FieldValueRequired")
        elif not isinstance(parameters, dict):
            yield Cause(f"{where}.parameters", "Invalid value: must be a valid JSON object")
        elif len(json.dumps(parameters, separators=(",", ":"))) > MAX_PARAMETERS_BYTES:
            message = f"Too long: may not be more than {MAX_PARAMETERS_BYTES} bytes"
            yield Cause(f"{where}.parameters", message, "FieldValueTooLong")


_CHECKS: dict[str, Callable[[Document, int], Causes]] = {
    "ResourceSlice": _slice,
    "ResourceClaim": _claim,
    "ResourceClaimTemplate": _template,
    "DeviceClass": _device_class,
}
