"""The kinds of documents that are planned: what is refused of each, and the pods that it stands for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import frozen

from drakit.documents import API_VERSION, Document
from drakit.plan.workload import shapes
from drakit.plan.workload.claims import check_claim, check_class, check_template
from drakit.plan.workload.metadata import check_metadata
from drakit.plan.workload.pods import check_pod, check_pod_template
from drakit.plan.workload.problems import Path, Problem, Problems, meant

PodMaker = Callable[[Mapping[str, Any]], Iterator[tuple[str, Mapping[str, Any], Path]]]
"""The pods of a valid document, one at a time: the name of each, what it is made of, and where that stands."""


@frozen
class Kind:
    """One kind: its apiVersion, its fields, its check, and how it makes pods, if it does."""

    api_version: str
    check: Callable[[Mapping[str, Any]], Problems]
    pods: PodMaker | None = None
    per_node: bool = False
    counted: Path = ("spec", "replicas")
    """What says how many pods there are."""


def check_document(document: Any) -> Problems:
    """All that is wrong with a document of any kind."""
    if not isinstance(document, Mapping):
        yield from shapes.mapping(document, ())
        return
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        if kind in ELSEWHERE:
            yield Problem(("kind",), f"{kind} is the cluster's, not part of a workload: give it with --slices")
        elif kind is None:
            yield Problem((), "has no kind; a document must have apiVersion and kind")
        else:
            hint = meant(kind, KINDS) or f"; planned are {', '.join(KINDS)}, and Lists of them"
            yield Problem(("kind",), f"{json.dumps(kind, default=repr)} is not a kind that can be planned{hint}")
        return
    known = KINDS[kind]
    if (version := document.get("apiVersion")) != known.api_version:
        yield Problem(("apiVersion",), _wrong_version(version, known.api_version))
    yield from _top(document, ("apiVersion", "kind", "metadata", "spec", "status"))
    yield from check_metadata(document)
    yield from known.check(document)


def _wrong_version(version: object, wanted: str) -> str:
    said = f"must be {wanted}, not {json.dumps(version, default=repr)}"
    if isinstance(version, str) and version.startswith("resource.k8s.io/"):
        return f"{said}: that is what clusters serve from 1.34 on"
    return said


def _top(document: Mapping[str, Any], known: tuple[str, ...]) -> Problems:
    yield from shapes.mapping(document, (), known)


def _labels_match(spec: Mapping[str, Any], labels: Mapping[str, Any]) -> Problems:
    selector = yield from shapes.mapping(
        spec.get("selector"), ("spec", "selector"), ("matchLabels", "matchExpressions")
    )
    wanted = yield from shapes.mapping(selector.get("matchLabels"), ("spec", "selector", "matchLabels"))
    if not selector:
        yield Problem(("spec", "selector"), "Required value")
    elif any(labels.get(key) != value for key, value in wanted.items()):
        path = ("spec", "template", "metadata", "labels")
        yield Problem(
            path, f"Invalid value: {json.dumps(labels, default=repr)}: `selector` does not match these labels"
        )


def _check_replicated(document: Mapping[str, Any]) -> Problems:
    spec = yield from shapes.mapping(document.get("spec"), ("spec",))
    yield from shapes.integer(spec.get("replicas"), ("spec", "replicas"), least=0, default=1)
    labels = yield from check_pod_template(spec.get("template"), ("spec", "template"))
    yield from _labels_match(spec, labels)


def _check_daemon_set(document: Mapping[str, Any]) -> Problems:
    spec = yield from shapes.mapping(document.get("spec"), ("spec",))
    labels = yield from check_pod_template(spec.get("template"), ("spec", "template"))
    yield from _labels_match(spec, labels)


def _check_job(document: Mapping[str, Any]) -> Problems:
    spec = yield from shapes.mapping(document.get("spec"), ("spec",))
    for key in ("parallelism", "completions"):
        yield from shapes.integer(spec.get(key), ("spec", key), least=0, default=1)
    modes = ("NonIndexed", "Indexed")
    mode = yield from shapes.choice(spec.get("completionMode"), ("spec", "completionMode"), modes)
    if mode == "Indexed" and spec.get("completions") is None:
        yield Problem(("spec", "completions"), "Required value: when completion mode is Indexed")
    yield from check_pod_template(spec.get("template"), ("spec", "template"), ("Never", "OnFailure"))


def _check_group_set(document: Mapping[str, Any]) -> Problems:
    spec = yield from shapes.mapping(document.get("spec"), ("spec",))
    yield from shapes.integer(spec.get("replicas"), ("spec", "replicas"), least=0, default=1)
    path: Path = ("spec", "leaderWorkerTemplate")
    group = yield from shapes.mapping(spec.get("leaderWorkerTemplate"), path)
    yield from shapes.integer(group.get("size"), (*path, "size"), least=1, default=1)
    if "workerTemplate" not in group:
        yield Problem((*path, "workerTemplate"), "Required value")
    for key in ("workerTemplate", "leaderTemplate"):
        if key in group:
            yield from check_pod_template(group[key], (*path, key), ())


def _pod(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
    yield _name(document), document, ()


def _replicas(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
    spec = document["spec"]
    for index in range(_number(spec, "replicas")):
        yield f"{_name(document)}-{index}", spec["template"], ("spec", "template")


def _job_pods(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
    """As many as run at once."""
    spec = document["spec"]
    at_once, completions = _number(spec, "parallelism"), spec.get("completions")
    for index in range(at_once if completions is None else min(at_once, completions)):
        yield f"{_name(document)}-{index}", spec["template"], ("spec", "template")


def _group_pods(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
    """Group by group, the leader first: `name-GROUP`, then `name-GROUP-1` and so on."""
    spec = document["spec"]
    group = spec["leaderWorkerTemplate"]
    leader = "leaderTemplate" if group.get("leaderTemplate") else "workerTemplate"
    for index in range(_number(spec, "replicas")):
        for place in range(_number(group, "size")):
            key = "workerTemplate" if place else leader
            name = f"{_name(document)}-{index}" + (f"-{place}" if place else "")
            yield name, group[key], ("spec", "leaderWorkerTemplate", key)


def _daemon(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
    yield _name(document), document["spec"]["template"], ("spec", "template")


def _number(spec: Mapping[str, Any], key: str) -> int:
    found = spec.get(key)
    return 1 if found is None else int(found)


def _name(document: Document | Mapping[str, Any]) -> str:
    metadata = document["metadata"]
    return str(metadata.get("name") or metadata["generateName"].rstrip("-"))


def _check_namespace(_document: Mapping[str, Any]) -> Problems:
    yield from ()


KINDS: dict[str, Kind] = {
    "ResourceClaim": Kind(API_VERSION, check_claim),
    "ResourceClaimTemplate": Kind(API_VERSION, check_template),
    "DeviceClass": Kind(API_VERSION, check_class),
    "Namespace": Kind("v1", _check_namespace),
    "Pod": Kind("v1", check_pod, _pod),
    "Deployment": Kind("apps/v1", _check_replicated, _replicas),
    "ReplicaSet": Kind("apps/v1", _check_replicated, _replicas),
    "StatefulSet": Kind("apps/v1", _check_replicated, _replicas),
    "DaemonSet": Kind("apps/v1", _check_daemon_set, _daemon, per_node=True),
    "Job": Kind("batch/v1", _check_job, _job_pods, counted=("spec", "parallelism")),
    "LeaderWorkerSet": Kind("leaderworkerset.x-k8s.io/v1", _check_group_set, _group_pods),
}
ELSEWHERE = ("ResourceSlice", "Node")
"""Kinds that are the cluster's."""
_IGNORED = (
    "ClusterRole ClusterRoleBinding ConfigMap CustomResourceDefinition HorizontalPodAutoscaler Ingress NetworkPolicy "
    "PersistentVolume PersistentVolumeClaim PodDisruptionBudget PriorityClass Role RoleBinding RuntimeClass Secret "
    "Service ServiceAccount ServiceMonitor StorageClass"
)
IGNORED = frozenset(_IGNORED.split())
"""What stands beside workloads in manifests, and decides nothing over devices."""
