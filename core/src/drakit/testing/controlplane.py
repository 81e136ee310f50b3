"""What a cluster does between a pod and its node: make the claims, allocate them, and clean up after the pod.

The parts of the claim controller and of the scheduler that concern devices, over an API server in memory, done when
they are asked for. Allocation is the planner's. Source: KEP-4381.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drakit.documents import Document
from drakit.errors import ConfigError, DRAError
from drakit.plan import (
    Allocated,
    Allocator,
    DeviceClass,
    Features,
    NodeView,
    Unsatisfied,
    claim_from_template,
    kube_profile,
    read_slices,
)
from drakit.plan.claims import read_claim
from drakit.testing.apiserver import InMemoryApiServer, Refusal
from drakit.testing.manifests import Item, Manifest, pod_claims

FINALIZER = "resource.kubernetes.io/delete-protection"


class Unschedulable(DRAError):
    """A pod's claims cannot be allocated on the node. The message says why."""


class ControlPlane:
    """The control plane of one node. All methods raise Refusal where the API server would."""

    def __init__(self, server: InMemoryApiServer, node: str) -> None:
        self._server = server
        self._node = node

    def submit(self, manifest: Manifest) -> list[Document]:
        """Create everything in the manifest; returns the pods. Raises ConfigError for what the server refuses."""
        for kind in ("DeviceClass", "ResourceClaimTemplate", "ResourceClaim"):
            for item in manifest.of(kind):
                self._create(item)
        for kind in ("ResourceClaimTemplate", "ResourceClaim"):
            for item in manifest.of(kind):
                self._check_classes(item)
        return [self._create(item) for item in manifest.of("Pod")]

    def make_claims(self, pod: Document) -> list[Document]:
        """The claims of a pod; those of templates are created, owned by the pod."""
        claims, statuses = [], []
        for entry in pod_claims(pod):
            claim = self._claim(pod, entry)
            claims.append(claim)
            statuses.append({"name": entry["name"], "resourceClaimName": claim["metadata"]["name"]})
        self._server.replace(
            _latest(pod) | {"status": {**(pod.get("status") or {}), "resourceClaimStatuses": statuses}}
        )
        return claims

    def schedule(self, pod: Document, claims: Sequence[Document]) -> list[Document]:
        """Allocate the pod's claims on the node, all or none, and bind the pod; returns the claims as written.

        A claim that is allocated already, for another pod, stays as it is and is reserved for this one too. Raises
        Unschedulable, and PlanError for what the planner cannot decide.
        """
        current = [self._current(claim) for claim in claims]
        pending = [claim for claim in current if not _status(claim).get("allocation")]
        allocations = iter(self._allocate(pod, pending) if pending else ())
        metadata = pod["metadata"]
        written = []
        for claim in current:
            status = _status(claim)
            claim["metadata"]["finalizers"] = [FINALIZER]
            allocation = status.get("allocation") or next(allocations)
            reserved = [*(status.get("reservedFor") or ()), _consumer(pod)]
            written.append(
                self._server.replace(claim | {"status": {**status, "allocation": allocation, "reservedFor": reserved}})
            )
        bound = _latest(self._server.get("Pod", metadata["name"], metadata["namespace"]))
        self._server.replace(bound | {"spec": {**bound["spec"], "nodeName": self._node}})
        return written

    def is_last(self, pod: Document, claim: Document) -> bool:
        """Whether no other pod has the claim any more: then the kubelet has it undone when this one has ended."""
        return _others(pod, self._current(claim)) == []

    def finish(self, pod: Document, claims: Sequence[Document]) -> None:
        """Delete a pod that has ended, and what was made for it; its claims are deallocated unless others have them."""
        metadata = pod["metadata"]
        self._server.delete("Pod", metadata["name"], metadata["namespace"])
        for claim in claims:
            released = self._current(claim)
            if others := _others(pod, released):
                self._server.replace(released | {"status": {**_status(released), "reservedFor": others}})
                continue
            released["metadata"].pop("finalizers", None)
            released["status"] = {}
            self._server.replace(released)
            if any(owner["uid"] == metadata["uid"] for owner in released["metadata"].get("ownerReferences") or ()):
                self._server.delete("ResourceClaim", released["metadata"]["name"], released["metadata"]["namespace"])

    def classes(self) -> dict[str, DeviceClass]:
        """The device classes there are."""
        return {
            document["metadata"]["name"]: DeviceClass.from_document(document)
            for document in self._server.list("DeviceClass")
        }

    def _create(self, item: Item) -> Document:
        try:
            return self._server.create(item.document)
        except Refusal as refusal:
            raise ConfigError(f"{item.place}: {refusal}") from None

    def _check_classes(self, item: Item) -> None:
        document, path = item.document, "spec.devices"
        if document["kind"] == "ResourceClaimTemplate":
            document, path = claim_from_template(document, item.name, "", ""), "spec.spec.devices"
        known = self.classes()
        for index, request in enumerate(read_claim(document).requests):
            for _, wanted in request.alternatives:
                if wanted.device_class_name not in known:
                    raise ConfigError(
                        f"{item.place}: {path}.requests[{index}]: there is no DeviceClass "
                        f"{wanted.device_class_name!r}; there are {', '.join(sorted(known)) or 'none'}"
                    )

    def _claim(self, pod: Document, entry: Mapping[str, Any]) -> Document:
        metadata = pod["metadata"]
        if name := entry.get("resourceClaimName"):
            return self._server.get("ResourceClaim", name, metadata["namespace"])
        template = self._server.get("ResourceClaimTemplate", entry["resourceClaimTemplateName"], metadata["namespace"])
        claim = claim_from_template(template, "", metadata["namespace"], "", entry["name"])
        claim["metadata"] |= {
            "generateName": f"{metadata['name']}-{entry['name']}-",
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        }
        return self._server.create(claim)

    def _current(self, claim: Document) -> Document:
        """The claim as it is now, for an update."""
        metadata = claim["metadata"]
        return _latest(self._server.get("ResourceClaim", metadata["name"], metadata["namespace"]))

    def _allocate(self, pod: Document, claims: Sequence[Document]) -> list[Document]:
        node = self._server.get("Node", self._node)
        view = NodeView(self._node, node["metadata"].get("labels") or {})
        slices = read_slices(self._server.list("ResourceSlice"))
        allocated = Allocated.of_claims(self._server.list("ResourceClaim"))
        profile = kube_profile(features=Features.every())
        outcome = Allocator(slices, self.classes(), allocated, profile=profile).allocate_all(claims, view)
        if isinstance(outcome, Unsatisfied):
            metadata = pod["metadata"]
            raise Unschedulable(f"pod {metadata['namespace']}/{metadata['name']} cannot be scheduled: {outcome}")
        return [allocation.to_api() for allocation in outcome]


def _latest(document: Document) -> Document:
    """The document for an update of whatever version there is."""
    metadata = {key: value for key, value in document["metadata"].items() if key != "resourceVersion"}
    return document | {"metadata": metadata}


def _status(claim: Document) -> Document:
    return claim.get("status") or {}


def _consumer(pod: Document) -> Document:
    """A pod as a claim is reserved for it."""
    return {"resource": "pods", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}


def _others(pod: Document, claim: Document) -> list[Document]:
    """The other pods that a claim is reserved for."""
    return [one for one in _status(claim).get("reservedFor") or () if one["uid"] != pod["metadata"]["uid"]]
