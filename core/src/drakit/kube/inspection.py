"""A look at a cluster by somebody who may not see all of it: what can be read is read, the rest is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import field, frozen

from drakit.documents import API_VERSION, Document
from drakit.errors import describe
from drakit.kube.client import NODES, RESOURCE_CLAIMS, RESOURCE_SLICES, ApiError, ApiUnreachable, KubeClient, Resource
from drakit.kube.cluster import CLAIM_TEMPLATES, DEVICE_CLASSES, LIST_SECONDS, PODS
from drakit.kube.credentials import Credentials
from drakit.model.converters import frozen_mapping

T = TypeVar("T")

_RBAC, _ADMISSION = "rbac.authorization.k8s.io/v1", "admissionregistration.k8s.io/v1"

RESOURCES: Mapping[str, Resource] = {
    "Node": NODES,
    "Pod": PODS,
    "ResourceSlice": RESOURCE_SLICES,
    "ResourceClaim": RESOURCE_CLAIMS,
    "ResourceClaimTemplate": CLAIM_TEMPLATES,
    "DeviceClass": DEVICE_CLASSES,
    "Deployment": Resource("apps/v1", "deployments"),
    "ReplicaSet": Resource("apps/v1", "replicasets"),
    "StatefulSet": Resource("apps/v1", "statefulsets"),
    "DaemonSet": Resource("apps/v1", "daemonsets"),
    "Job": Resource("batch/v1", "jobs"),
    "CronJob": Resource("batch/v1", "cronjobs"),
    "ResourceQuota": Resource("v1", "resourcequotas"),
    "ClusterRole": Resource(_RBAC, "clusterroles"),
    "ClusterRoleBinding": Resource(_RBAC, "clusterrolebindings"),
    "ValidatingAdmissionPolicy": Resource(_ADMISSION, "validatingadmissionpolicies"),
    "ValidatingAdmissionPolicyBinding": Resource(_ADMISSION, "validatingadmissionpolicybindings"),
    "ValidatingWebhookConfiguration": Resource(_ADMISSION, "validatingwebhookconfigurations"),
    "MutatingWebhookConfiguration": Resource(_ADMISSION, "mutatingwebhookconfigurations"),
}
"""What is read, by kind: all of it, and nothing else; Secrets and ConfigMaps are not."""

GROUP = API_VERSION.partition("/")[0]
_GATE = re.compile(r'^kubernetes_feature_enabled\{name="([^"]+)"[^}]*\} ([01])', re.MULTILINE)
_AT_ONCE = 6


@frozen(kw_only=True)
class Inspection:
    """What a cluster has, as far as it can be read. `unread` says of the rest why not, by kind or by what it is.

    `release`: as the server calls itself, without `v`. `served`: versions of `resource.k8s.io`, None if unknown.
    `schema`: the OpenAPI document of the version that drakit speaks. `gates`: feature gates of the API server.
    """

    server: str
    release: str
    served: tuple[str, ...] | None
    schema: Document | None
    gates: Mapping[str, bool] | None
    documents: Mapping[str, Sequence[Document]] = field(converter=frozen_mapping)
    unread: Mapping[str, str] = field(converter=frozen_mapping)

    @property
    def serves(self) -> bool | None:
        """Whether the API is there that drakit speaks; None if it is not known."""
        return None if self.served is None else API_VERSION.partition("/")[2] in self.served

    def of(self, kind: str) -> Sequence[Document]:
        """All of a kind; none where it could not be read."""
        return self.documents.get(kind, ())


def inspect(credentials: Credentials) -> Inspection:
    """Read it, changing nothing. Raises ApiError where the server does not answer, or takes the credentials for none's.

    What one may not read, or the server does not have, is told and costs nothing else.
    """
    return asyncio.run(_inspect(credentials))


async def _inspect(credentials: Credentials) -> Inspection:
    client = KubeClient(credentials, timeout_seconds=LIST_SECONDS)
    reader = _Reader(client)
    try:
        release = await reader.read("the version", client.server_release)
        nothing: tuple[str, ...] = ()
        served = await reader.read(f"the versions of {GROUP}", lambda: client.served(GROUP), absent=nothing)
        found = await asyncio.gather(*(reader.documents(kind, resource) for kind, resource in RESOURCES.items()))
        schema = await reader.read(f"the fields of {API_VERSION}", lambda: client.schema(API_VERSION))
        metrics = await reader.read("feature gates (/metrics)", client.metrics)
    finally:
        await client.close()
    gates = {name: on == "1" for name, on in _GATE.findall(metrics)} if metrics else None
    return Inspection(
        server=credentials.server,
        release=(release or "").removeprefix("v"),
        served=served,
        schema=schema,
        gates=gates or None,
        documents={kind: items for kind, items in zip(RESOURCES, found, strict=True) if items is not None},
        unread=reader.unread,
    )


class _Reader:
    """Reads one thing after another, and notes what could not be."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self.unread: dict[str, str] = {}

    async def read(self, what: str, ask: Callable[[], Awaitable[T]], absent: T | None = None) -> T | None:
        """The answer; None, with a note, if there is none. `absent`: what it is where the server knows no such thing.

        Raises ApiError for a server that does not answer, and for credentials that it does not know.
        """
        try:
            async with self._turn:
                return await ask()
        except ApiUnreachable:
            raise
        except ApiError as error:
            if error.status == 401:
                raise
            if error.status == 404 and absent is not None:
                return absent
            self.unread[what] = describe(error)
            return None

    async def documents(self, kind: str, resource: Resource) -> list[Document] | None:
        """All of a kind; a list's items lack the kind."""
        listed: Document | None = await self.read(kind, lambda: self._client.list(resource))
        if listed is None:
            return None
        items: list[Any] = listed.get("items") or []
        return [{"apiVersion": resource.group_version, "kind": kind, **item} for item in items]
