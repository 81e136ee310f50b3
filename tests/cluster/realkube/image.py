"""The container images of the tests: one layer with busybox, made by hand as an OCI layout."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

BUSYBOX = "localhost/busybox:test"
PAUSE = "localhost/pause:test"
APPLETS = (
    "cat",
    "cp",
    "echo",
    "env",
    "find",
    "grep",
    "head",
    "hostname",
    "ls",
    "mknod",
    "sh",
    "sleep",
    "sort",
    "test",
    "true",
)
_WAIT = ["sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done"]
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_images(
    busybox: Path,
    target: Path,
    names: Iterable[str] = (BUSYBOX, PAUSE),
    files: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Write an archive that `ctr images import` takes, with images of these names, which have busybox and files."""
    layer = _layer(busybox.read_bytes(), files)
    blobs: dict[str, bytes] = {}
    manifests = [_image(name, layer, blobs) for name in names]
    with tarfile.open(target, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(archive, "index.json", _json({"schemaVersion": 2, "manifests": manifests}))
        for digest, data in blobs.items():
            _add(archive, f"blobs/sha256/{digest}", data)


def _layer(busybox: bytes, files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        _add(archive, "bin/busybox", busybox, 0o755)
        for name in APPLETS:
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
        _add(archive, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        for name, data in files.items():
            _add(archive, name, data)
    return written.getvalue()


def _image(name: str, layer: bytes, blobs: dict[str, bytes]) -> dict[str, Any]:
    """Add an image to the blobs; returns its entry in the index. The name makes each image one of its own."""
    system = {"os": "linux", "architecture": _ARCHITECTURES[platform.machine()]}
    config = {
        **system,
        "config": {"Env": ["PATH=/bin"], "Cmd": _WAIT, "Labels": {"name": name}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": _blob(blobs, f"{kind}.config.v1+json", _json(config)),
        "layers": [_blob(blobs, f"{kind}.layer.v1.tar+gzip", gzip.compress(layer, mtime=0))],
    }
    entry = _blob(blobs, f"{kind}.manifest.v1+json", _json(manifest))
    return entry | {"platform": system, "annotations": {"io.containerd.image.name": name}}


def _blob(blobs: dict[str, bytes], media_type: str, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    blobs[digest] = data
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _add(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))
