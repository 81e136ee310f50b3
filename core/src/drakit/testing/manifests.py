"""Manifests: YAML files with a pod and the claims it wants, checked before anything is done with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from drakit.decoding import load_yaml
from drakit.documents import API_VERSION, Document
from drakit.errors import ConfigError, DRAError, LimitExceeded, shorten
from drakit.model.converters import frozen_tuple
from drakit.model.names import check_label
from drakit.plan.cel import CelError, compile_selector
from drakit.plan.claims import DeviceClass, claim_from_template, claim_name, read_claim

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

    @property
    def namespace(self) -> str:
        """The object's namespace, as the API server would have it."""
        return str(self.document["metadata"].get("namespace") or "default")


@frozen
class Manifest:
    """A manifest that has been read: its documents by kind, each in the order of the file."""

    text: str
    items: Sequence[Item] = field(converter=frozen_tuple)

    def of(self, kind: str) -> list[Item]:
        """The documents of one kind."""
        return [item for item in self.items if item.document["kind"] == kind]

    @property
    def classes(self) -> frozenset[str]:
        """The DeviceClasses that its claims ask for, but for those that it brings itself."""
        claims = [item.document for item in self.of("ResourceClaim")]
        claims += [claim_from_template(item.document, item.name, "", "") for item in self.of("ResourceClaimTemplate")]
        requests = [request for claim in claims for request in read_claim(claim).requests]
        asked = {wanted.device_class_name for request in requests for _, wanted in request.alternatives}
        return frozenset(asked - {item.name for item in self.of("DeviceClass")})


def read_manifest(path: Path) -> Manifest:
    """Read a file with at least one Pod that has resourceClaims, and what that takes.

    Raises ConfigError with file, document and place: for what is not YAML, for kinds and fields that are not known,
    and for a pod that refers to a claim or template that is not in the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text in UTF-8") from None
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
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(f"{place}: kind {shorten(kind)} is not known here; known are {', '.join(KINDS)}")
    if version != KINDS[kind]:
        raise ConfigError(f"{place} ({kind}): apiVersion must be {KINDS[kind]!r}, not {version!r}")
    name = _check_metadata(f"{place} ({kind}): metadata", document.get("metadata"))
    place = f"{place} ({kind} {name!r})"
    if kind == "Pod":
        _check_pod(place, document)
    else:
        _check_planned(place, document)
    return Item(place, document)


def _check_metadata(where: str, metadata: Any) -> str:
    """Check what is used of an object's metadata; returns the name."""
    if not isinstance(metadata, dict) or not metadata.get("name"):
        raise ConfigError(f"{where}.name is missing")
    for key in ("name", "namespace"):
        if not isinstance(metadata.get(key, ""), str):
            raise ConfigError(f"{where}.{key} must be a string, not {shorten(metadata[key])}")
    _check_notes(where, metadata)
    return str(metadata["name"])


def _check_notes(where: str, metadata: Any) -> None:
    if not isinstance(metadata, dict):
        raise ConfigError(f"{where} must be a mapping, not {shorten(metadata)}")
    for key in ("labels", "annotations"):
        notes = metadata.get(key) or {}
        if not isinstance(notes, dict) or not all(isinstance(text, str) for text in (*notes, *notes.values())):
            raise ConfigError(f"{where}.{key} must be a mapping of strings to strings")


def _check_planned(place: str, document: Document) -> None:
    """Let the planner read it: it refuses what it does not know. Paths in its messages are made those of the file."""
    kind, name, inside = document["kind"], document["metadata"]["name"], ""
    try:
        if kind == "ResourceClaimTemplate":
            if isinstance(spec := document.get("spec"), dict):
                _check_notes("spec.metadata", spec.get("metadata") or {})
            document, inside = claim_from_template(document, name, "", ""), "spec."
        for path, expression in _selectors(document):
            _check_expression(f"{inside}{path}", expression)
    except DRAError as error:
        said = str(error).removeprefix(f"{kind} {name!r}: ").replace(f"claim {claim_name(document)}: ", inside)
        raise ConfigError(f"{place}: {said}") from None


def _selectors(document: Document) -> Iterator[tuple[str, str]]:
    """Every CEL expression of a class or a claim, with its path. Raises InvalidDocument for what is not one."""
    if document["kind"] == "DeviceClass":
        for index, expression in enumerate(DeviceClass.from_document(document).selectors):
            yield f"spec.selectors[{index}]", expression
        return
    for number, request in enumerate(read_claim(document).requests):
        for place, (_, wanted) in enumerate(request.alternatives):
            path = f"spec.devices.requests[{number}].{'exactly' if request.exactly else f'firstAvailable[{place}]'}"
            for index, selector in enumerate(wanted.selectors):
                yield f"{path}.selectors[{index}]", selector.cel.expression


def _check_expression(path: str, expression: str) -> None:
    try:
        compile_selector(expression)
    except CelError as error:
        raise ConfigError(f"{path}.cel.expression: {shorten(expression)} does not compile: {error}") from None


def _check_pod(place: str, pod: Document) -> None:
    spec, status = pod.get("spec"), pod.get("status") or {}
    if not isinstance(spec, dict):
        raise ConfigError(f"{place}: spec must be a mapping, not {shorten(spec)}")
    if not isinstance(status, dict):
        raise ConfigError(f"{place}: status must be a mapping, not {shorten(status)}")
    entries = spec.get("resourceClaims") or []
    if not isinstance(entries, list):
        raise ConfigError(f"{place}: spec.resourceClaims must be a list")
    for index, entry in enumerate(entries):
        where = f"{place}: spec.resourceClaims[{index}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ConfigError(f"{where}: must be a mapping with a name")
        try:
            check_label(f"{where}.name", entry["name"])
        except LimitExceeded as error:
            raise ConfigError(str(error)) from None
        if bool(entry.get("resourceClaimName")) == bool(entry.get("resourceClaimTemplateName")):
            raise ConfigError(f"{where}: must have either resourceClaimName or resourceClaimTemplateName")


def _check_references(pod: Item, manifest: Manifest) -> None:
    kinds = {"resourceClaimName": "ResourceClaim", "resourceClaimTemplateName": "ResourceClaimTemplate"}
    for index, entry in enumerate(pod_claims(pod.document)):
        for key, kind in kinds.items():
            there = [item.name for item in manifest.of(kind) if item.namespace == pod.namespace]
            if (wanted := entry.get(key)) and wanted not in there:
                raise ConfigError(
                    f"{pod.place}: spec.resourceClaims[{index}].{key}: there is no {kind} {wanted!r} of namespace "
                    f"{pod.namespace!r} in the file (there are: {', '.join(there) or 'none'})"
                )
