"""What a cluster has that decides over devices, read from it or from files: slices, claims, nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from drakit.decoding import read_text
from drakit.documents import API_VERSION, Document
from drakit.errors import ConfigError, DRAError, LimitExceeded, describe, shorten
from drakit.kube.client import NODES, RESOURCE_CLAIMS, RESOURCE_SLICES, ApiError, KubeClient
from drakit.kube.credentials import Credentials, find_credentials
from drakit.model import Quantity
from drakit.model.converters import frozen_tuple
from drakit.plan import NodeView
from drakit.plan.workload import read_documents

VERSIONS: Mapping[str, str] = {"ResourceSlice": API_VERSION, "ResourceClaim": API_VERSION, "Node": "v1"}
REQUEST_SECONDS = 30.0
"""A large cluster's slices are many megabytes."""

_RESOURCES = {"ResourceSlice": RESOURCE_SLICES, "ResourceClaim": RESOURCE_CLAIMS, "Node": NODES}


@frozen(kw_only=True)
class ClusterState:
    """Documents that were checked as far as anything here looks into them without asking."""

    slices: tuple[Document, ...] = field(default=(), converter=frozen_tuple)
    claims: tuple[Document, ...] = field(default=(), converter=frozen_tuple)
    nodes: tuple[NodeView, ...] = field(default=(), converter=frozen_tuple)


def read_cluster(kubeconfig: str | None) -> ClusterState:
    """What the cluster of a kubeconfig, or of the current one, has. Raises ConfigError, and ApiError."""
    return asyncio.run(_ask(find_credentials(Path(kubeconfig) if kubeconfig else None)))


async def _ask(credentials: Credentials) -> ClusterState:
    client = KubeClient(credentials, timeout_seconds=REQUEST_SECONDS)
    try:
        answers = await asyncio.gather(*(client.list(resource) for resource in _RESOURCES.values()))
    except ApiError as error:
        raise DRAError(f"{describe(error)}; {_REMEDIES.get(error.status, 'see what kubectl says')}") from None
    finally:
        await client.close()
    found = [
        (f"{kind} {(item.get('metadata') or {}).get('name')!r} of {credentials.server}", kind, item)
        for kind, answer in zip(_RESOURCES, answers, strict=True)
        for item in answer.get("items") or ()
    ]
    return _state(found)


_REMEDIES = {
    0: "check the address in the kubeconfig, and that it can be reached from here",
    401: "the credentials are not accepted; renew them",
    403: "you need to list resourceslices, resourceclaims and nodes",
    404: "the cluster does not serve resource.k8s.io/v1, which Kubernetes has from 1.34 on",
}


IGNORED = ("DeviceClass", "Node")
"""What is in a dump of a cluster beside what was asked for, and says nothing here."""


def read_file(path: Path, kinds: Collection[str]) -> ClusterState:
    """What a file of YAML or JSON has, of some of the kinds in VERSIONS; lists count as what is in them.

    Raises ConfigError with file and line.
    """
    return _state(_checked(path, kinds))


def _checked(path: Path, kinds: Collection[str]) -> Iterator[tuple[str, str, Document]]:
    for one in read_documents(read_text(path), str(path)):
        document = one.document
        if not isinstance(document, dict):
            raise ConfigError(f"{one.place()}: must be a mapping with apiVersion and kind, not {shorten(document)}")
        kind = document.get("kind")
        if isinstance(kind, str) and kind.endswith("List"):
            _list(f"{one.place(('items',))}: items", document.get("items"))
        elif not isinstance(kind, str) or kind not in kinds:
            if kind not in IGNORED:
                place = one.place(("kind",))
                raise ConfigError(f"{place}: kind {shorten(kind)} has no place here; give {' or '.join(kinds)}")
        elif document.get("apiVersion") != VERSIONS[kind]:
            version = shorten(document.get("apiVersion"))
            place = one.place(("apiVersion",))
            raise ConfigError(f"{place}: {one.label}apiVersion must be {VERSIONS[kind]!r}, not {version}")
        else:
            yield f"{one.place()}: {one.label.removesuffix(': ')}", kind, document


def _state(found: Iterable[tuple[str, str, Document]]) -> ClusterState:
    slices, claims, nodes = [], [], []
    for where, kind, document in found:
        metadata = _mapping(f"{where}:", document, "metadata")
        if kind == "ResourceSlice":
            _check_slice(where, document)
            slices.append(document)
        elif kind == "ResourceClaim":
            _check_claim(where, document)
            claims.append(document)
        else:
            labels = _mapping(f"{where}: metadata", metadata, "labels")
            nodes.append(NodeView(_text(f"{where}: metadata", metadata, "name"), labels))
    return ClusterState(slices=slices, claims=claims, nodes=nodes)


def _check_slice(where: str, document: Document) -> None:
    """Which pool a slice is of, and of which node. What is in it is the reader's to judge."""
    spec = _mapping(f"{where}:", document, "spec")
    _text(f"{where}: spec", spec, "driver")
    _text(f"{where}: spec.pool", _mapping(f"{where}: spec", spec, "pool"), "name")
    if spec.get("nodeName") is not None:
        _text(f"{where}: spec", spec, "nodeName")


def _check_claim(where: str, document: Document) -> None:
    """The devices that it has. One without any is as good."""
    allocation = _mapping(f"{where}: status", _mapping(f"{where}:", document, "status"), "allocation")
    devices = _mapping(f"{where}: status.allocation", allocation, "devices")
    place = f"{where}: status.allocation.devices.results"
    for number, result in enumerate(_list(place, devices.get("results"))):
        if not isinstance(result, dict):
            raise ConfigError(f"{place}[{number}]: must be a mapping, not {shorten(result)}")
        for name in ("driver", "pool", "device"):
            _text(f"{place}[{number}]", result, name)
        for name, value in _mapping(f"{place}[{number}]", result, "consumedCapacity").items():
            try:
                Quantity(value)
            except LimitExceeded as error:
                raise ConfigError(f"{place}[{number}].consumedCapacity.{name}: {error}") from None


def _list(where: str, value: Any) -> Sequence[Any]:
    if value is not None and not isinstance(value, list):
        raise ConfigError(f"{where} must be a list, not {shorten(value)}")
    return value or ()


def _mapping(where: str, document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping in another; an absent one is empty."""
    value = document.get(name)
    if value is not None and not isinstance(value, dict):
        raise ConfigError(f"{_inside(where, name)} must be a mapping, not {shorten(value)}")
    return value or {}


def _text(where: str, document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{_inside(where, name)} must be a name, not {shorten(value)}")
    return value


def _inside(where: str, name: str) -> str:
    """A field of a document, or of a field in it."""
    return f"{where} {name}" if where.endswith(":") else f"{where}.{name}"
