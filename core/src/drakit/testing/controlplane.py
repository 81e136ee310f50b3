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

        Raises Unschedulable, and PlanError for what the planner cannot decide.
        """
        allocations = self._allocate(pod, claims)
        metadata = pod["metadata"]
        consumer = {"resource": "pods", "name": metadata["name"], "uid": metadata["uid"]}
        written = []
        for claim, allocation in zip(claims, allocations, strict=True):
            claim = _latest(claim)  # noqa: PLW2901 - the same claim, without its old version
            claim["metadata"]["finalizers"] = [FINALIZER]
            written.append(
                self._server.replace(claim | {"status": {"allocation": allocation, "reservedFor": [consumer]}})
            )
        bound = _latest(self._server.get("Pod", metadata["name"], metadata["namespace"]))
        self._server.replace(bound | {"spec": {**bound["spec"], "nodeName": self._node}})
        return written

    def finish(self, pod: Document, claims: Sequence[Document]) -> None:
        """Delete a pod that has ended, deallocate its claims, and delete those that were made for it."""
        metadata = pod["metadata"]
        self._server.delete("Pod", metadata["name"], metadata["namespace"])
        for claim in claims:
            released = _latest(claim)
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
