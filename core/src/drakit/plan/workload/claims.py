"""What the API server refuses of claims, claim templates and device classes, field by field.

Source: validation of `resource.k8s.io/v1` in Kubernetes 1.34 to 1.37. Unlike the decoding of `drakit.plan.claims`,
which stops at what it cannot read, this finds everything that is wrong, in the words of the API.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from drakit.errors import LimitExceeded
from drakit.model import Quantity
from drakit.model.names import (
    check_driver_name,
    check_label,
    check_label_key,
    check_label_value,
    check_qualified_name,
    check_subdomain,
)
from drakit.plan.cel import CelError, compile_selector
from drakit.plan.claims import MAX_ALTERNATIVES, MAX_CONSTRAINTS, MAX_REQUESTS, MAX_SELECTORS
from drakit.plan.workload import shapes
from drakit.plan.workload.metadata import check_labels
from drakit.plan.workload.problems import Path, Problem, Problems, meant_or_known

MAX_TOLERATIONS = 16
MAX_EXPRESSION_BYTES = 10 * 1024
MAX_PARAMETERS_BYTES = 10 * 1024

_EXACT = (
    "deviceClassName",
    "selectors",
    "allocationMode",
    "count",
    "adminAccess",
    "tolerations",
    "capacity",
)
_ALTERNATIVE = ("name", *(name for name in _EXACT if name != "adminAccess"))
_TOLERATION = ("key", "operator", "value", "effect", "tolerationSeconds")


def check_claim(document: Mapping[str, Any]) -> Problems:
    """A ResourceClaim. Its status is the cluster's, and not looked at."""
    spec = yield from shapes.mapping(document.get("spec"), ("spec",), ("devices",))
    yield from check_devices(spec.get("devices"), ("spec", "devices"))


def check_template(document: Mapping[str, Any]) -> Problems:
    """A ResourceClaimTemplate."""
    outer = yield from shapes.mapping(document.get("spec"), ("spec",), ("metadata", "spec"))
    metadata = yield from shapes.mapping(outer.get("metadata"), ("spec", "metadata"), ("labels", "annotations"))
    yield from check_labels(metadata, ("spec", "metadata"))
    if "spec" not in outer:
        yield Problem(("spec", "spec"), "Required value")
    inner = yield from shapes.mapping(outer.get("spec"), ("spec", "spec"), ("devices",))
    yield from check_devices(inner.get("devices"), ("spec", "spec", "devices"))


def check_class(document: Mapping[str, Any]) -> Problems:
    """A DeviceClass."""
    known = ("selectors", "config", "extendedResourceName")
    spec = yield from shapes.mapping(document.get("spec"), ("spec",), known)
    yield from _selectors(spec.get("selectors"), ("spec", "selectors"))
    yield from _configs(spec.get("config"), ("spec", "config"), None)


def check_devices(value: Any, path: Path) -> Problems:
    """The `devices` of a claim's spec."""
    devices = yield from shapes.mapping(value, path, ("requests", "constraints", "config"))
    inside = (*path, "requests")
    requests = yield from shapes.sequence(devices.get("requests"), inside, MAX_REQUESTS)
    names: list[str] = []
    for index, entry in enumerate(requests):
        names += yield from _request(entry, (*inside, index))
    tops = [entry.get("name") for entry in requests if isinstance(entry, Mapping)]
    yield from shapes.unique(tops, inside)
    constraints = yield from shapes.sequence(devices.get("constraints"), (*path, "constraints"), MAX_CONSTRAINTS)
    for index, entry in enumerate(constraints):
        yield from _constraint(entry, (*path, "constraints", index), names)
    yield from _configs(devices.get("config"), (*path, "config"), names)


def _request(value: Any, path: Path) -> shapes.Checked[list[str]]:
    """Returns the names that constraints and configuration may call it by."""
    known: tuple[str, ...] = ("name", "exactly", "firstAvailable")
    if isinstance(value, Mapping) and "deviceClassName" in value:
        flat = sorted(str(key) for key in value if key in _EXACT)
        yield Problem(path, f"must have {', '.join(flat)} below `exactly`; only resource.k8s.io/v1beta1 had them here")
        known = (*known, *_EXACT)
    request = yield from shapes.mapping(value, path, known)
    name = yield from shapes.rule(check_label, request.get("name"), (*path, "name"))
    if known == ("name", "exactly", "firstAvailable"):
        yield from shapes.exactly_one(request, path, ("exactly", "firstAvailable"))
    if "exactly" in request:
        yield from _device_request(request["exactly"], (*path, "exactly"), _EXACT)
    names = [name]
    inside = (*path, "firstAvailable")
    alternatives = yield from shapes.sequence(request.get("firstAvailable"), inside, MAX_ALTERNATIVES)
    for index, entry in enumerate(alternatives):
        inner = yield from _device_request(entry, (*inside, index), _ALTERNATIVE)
        names.append(f"{name}/{inner}")
    yield from shapes.unique([one.get("name") for one in alternatives if isinstance(one, Mapping)], inside)
    return [one for one in names if one and not one.endswith("/")]


def _device_request(value: Any, path: Path, known: Collection[str]) -> shapes.Checked[str]:
    request = yield from shapes.mapping(value, path, known)
    name = ""
    if "name" in known:
        name = yield from shapes.rule(check_label, request.get("name"), (*path, "name"))
    yield from shapes.rule(_check_class_name, request.get("deviceClassName"), (*path, "deviceClassName"))
    yield from _selectors(request.get("selectors"), (*path, "selectors"))
    modes = ("ExactCount", "All")
    mode = yield from shapes.choice(request.get("allocationMode"), (*path, "allocationMode"), modes, "ExactCount")
    count = yield from shapes.integer(request.get("count"), (*path, "count"), least=0, default=0, most=shapes.INT64)
    if mode == "All" and count:
        yield Problem((*path, "count"), f"Invalid value: {count}: must not be specified when allocationMode is 'All'")
    yield from shapes.flag(request.get("adminAccess"), (*path, "adminAccess"))
    tolerations = yield from shapes.sequence(request.get("tolerations"), (*path, "tolerations"), MAX_TOLERATIONS)
    for index, entry in enumerate(tolerations):
        yield from _toleration(entry, (*path, "tolerations", index))
    capacity = yield from shapes.mapping(request.get("capacity"), (*path, "capacity"), ("requests",))
    amounts = yield from shapes.mapping(capacity.get("requests"), (*path, "capacity", "requests"))
    for key, amount in amounts.items():
        yield from _amount(key, amount, (*path, "capacity", "requests", key))
    return name


def _check_class_name(field: str, name: Any) -> None:
    check_subdomain(field, name, 253)


def _selectors(value: Any, path: Path) -> Problems:
    selectors = yield from shapes.sequence(value, path, MAX_SELECTORS)
    for index, entry in enumerate(selectors):
        selector = yield from shapes.mapping(entry, (*path, index), ("cel",))
        if "cel" not in selector:
            yield Problem((*path, index, "cel"), "Required value")
            continue
        cel = yield from shapes.mapping(selector["cel"], (*path, index, "cel"), ("expression",))
        inside = (*path, index, "cel", "expression")
        expression = yield from shapes.text(cel.get("expression"), inside, required=True, limit=MAX_EXPRESSION_BYTES)
        if expression:
            yield from _expression(expression, inside)


def _expression(expression: str, path: Path) -> Problems:
    try:
        compile_selector(expression)
    except CelError as error:
        shown = "" if error.position is None else f"\n    {_marked(expression, error.position)}"
        yield Problem(path, f"Invalid value: compilation failed: {error}{shown}")


def _marked(expression: str, position: int) -> str:
    """The part of an expression about a place, and a mark below it."""
    start = max(0, position - 40, expression.rfind("\n", 0, position) + 1)
    end = expression.find("\n", position)
    line = expression[start : min(position + 40, len(expression) if end < 0 else end)]
    return f"{line}\n    {' ' * (position - start)}^"


def _toleration(value: Any, path: Path) -> Problems:
    toleration = yield from shapes.mapping(value, path, _TOLERATION)
    operators, effects = ("Equal", "Exists"), ("NoSchedule", "NoExecute", "None")
    operator = yield from shapes.choice(toleration.get("operator"), (*path, "operator"), operators, "Equal")
    yield from shapes.choice(toleration.get("effect"), (*path, "effect"), effects)
    yield from shapes.rule(check_label_key, toleration.get("key"), (*path, "key"), required=False)
    given = yield from shapes.rule(check_label_value, toleration.get("value"), (*path, "value"), required=False)
    if operator == "Exists" and given:
        yield Problem((*path, "value"), f"Invalid value: {json.dumps(given)}: must be empty for operator `Exists`")
    seconds = (*path, "tolerationSeconds")
    yield from shapes.integer(
        toleration.get("tolerationSeconds"), seconds, least=-shapes.INT64, default=0, most=shapes.INT64
    )


def _amount(name: str, value: Any, path: Path) -> Problems:
    try:
        check_qualified_name("", name)
    except LimitExceeded as error:
        yield Problem(path, f"Invalid value: {json.dumps(name)}: {error.limit}")
    try:
        if Quantity(value).nanos < 0:
            yield Problem(path, f"Invalid value: {json.dumps(value)}: must be greater than or equal to 0")
    except LimitExceeded as error:
        yield Problem(path, f"{error.limit}, not {error.value!r}")


def _constraint(value: Any, path: Path, names: Collection[str]) -> Problems:
    constraint = yield from shapes.mapping(value, path, ("requests", "matchAttribute", "distinctAttribute"))
    yield from _request_names(constraint.get("requests"), (*path, "requests"), names)
    kinds = ("matchAttribute", "distinctAttribute")
    kind = yield from shapes.exactly_one(constraint, path, kinds)
    if kind:
        name = yield from shapes.rule(check_qualified_name, constraint[kind], (*path, kind))
        if name and "/" not in name:
            yield Problem(
                (*path, kind), f"Invalid value: {json.dumps(name)}: must include a domain, as in dra.example.com/name"
            )


def _request_names(value: Any, path: Path, names: Collection[str] | None) -> Problems:
    wanted = yield from shapes.sequence(value, path, MAX_REQUESTS)
    for index, name in enumerate(wanted):
        if names is None:
            yield Problem(path, "unknown field: the configuration of a class is for all of its requests")
            return
        if not isinstance(name, str):
            yield from shapes.text(name, (*path, index), required=True)
        elif name not in names:
            yield Problem(
                (*path, index),
                f"Invalid value: {json.dumps(name)}: must be the name of a request in the claim"
                f"{meant_or_known(name, names)}",
            )
    yield from shapes.unique([name for name in wanted if isinstance(name, str)], path, key="")


def _configs(value: Any, path: Path, names: Collection[str] | None) -> Problems:
    configs = yield from shapes.sequence(value, path, MAX_REQUESTS)
    for index, entry in enumerate(configs):
        inside = (*path, index)
        config = yield from shapes.mapping(entry, inside, ("opaque",) if names is None else ("requests", "opaque"))
        yield from _request_names(config.get("requests"), (*inside, "requests"), names)
        if "opaque" not in config:
            yield Problem((*inside, "opaque"), "Required value")
            continue
        opaque = yield from shapes.mapping(config["opaque"], (*inside, "opaque"), ("driver", "parameters"))
        yield from shapes.rule(check_driver_name, opaque.get("driver"), (*inside, "opaque", "driver"))
        yield from _parameters(opaque.get("parameters"), (*inside, "opaque", "parameters"))


def _parameters(value: Any, path: Path) -> Problems:
    if value is None:
        yield Problem(path, "Required value")
        return
    if not isinstance(value, Mapping):
        yield Problem(path, "Invalid value: must be a valid JSON object")
        return
    try:
        length = len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())
    except (TypeError, ValueError) as error:
        yield Problem(path, f"Invalid value: must be a valid JSON object ({error})")
        return
    if length > MAX_PARAMETERS_BYTES:
        yield Problem(path, f"Too long: may not be more than {MAX_PARAMETERS_BYTES} bytes")
