"""The bill of materials: what is in an image, with versions and hashes, as CycloneDX JSON."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from imagery.debian import SUITE, Package
from imagery.wheels import Wheel

MEDIA_TYPE = "application/vnd.cyclonedx+json"
_NAMESPACE = uuid.UUID("3a2f1c1e-7a0b-5d9a-9d0e-0f6a4a1f6e21")


def bill(
    packages: Iterable[Package], wheels: Iterable[Wheel], *, name: str, version: str, digest: str, architecture: str
) -> bytes:
    """The bill of the image with that digest. The same contents give the same bytes."""
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": digest,
                "name": name,
                "version": version,
                "purl": f"pkg:oci/{name}@{quote(digest, safe='')}?arch={architecture}&tag={quote(version, safe='')}",
                "hashes": _hashes(digest.removeprefix("sha256:")),
            }
        },
        "components": [*map(_package, packages), *map(_wheel, wheels)],
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def _package(package: Package) -> dict[str, Any]:
    version = quote(package.version, safe="")
    purl = f"pkg:deb/debian/{quote(package.name, safe='')}@{version}?arch={package.architecture}&distro={SUITE}"
    return _component(purl, package.name, package.version, package.sha256)


def _wheel(wheel: Wheel) -> dict[str, Any]:
    purl = f"pkg:pypi/{wheel.name.lower().replace('_', '-')}@{quote(wheel.version, safe='')}"
    component = _component(
        f"{purl}?file_name={quote(wheel.path.name, safe='')}", wheel.name, wheel.version, wheel.sha256
    )
    return component | ({"licenses": [{"expression": wheel.licence}]} if wheel.licence else {})


def _component(purl: str, name: str, version: str, sha256: str) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "hashes": _hashes(sha256),
        "purl": purl,
    }


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]
