"""Planning on a cluster that runs, and explaining pods that wait in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from drakit.cli import BadInput
from drakit.cli.plan.sources import Source
from drakit.documents import Document
from drakit.errors import LimitExceeded
from drakit.kube.client import ApiError
from drakit.kube.cluster import ClusterSnapshot, read_cluster
from drakit.kube.credentials import find_credentials
from drakit.plan import PlanError, read_slices
from drakit.plan.placing import PlannedNode
from drakit.plan.workload import ClaimUse, PlannedPod, claim_for, meant_or_known

_KINDS = {"pod": "Pod", "pods": "Pod", "resourceclaim": "ResourceClaim", "resourceclaims": "ResourceClaim"}


def of_cluster(kubeconfig: str | None) -> Source:
    """The cluster as it is now. Raises BadInput where it cannot be read."""
    try:
        found = read_cluster(find_credentials(Path(kubeconfig) if kubeconfig else None))
    except ApiError as error:
        raise BadInput(f"the cluster cannot be read: {error}") from None
    try:
        slices = read_slices(found.slices)
    except (PlanError, LimitExceeded) as error:
        raise BadInput(f"the cluster's slices cannot be read: {error}") from None
    return Source(
        nodes=tuple(PlannedNode.of_document(document) for document in found.nodes),
        slices=slices,
        documents=tuple(found.slices),
        others=tuple(_others(found)),
        pods=tuple(found.pods),
        version=found.version,
    )


def _others(found: ClusterSnapshot) -> Iterator[Document]:
    yield from found.classes
    yield from found.templates
    yield from found.claims


def pending_pods(source: Source, objects: Sequence[str], namespace: str | None) -> tuple[PlannedPod, ...]:
    """The pods that are asked for, `pod/NAME` or `resourceclaim/NAME`, or all that wait and have claims.

    Raises BadInput for one that there is not, or that waits for nothing.
    """
    if not objects:
        waiting = (one for one in source.pods if namespace in (None, one["metadata"].get("namespace")))
        return tuple(_pod(source, one) for one in waiting if (one.get("spec") or {}).get("resourceClaims"))
    return tuple(_named(source, one, namespace or "default") for one in objects)


def _named(source: Source, wanted: str, namespace: str) -> PlannedPod:
    kind, slash, name = wanted.partition("/")
    if not slash or kind not in _KINDS or not name:
        raise BadInput(f"{wanted!r}: give a pod of the cluster as pod/NAME, or a claim as resourceclaim/NAME")
    kind = _KINDS[kind]
    documents = source.pods if kind == "Pod" else [one for one in source.others if one["kind"] == kind]
    there = {one["metadata"]["name"]: one for one in documents if one["metadata"].get("namespace") == namespace}
    if name not in there:
        waits = "waits for a node" if kind == "Pod" else "is there"
        raise BadInput(f"no {kind} {name!r} {waits} in namespace {namespace!r}{meant_or_known(name, there)}")
    if kind == "Pod":
        return _pod(source, there[name])
    use = ClaimUse(name, there[name], shared=True)
    return PlannedPod(
        name=name, namespace=namespace, owner=f"ResourceClaim {name}", spec={}, claims=(use,), alike=name, bare=True
    )


def _pod(source: Source, pod: Mapping[str, Any]) -> PlannedPod:
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    namespace = metadata.get("namespace") or "default"
    made = {
        one.get("name"): one.get("resourceClaimName")
        for one in (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    }
    claims: list[ClaimUse] = []
    lacking = ""
    for entry in spec.get("resourceClaims") or ():
        claim = entry.get("resourceClaimName") or made.get(entry["name"])
        kind = "ResourceClaim" if claim else "ResourceClaimTemplate"
        if not claim and entry["name"] in made:
            continue  # the claim controller found that it needs none
        wanted = claim or entry["resourceClaimTemplateName"]
        names = _names(source.others, kind, namespace)
        if wanted in names:
            claims.append(_use(entry["name"], kind, names[wanted], namespace, metadata["name"]))
        else:
            lacking = lacking or f"it waits for {kind} {wanted!r}, which is not there{meant_or_known(wanted, names)}"
    return PlannedPod(
        name=metadata["name"],
        namespace=namespace,
        owner="",
        spec=spec,
        claims=tuple(claims),
        alike=metadata["uid"],
        lacking=lacking,
    )


def _use(name: str, kind: str, document: Document, namespace: str, pod: str) -> ClaimUse:
    if kind == "ResourceClaim":
        return ClaimUse(name, document, shared=True)
    return claim_for(document, namespace, pod, name)


def _names(documents: Iterable[Document], kind: str, namespace: str) -> dict[str, Document]:
    return {
        one["metadata"]["name"]: one
        for one in documents
        if one["kind"] == kind and one["metadata"].get("namespace") == namespace
    }
