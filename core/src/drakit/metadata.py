"""Device metadata: files in containers that describe the devices they were given (KEP-5304).

One file for each claim, request and driver, below the driver's own directory and mounted read-only where containers
look for it. What is in it was journalled when the claim was prepared, so that every repeat gives the same; the files
themselves are atomic, not durable: they are rebuilt from the journal whenever they are missing.

A file is a stream of JSON objects that say the same in every version of the format, for readers take the first they
know. Source: `metadata.resource.k8s.io` of Kubernetes 1.36 (v1alpha1) and 1.37 (v1beta1).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from drakit.cdi import check_uid
from drakit.documents import ANNOTATION_POD_CLAIM_NAME, Document, attribute_to_api, network_to_api
from drakit.entries import Entry
from drakit.errors import ClaimError, LimitExceeded
from drakit.model import AllocatedDevice, ClaimAllocation, Device, DeviceRef, Mount, PreparedDevice
from drakit.model.names import check_label

DIRECTORY = "metadata"
"""The name of the directory below that of the driver."""
CONTAINER_ROOT = "/var/run/kubernetes.io/dra-device-attributes"
KIND = "DeviceMetadata"
VERSIONS = ("metadata.resource.k8s.io/v1beta1", "metadata.resource.k8s.io/v1alpha1")


class MetadataDirectory:
    """The metadata files of one driver. Used by the thread that works on its claims."""

    def __init__(
        self, root: Path, driver: str, *, enabled: bool, published: Callable[[], Mapping[DeviceRef, Device] | None]
    ) -> None:
        """Touches nothing yet. `enabled`: whether claims that are prepared from now on get files.

        `published` gives the driver's devices as its slices have them. `root` is the same path on the host.
        """
        self._root = root
        self._driver = driver
        self._enabled = enabled
        self._published = published

    def described(self, allocation: ClaimAllocation, entry: Entry) -> Entry:
        """The entry of a claim that is being prepared, with what is told of its devices and the mounts of the files.

        It is the same entry where none are wanted. Raises ClaimError where the claim's annotation could not stand in a
        path.
        """
        if not self._enabled:
            return entry
        if allocation.pod_claim_name:
            _check_pod_claim_name(allocation)
        published = self._published() or {}
        documents: dict[str, Document] = {}
        for device, given in zip(allocation.devices, entry.prepared, strict=True):
            request = device.base_request
            if request not in documents:
                documents[request] = _document(allocation, device)
            attributes = published[device.device].attributes if device.device in published else {}
            documents[request]["requests"][0]["devices"].append(_described(given, attributes))
        return self._mounted(evolve(entry, metadata=documents))

    def renewed(self, entry: Entry, prepared: Sequence[PreparedDevice]) -> Entry:
        """The entry of a claim that was prepared anew: files of a new generation where networks are other ones now."""
        metadata = {
            request: _with_networks(document, _of_request(request, prepared))
            for request, document in entry.metadata.items()
        }
        return self._mounted(evolve(entry, prepared=prepared, metadata=metadata))

    def unmounted(self, prepared: Sequence[PreparedDevice]) -> Sequence[PreparedDevice]:
        """What the backend made of the devices of an entry: without the mounts of files from here."""
        below = f"{self._root}/"
        return [
            _with_mounts(device, [mount for mount in device.edits.mounts if not mount.host_path.startswith(below)])
            for device in prepared
        ]

    def ensure(self, entry: Entry) -> None:
        """Make the claim's files be there, with what the journal has. Raises ClaimError."""
        for request, document in entry.metadata.items():
            path = self._path(entry.claim.uid, request)
            content = b"".join(json.dumps({"apiVersion": v, **document}).encode() + b"\n" for v in VERSIONS)
            try:
                if _content(path) != content:
                    _write(path, content)
            except OSError as error:
                raise ClaimError(
                    f"the file that describes the devices of claim {entry.claim} cannot be written to {path}: "
                    f"{error.strerror}; free space there, or set deviceMetadata: false for driver {self._driver}"
                ) from error

    def remove(self, uid: str, entry: Entry | None) -> None:
        """Remove a claim's files; they need not be there. Raises OSError."""
        if self._enabled or (entry is not None and entry.metadata):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self._directory(uid))

    def remove_strays(self, known: Container[str]) -> None:
        """Remove the files of every claim that is not known by its uid, as a crash leaves them. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            strays = [entry for entry in os.scandir(self._root) if entry.name not in known]
            for entry in strays:
                if entry.is_dir(follow_symlinks=False):  # all else is not from here
                    shutil.rmtree(entry.path)

    def _mounted(self, entry: Entry) -> Entry:
        """Give the first device of each request the mount of its file.

        It is journalled: an earlier drakit, which knows of no metadata, then gives the device the same CDI id.
        """
        devices = list(entry.prepared)
        requests = [_base(device) for device in devices]
        for request, document in entry.metadata.items():
            first = requests.index(request)
            mount = Mount(str(self._path(entry.claim.uid, request)), self._container_path(request, document))
            devices[first] = _with_mounts(devices[first], (*devices[first].edits.mounts, mount))
        return evolve(entry, prepared=devices)

    def _directory(self, uid: str) -> Path:
        check_uid(uid)
        return self._root / uid

    def _path(self, uid: str, request: str) -> Path:
        return self._directory(uid) / f"{request}.json"

    def _container_path(self, request: str, document: Mapping[str, Any]) -> str:
        name = document.get("podClaimName")
        claim = f"resourceclaimtemplates/{name}" if name else f"resourceclaims/{document['metadata']['name']}"
        return f"{CONTAINER_ROOT}/{claim}/{request}/{self._driver}-metadata.json"


def _check_pod_claim_name(allocation: ClaimAllocation) -> None:
    try:
        check_label(ANNOTATION_POD_CLAIM_NAME, allocation.pod_claim_name)
    except LimitExceeded as error:
        raise ClaimError(f"claim {allocation.claim}: annotation {error}; remove it, or delete the claim") from None


def _document(allocation: ClaimAllocation, device: AllocatedDevice) -> Document:
    """The file of one request, without devices yet. In it the request has its full name."""
    claim = allocation.claim
    document: Document = {
        "kind": KIND,
        "metadata": {"name": claim.name, "namespace": claim.namespace, "uid": claim.uid, "generation": 1},
    }
    if allocation.pod_claim_name:
        document["podClaimName"] = allocation.pod_claim_name
    document["requests"] = [{"name": device.request, "devices": []}]
    return document


def _described(prepared: PreparedDevice, attributes: Mapping[str, Any]) -> Document:
    ref = prepared.device
    document: Document = {"driver": ref.driver, "pool": ref.pool, "name": ref.name}
    if attributes:
        document["attributes"] = {name: attribute_to_api(value) for name, value in attributes.items()}
    return document | _network(prepared)


def _network(prepared: PreparedDevice) -> Document:
    data = network_to_api(prepared.status.network) if prepared.status else {}
    return {"networkData": data} if data else {}


def _with_networks(document: Document, prepared: Sequence[PreparedDevice]) -> Document:
    (request,) = document["requests"]
    devices = [
        {key: value for key, value in device.items() if key != "networkData"} | _network(given)
        for device, given in zip(request["devices"], prepared, strict=True)
    ]
    if devices == request["devices"]:
        return document
    metadata = document["metadata"] | {"generation": document["metadata"]["generation"] + 1}
    return document | {"metadata": metadata, "requests": [request | {"devices": devices}]}


def _of_request(request: str, prepared: Sequence[PreparedDevice]) -> list[PreparedDevice]:
    return [device for device in prepared if _base(device) == request]


def _with_mounts(device: PreparedDevice, mounts: Sequence[Mount]) -> PreparedDevice:
    return evolve(device, edits=evolve(device.edits, mounts=tuple(mounts)))


def _base(device: PreparedDevice) -> str:
    return device.request.partition("/")[0]


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644), "wb") as file:
            file.write(content)
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # on a full disk, it would keep others from their room
        raise
