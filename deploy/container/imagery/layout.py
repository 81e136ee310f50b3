"""An OCI image layout: a directory, or an archive of one, which engines load and registries are sent from."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imagery.layers import EPOCH, Layer

_KIND = "application/vnd.oci.image"
MANIFEST = f"{_KIND}.manifest.v1+json"
INDEX = f"{_KIND}.index.v1+json"
_CONFIG = f"{_KIND}.config.v1+json"
_LAYER = f"{_KIND}.layer.v1.tar+gzip"
_EMPTY = "application/vnd.oci.empty.v1+json"
Descriptor = dict[str, Any]


class Layout:
    """Blobs by digest, and the index that names them. Written at the end, as a whole."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes | Path] = {}
        self._docker: list[dict[str, Any]] = []

    def image(self, architecture: str, config: Mapping[str, Any], layers: Sequence[Layer]) -> Descriptor:
        """Add the image of one architecture. `config` is the configuration of its containers."""
        system = {"architecture": architecture, "os": "linux"}
        described = {
            **system,
            **config,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff for layer in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._add(_CONFIG, _json(described)),
            "layers": [self._add_file(layer) for layer in layers],
        }
        return self._add(MANIFEST, _json(manifest)) | {"platform": system}

    def index(self, images: Sequence[Descriptor], annotations: Mapping[str, str]) -> Descriptor:
        """Add the index of the images of all architectures."""
        index = {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": list(images),
            "annotations": dict(annotations),
        }
        return self._add(INDEX, _json(index))

    def attach(self, subject: Descriptor, media_type: str, data: bytes, title: str) -> Descriptor:
        """Add a document about an image, which registries list as its referrer."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": media_type,
            "config": self._add(_EMPTY, b"{}"),
            "layers": [self._add(media_type, data) | {"annotations": {"org.opencontainers.image.title": title}}],
            "subject": {key: subject[key] for key in ("mediaType", "digest", "size")},
        }
        return self._add(MANIFEST, _json(manifest)) | {"artifactType": media_type}

    def name(self, image: Descriptor, repository: str, tag: str) -> None:
        """Have older Docker engines load that image too, which do not know layouts."""
        manifest = self.read(image)
        self._docker.append(
            {
                "Config": _path(manifest["config"]),
                "RepoTags": [f"{repository}:{tag}"],
                "Layers": [_path(layer) for layer in manifest["layers"]],
            }
        )

    def read(self, descriptor: Descriptor) -> Any:
        """A document that was added."""
        blob = self._blobs[descriptor["digest"]]
        assert isinstance(blob, bytes)
        return json.loads(blob)

    def write(self, target: Path, manifests: Sequence[Descriptor]) -> None:
        """Write an archive if the name of the target ends in .tar, else a directory. What was there is replaced."""
        documents = {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}),
            "manifest.json": _json(self._docker),
        }
        blobs = {f"blobs/{digest.replace(':', '/')}": blob for digest, blob in sorted(self._blobs.items())}
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        if target.suffix == ".tar":
            _write_archive(partial, documents | blobs)
        else:
            _write_directory(partial, documents | blobs)
            shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)

    def _add(self, media_type: str, data: bytes) -> Descriptor:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def _add_file(self, layer: Layer) -> Descriptor:
        self._blobs[layer.digest] = layer.path
        return {"mediaType": _LAYER, "digest": layer.digest, "size": layer.size}


def _write_archive(target: Path, files: Mapping[str, bytes | Path]) -> None:
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.mtime = EPOCH
            if isinstance(content, bytes):
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            else:
                entry.size = content.stat().st_size
                with content.open("rb") as file:
                    archive.addfile(entry, file)


def _write_directory(target: Path, files: Mapping[str, bytes | Path]) -> None:
    for name, content in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            shutil.copyfile(content, path)


def _path(descriptor: Descriptor) -> str:
    return f"blobs/{descriptor['digest'].replace(':', '/')}"


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
