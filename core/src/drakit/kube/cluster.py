"""A look at a whole cluster: all that decides over devices, read once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from attrs import field, frozen

from drakit.documents import API_VERSION, Document
from drakit.kube.client import NODES, RESOURCE_CLAIMS, RESOURCE_SLICES, KubeClient, Resource
from drakit.kube.credentials import Credentials
from drakit.model.converters import frozen_tuple

PODS = Resource("v1", "pods")
DEVICE_CLASSES = Resource(API_VERSION, "deviceclasses")
CLAIM_TEMPLATES = Resource(API_VERSION, "resourceclaimtemplates")

LIST_SECONDS = 60.0
"""Slices of a thousand nodes are some ten megabytes."""


@frozen(kw_only=True)
class ClusterSnapshot:
    """Documents as the API server has them, each with apiVersion and kind; `version` is the server's minor release."""

    server: str
    version: str
    nodes: Sequence[Document] = field(converter=frozen_tuple)
    slices: Sequence[Document] = field(converter=frozen_tuple)
    classes: Sequence[Document] = field(converter=frozen_tuple)
    claims: Sequence[Document] = field(converter=frozen_tuple)
    templates: Sequence[Document] = field(converter=frozen_tuple)
    pods: Sequence[Document] = field(converter=frozen_tuple)
    """Those that no node has yet."""


def read_cluster(credentials: Credentials) -> ClusterSnapshot:
    """Read it. Raises ApiError, with what was asked for."""
    return asyncio.run(_read(credentials))


async def _read(credentials: Credentials) -> ClusterSnapshot:
    client = KubeClient(credentials, timeout_seconds=LIST_SECONDS)
    try:
        release = await client.server_release()
        nodes, slices, classes, claims, templates, pods = await asyncio.gather(
            _listed(client, NODES, "Node"),
            _listed(client, RESOURCE_SLICES, "ResourceSlice"),
            _listed(client, DEVICE_CLASSES, "DeviceClass"),
            _listed(client, RESOURCE_CLAIMS, "ResourceClaim"),
            _listed(client, CLAIM_TEMPLATES, "ResourceClaimTemplate"),
            _listed(client, PODS, "Pod", field_selector="spec.nodeName="),
        )
    finally:
        await client.close()
    return ClusterSnapshot(
        server=credentials.server,
        version=release.removeprefix("v"),
        nodes=nodes,
        slices=slices,
        classes=classes,
        claims=claims,
        templates=templates,
        pods=pods,
    )


async def _listed(client: KubeClient, resource: Resource, kind: str, *, field_selector: str = "") -> list[Document]:
    """All of a kind; a list's items lack the kind."""
    document = await client.list(resource, field_selector=field_selector)
    return [{"apiVersion": resource.group_version, "kind": kind, **item} for item in document.get("items") or ()]
