"""The resources this server holds, and which of them a path names."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from attrs import field, frozen

from drakit.testing.apiserver.status import Refusal, bad_request, no_such_path

Document = dict[str, Any]


@frozen(eq=False)
class Resource:
    """One kind of object. Compared by identity: each exists once."""

    group: str
    plural: str
    kind: str
    namespaced: bool = False
    has_status: bool = False
    counts_generations: bool = False
    returns_deleted: bool = True
    """Whether the answer to a delete is the object, as it is for most kinds, rather than a Status."""
    fields: tuple[str, ...] = ()
    """What a field selector may name, besides metadata.name and metadata.namespace."""
    version: str = "v1"
    api_version: str = field(init=False)
    prefix: bytes = field(init=False)
    """How every encoded object of this kind begins; what follows is an item of a list, but for its brace."""

    @api_version.default
    def _api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @prefix.default
    def _prefix(self) -> bytes:
        return f'{{"kind":"{self.kind}","apiVersion":"{self.api_version}",'.encode()

    @property
    def qualified(self) -> str:
        """`plural.group`, as messages have it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_DRA = "resource.k8s.io"

RESOURCES = (
    Resource(
        _DRA,
        "resourceslices",
        "ResourceSlice",
        counts_generations=True,
        fields=("spec.driver", "spec.nodeName", "spec.pool.name"),
    ),
    Resource(_DRA, "resourceclaims", "ResourceClaim", namespaced=True, has_status=True),
    Resource(_DRA, "resourceclaimtemplates", "ResourceClaimTemplate", namespaced=True),
    Resource(_DRA, "deviceclasses", "DeviceClass", counts_generations=True),
    Resource("", "nodes", "Node", has_status=True, returns_deleted=False, fields=("spec.unschedulable",)),
    Resource("", "pods", "Pod", namespaced=True, has_status=True, fields=("spec.nodeName", "status.phase")),
    Resource(
        "events.k8s.io",
        "events",
        "Event",
        namespaced=True,
        returns_deleted=False,
        fields=(
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "reason",
            "reportingController",
            "type",
        ),
    ),
    *(
        Resource("apps", plural, kind, namespaced=True, has_status=True)
        for plural, kind in (
            ("deployments", "Deployment"),
            ("replicasets", "ReplicaSet"),
            ("statefulsets", "StatefulSet"),
            ("daemonsets", "DaemonSet"),
        )
    ),
    Resource("batch", "jobs", "Job", namespaced=True, has_status=True),
    Resource("batch", "cronjobs", "CronJob", namespaced=True, has_status=True),
    Resource("", "resourcequotas", "ResourceQuota", namespaced=True, has_status=True),
    Resource("rbac.authorization.k8s.io", "clusterroles", "ClusterRole"),
    Resource("rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding"),
    *(
        Resource("admissionregistration.k8s.io", plural, kind)
        for plural, kind in (
            ("validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
            ("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"),
            ("validatingwebhookconfigurations", "ValidatingWebhookConfiguration"),
            ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration"),
        )
    ),
)
_BY_PATH = {(resource.group, resource.version, resource.plural): resource for resource in RESOURCES}
_BY_KIND = {resource.kind: resource for resource in RESOURCES}


@frozen
class Target:
    """What a path names: all objects of a kind, those of a namespace, one object, or its status."""

    resource: Resource
    namespace: str
    name: str = ""
    status: bool = False


def of_kind(kind: str) -> Resource:
    """The resource of a kind. Raises KeyError, naming the kinds there are."""
    try:
        return _BY_KIND[kind]
    except KeyError:
        raise KeyError(f"the in-memory API server has no kind {kind!r}; it has {', '.join(_BY_KIND)}") from None


def target_of(document: Document) -> Target:
    """The object a document is of; without a namespace, it is in `default`. Raises Refusal."""
    api_version, kind = document.get("apiVersion"), document.get("kind")
    resource = _BY_KIND.get(str(kind))
    if resource is None or resource.api_version != api_version:
        raise bad_request(f"no kind {kind!r} is registered for version {api_version!r}")
    metadata = document.get("metadata") or {}
    return named(resource, metadata.get("name", ""), metadata.get("namespace"))


def named(resource: Resource, name: str, namespace: str | None) -> Target:
    """An object by name; without a namespace, it is in `default`."""
    return Target(resource, (namespace or "default") if resource.namespaced else "", name)


@lru_cache(maxsize=4096)
def locate(path: str) -> Target | Refusal:
    """What a path names; a Refusal, not raised, if nothing. Cached: the same few paths come again and again."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[0] == "api":
        parts.insert(1, "")
    if parts[0] not in ("api", "apis") or len(parts) < 4:
        return no_such_path(path)
    group, version, rest = parts[1], parts[2], parts[3:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource = _BY_PATH.get((group, version, rest[0]))
    name, subresource = (*rest[1:], "", "")[:2]
    if resource is None or len(rest) > 3 or (namespace and not resource.namespaced):
        return no_such_path(path)
    if (resource.namespaced and name and not namespace) or not (
        subresource == "" or (subresource == "status" and resource.has_status)
    ):
        return no_such_path(path)
    return Target(resource, namespace, name, subresource == "status")
