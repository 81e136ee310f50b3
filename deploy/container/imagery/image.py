"""The image: how its containers run, what it says of itself, and how it is written."""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from imagery.base import USER
from imagery.layers import unpack_layer
from imagery.layout import Descriptor, Layout
from imagery.parts import LAYERS, Parts, Workshop
from imagery.platforms import Platform, native
from imagery.sbom import MEDIA_TYPE, bill
from imagery.wheels import COMMAND

NAME = "drakit"
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
}
ENTRY_POINT = f"/{COMMAND}"
STOP_SIGNAL = "SIGTERM"
_KEY = "org.opencontainers.image"


@frozen(kw_only=True)
class Description:
    """What is said of an image, and nothing in its layers depends on."""

    repository: str
    tag: str
    version: str
    revision: str = ""
    source: str = ""
    time: int | None = None
    """When it was made, as it says."""

    @property
    def labels(self) -> dict[str, str]:
        """Labels of containers, and annotations of the index."""
        labels = {
            f"{_KEY}.title": NAME,
            f"{_KEY}.description": "Node agent for Kubernetes DRA drivers, and its command line",
            f"{_KEY}.licenses": "Apache-2.0",
            f"{_KEY}.version": self.version,
            f"{_KEY}.revision": self.revision,
            f"{_KEY}.source": self.source,
        }
        return {name: value for name, value in labels.items() if value}

    @property
    def names(self) -> dict[str, str]:
        """By which engines know the image that they load."""
        host, slash, _ = self.repository.partition("/")
        named = slash and ("." in host or ":" in host or host == "localhost")
        repository = self.repository if named else f"docker.io/{'' if slash else 'library/'}{self.repository}"
        return {f"{_KEY}.ref.name": self.tag, "io.containerd.image.name": f"{repository}:{self.tag}"}

    @property
    def config(self) -> dict[str, Any]:
        """Of all architectures."""
        containers = {
            "User": f"{USER}:{USER}",
            "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
            "Entrypoint": [ENTRY_POINT],
            "WorkingDir": "/",
            "StopSignal": STOP_SIGNAL,
            "Labels": self.labels,
        }
        made = {"created_by": "deploy/container/build.py"}
        if self.time is None:
            return {"config": containers, "history": [made | {"comment": name} for name in LAYERS]}
        created = dt.datetime.fromtimestamp(self.time, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        history = [made | {"comment": name, "created": created} for name in LAYERS]
        return {"created": created, "config": containers, "history": history}


def version_of(checkout: Path) -> str:
    """The version of the core in a checkout."""
    project = tomllib.loads((checkout / "core/pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def write_image(
    workshop: Workshop, description: Description, platforms: Sequence[Platform], target: Path
) -> tuple[Descriptor, Sequence[Path]]:
    """Write a layout, and the bill of materials of each architecture beside it and into it as a referrer.

    Returns the descriptor of the index, and the bills. Raises BuildError.
    """
    layout = Layout()
    images, referrers, bills = [], [], []
    for platform in platforms:
        parts = workshop.parts(platform)
        image = layout.image(platform.name, description.config, parts.layers)
        path = target.with_name(f"{target.name.removesuffix('.tar')}-{platform.name}.cdx.json")
        text = _bill(description, image, platform, parts)
        referrers.append(layout.attach(image, MEDIA_TYPE, text, path.name))
        images.append(image)
        bills.append((path, text))
    loaded = next((image for image in images if image["platform"]["architecture"] == native().name), images[0])
    layout.name(loaded, description.repository, description.tag)
    index = layout.index(images, description.labels)
    layout.write(target, [index | {"annotations": description.names}, *referrers])
    for path, text in bills:
        path.write_bytes(text)
    return index, [path for path, _ in bills]


def write_trees(workshop: Workshop, description: Description, platform: Platform, target: Path) -> None:
    """Write the files of each layer into a directory of its own, and the bill of materials into another.

    Raises BuildError.
    """
    parts = workshop.parts(platform)
    for name, layer in zip(LAYERS, parts.layers, strict=True):
        unpack_layer(layer, target / name)
    image = Layout().image(platform.name, description.config, parts.layers)
    (target / "sbom").mkdir()
    (target / f"sbom/{NAME}-{platform.name}.cdx.json").write_bytes(_bill(description, image, platform, parts))


def _bill(description: Description, image: Descriptor, platform: Platform, parts: Parts) -> bytes:
    return bill(
        parts.packages,
        parts.wheels,
        name=NAME,
        version=description.version,
        digest=image["digest"],
        architecture=platform.name,
    )
