"""What the API server refuses of a pod, as far as claims and the choice of a node go. Source: core/v1 validation.

Of the rest of a pod only the names of its fields are looked at, so that a misspelt one is found.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from drakit.model.names import check_label, check_subdomain
from drakit.plan.workload import shapes
from drakit.plan.workload.metadata import check_labels
from drakit.plan.workload.problems import Path, Problem, Problems, meant_or_known

_POD_SPEC = (
    "activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy enableServiceLinks "
    "ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers hostname hostnameOverride imagePullSecrets "
    "initContainers nodeName nodeSelector os overhead preemptionPolicy priority priorityClassName readinessGates "
    "resourceClaims resources restartPolicy runtimeClassName schedulerName schedulingGates schedulingGroup "
    "securityContext serviceAccount serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain "
    "terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes workloadRef"
)
POD_SPEC = tuple(_POD_SPEC.split())
_CONTAINER = (
    "args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resizePolicy "
    "resources restartPolicy restartPolicyRules securityContext startupProbe stdin stdinOnce terminationMessagePath "
    "terminationMessagePolicy tty volumeDevices volumeMounts workingDir"
)
CONTAINER = tuple(_CONTAINER.split())
_CLAIM_SOURCES = ("resourceClaimName", "resourceClaimTemplateName")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")


def check_pod(document: Mapping[str, Any]) -> Problems:
    """A Pod."""
    yield from check_pod_spec(document.get("spec"), ("spec",))


def check_pod_template(value: Any, path: Path, restarts: Collection[str] = ("Always",)) -> shapes.Checked[Any]:
    """The pod template of a workload, with the restart policies that such pods may have; returns its labels."""
    template = yield from shapes.mapping(value, path, ("metadata", "spec"))
    metadata = yield from shapes.mapping(template.get("metadata"), (*path, "metadata"))
    yield from check_labels(metadata, (*path, "metadata"))
    spec = template.get("spec")
    yield from check_pod_spec(spec, (*path, "spec"))
    if isinstance(spec, Mapping) and restarts:
        policy = spec.get("restartPolicy") or "Always"
        if policy not in restarts:
            allowed = ", ".join(json.dumps(one) for one in restarts)
            yield Problem(
                (*path, "spec", "restartPolicy"),
                f"Unsupported value: {json.dumps(policy)}: supported values: {allowed}",
            )
    labels = metadata.get("labels")
    return labels if isinstance(labels, Mapping) else {}


def check_pod_spec(value: Any, path: Path) -> Problems:
    """The spec of a pod."""
    spec = yield from shapes.mapping(value, path, POD_SPEC)
    names = yield from _claims(spec.get("resourceClaims"), (*path, "resourceClaims"))
    if not spec.get("containers"):
        yield Problem((*path, "containers"), "Required value")
    for key in ("initContainers", "containers"):
        entries = yield from shapes.sequence(spec.get(key), (*path, key))
        for index, entry in enumerate(entries):
            yield from _container(entry, (*path, key, index), names)
    selector = yield from shapes.mapping(spec.get("nodeSelector"), (*path, "nodeSelector"))
    for key, wanted in selector.items():
        yield from shapes.text(wanted, (*path, "nodeSelector", key))
    yield from shapes.rule(_check_name, spec.get("nodeName"), (*path, "nodeName"), required=False)
    yield from _affinity(spec.get("affinity"), (*path, "affinity"))
    tolerations = yield from shapes.sequence(spec.get("tolerations"), (*path, "tolerations"))
    for index, entry in enumerate(tolerations):
        yield from _toleration(entry, (*path, "tolerations", index))


def _claims(value: Any, path: Path) -> shapes.Checked[list[str]]:
    """Returns the names that containers may use."""
    entries = yield from shapes.sequence(value, path)
    names = []
    for index, entry in enumerate(entries):
        inside = (*path, index)
        claim = yield from shapes.mapping(entry, inside, ("name", *_CLAIM_SOURCES))
        name = yield from shapes.rule(check_label, claim.get("name"), (*inside, "name"))
        source = yield from shapes.exactly_one(claim, inside, _CLAIM_SOURCES)
        if source:
            yield from shapes.rule(_check_name, claim[source], (*inside, source))
        names.append(name)
    yield from shapes.unique(names, path)
    return [name for name in names if name]


def _container(value: Any, path: Path, claims: Collection[str]) -> Problems:
    container = yield from shapes.mapping(value, path, CONTAINER)
    yield from shapes.rule(check_label, container.get("name"), (*path, "name"))
    yield from shapes.text(container.get("image"), (*path, "image"), required=True)
    inside = (*path, "resources")
    resources = yield from shapes.mapping(container.get("resources"), inside, ("claims", "limits", "requests"))
    used = yield from shapes.sequence(resources.get("claims"), (*inside, "claims"))
    for index, entry in enumerate(used):
        place = (*inside, "claims", index)
        claim = yield from shapes.mapping(entry, place, ("name", "request"))
        name = yield from shapes.text(claim.get("name"), (*place, "name"), required=True)
        yield from shapes.text(claim.get("request"), (*place, "request"))
        if name and name not in claims:
            said = f"must be one of the names in pod.spec.resourceClaims{meant_or_known(name, claims)}"
            yield Problem((*place, "name"), f"Invalid value: {json.dumps(name)}: {said}")


def _affinity(value: Any, path: Path) -> Problems:
    affinity = yield from shapes.mapping(value, path, ("nodeAffinity", "podAffinity", "podAntiAffinity"))
    known = (
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
    )
    inside = (*path, "nodeAffinity")
    node = yield from shapes.mapping(affinity.get("nodeAffinity"), inside, known)
    if known[0] not in node:
        return
    inside = (*inside, known[0])
    required = yield from shapes.mapping(node[known[0]], inside, ("nodeSelectorTerms",))
    inside = (*inside, "nodeSelectorTerms")
    terms = yield from shapes.sequence(required.get("nodeSelectorTerms"), inside)
    if not terms:
        yield Problem(inside, "Required value: must have at least one node selector term")
    for index, entry in enumerate(terms):
        term = yield from shapes.mapping(entry, (*inside, index), ("matchExpressions", "matchFields"))
        for key, entries in term.items():
            listed = yield from shapes.sequence(entries, (*inside, index, key))
            for number, one in enumerate(listed):
                yield from _requirement(one, (*inside, index, key, number))


def _requirement(value: Any, path: Path) -> Problems:
    requirement = yield from shapes.mapping(value, path, ("key", "operator", "values"))
    yield from shapes.text(requirement.get("key"), (*path, "key"), required=True)
    operator = yield from shapes.choice(requirement.get("operator"), (*path, "operator"), _OPERATORS)
    values = yield from shapes.sequence(requirement.get("values"), (*path, "values"))
    for index, one in enumerate(values):
        yield from shapes.text(one, (*path, "values", index))
    if not requirement.get("operator"):
        yield Problem((*path, "operator"), "Required value")
    elif operator in ("In", "NotIn") and not values:
        yield Problem((*path, "values"), "Required value: must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist") and values:
        yield Problem((*path, "values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ("Gt", "Lt") and len(values) != 1:
        yield Problem((*path, "values"), "must be a single value when `operator` is 'Lt' or 'Gt'")


def _toleration(value: Any, path: Path) -> Problems:
    toleration = yield from shapes.mapping(value, path, ("key", "operator", "value", "effect", "tolerationSeconds"))
    operators = ("Equal", "Exists", "Lt", "Gt")
    operator = yield from shapes.choice(toleration.get("operator"), (*path, "operator"), operators, "Equal")
    effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
    yield from shapes.choice(toleration.get("effect"), (*path, "effect"), effects)
    key = yield from shapes.text(toleration.get("key"), (*path, "key"))
    given = yield from shapes.text(toleration.get("value"), (*path, "value"))
    if not key and operator != "Exists":
        yield Problem((*path, "operator"), "Invalid value: must be Exists when `key` is empty")
    if operator == "Exists" and given:
        yield Problem(
            (*path, "value"), f"Invalid value: {json.dumps(given)}: must be empty when `operator` is 'Exists'"
        )


def _check_name(field: str, name: Any) -> None:
    check_subdomain(field, name, 253)
