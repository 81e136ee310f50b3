"""Manifests: YAML files with a pod and the claims it wants, checked before anything is done with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from drakit.decoding import load_yaml
from drakit.documents import API_VERSION, Document
from drakit.errors import ConfigError, DRAError, shorten
from drakit.model.converters import frozen_tuple
from drakit.plan.claims import DeviceClass, claim_from_template, read_claim

KINDS = {
    "DeviceClass": API_VERSION,
    "ResourceClaimTemplate": API_VERSION,
    "ResourceClaim": API_VERSION,
    "Pod": "v1",
}


@frozen
class Item:
    """One document of a manifest; `place` is for messages."""

    place: str
    document: Document

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.document["metadata"]["name"])


@frozen
class Manifest:
    """A manifest that has been read: its documents by kind, each in the order of the file."""

    text: str
    items: Sequence[Item] = field(converter=frozen_tuple)

    def of(self, kind: str) -> list[Item]:
        """The documents of one kind."""
        return [item for item in self.items if item.document["kind"] == kind]


def read_manifest(path: Path) -> Manifest:
    """Read a file with at least one Pod that has resourceClaims, and what that takes.

    Raises ConfigError with file, document and place: for what is not YAML, for kinds and fields that are not known,
    and for a pod that refers to a claim or template that is not in the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    documents = load_yaml(text, str(path))
    manifest = Manifest(text, [_item(f"{path}: document {n}", document) for n, document in enumerate(documents, 1)])
    if not any(pod_claims(item.document) for item in manifest.of("Pod")):
        raise ConfigError(f"{path}: has no Pod with resourceClaims; there is nothing to allocate")
    for pod in manifest.of("Pod"):
        _check_references(pod, manifest)
    return manifest


def pod_claims(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The `resourceClaims` of a pod."""
    return (pod.get("spec") or {}).get("resourceClaims") or []


def _item(place: str, document: Any) -> Item:
    if not isinstance(document, dict):
        raise ConfigError(f"{place}: must be a mapping with apiVersion and kind, not {shorten(document)}")
    kind, version = document.get("kind"), document.get("apiVersion")
    if kind not in KINDS:
        raise ConfigError(f"{place}: kind {kind!r} is not known here; known are {', '.join(KINDS)}")
    if version != KINDS[kind]:
        raise ConfigError(f"{place} ({kind}): apiVersion must be {KINDS[kind]!r}, not {version!r}")
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not name or not isinstance(name, str):
        raise ConfigError(f"{place} ({kind}): metadata.name is missing")
    place = f"{place} ({kind} {name!r})"
    if kind == "Pod":
        _check_pod(place, document)
    else:
        _check_planned(place, document)
    return Item(place, document)


def _check_planned(place: str, document: Document) -> None:
    """Let the planner read it: it refuses what it does not know."""
    readers: dict[str, Callable[[Document], object]] = {
        "DeviceClass": DeviceClass.from_document,
        "ResourceClaimTemplate": lambda template: read_claim(claim_from_template(template, "of-template", "", "")),
        "ResourceClaim": read_claim,
    }
    try:
        readers[document["kind"]](document)
    except DRAError as error:
        raise ConfigError(f"{place}: {error}") from None


def _check_pod(place: str, pod: Document) -> None:
    spec = pod.get("spec")
    if not isinstance(spec, dict):
        raise ConfigError(f"{place}: spec must be a mapping")
    entries = spec.get("resourceClaims") or []
    if not isinstance(entries, list):
        raise ConfigError(f"{place}: spec.resourceClaims must be a list")
    for index, entry in enumerate(entries):
        where = f"{place}: spec.resourceClaims[{index}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ConfigError(f"{where}: must be a mapping with a name")
        if bool(entry.get("resourceClaimName")) == bool(entry.get("resourceClaimTemplateName")):
            raise ConfigError(f"{where}: must have either resourceClaimName or resourceClaimTemplateName")


def _check_references(pod: Item, manifest: Manifest) -> None:
    for index, entry in enumerate(pod_claims(pod.document)):
        for key, kind in (
            ("resourceClaimName", "ResourceClaim"),
            ("resourceClaimTemplateName", "ResourceClaimTemplate"),
        ):
            if (wanted := entry.get(key)) and wanted not in [item.name for item in manifest.of(kind)]:
                known = ", ".join(item.name for item in manifest.of(kind)) or "none"
                raise ConfigError(
                    f"{pod.place}: spec.resourceClaims[{index}].{key}: there is no {kind} {wanted!r} in the file "
                    f"(there are: {known})"
                )
