"""Reading the files that describe a container's devices, as the container has them. What writes ours is `metadata`.

A file is read by the first of its objects whose version is known here, as every reader is to do it; what later
releases add to a version is passed over. Other drivers write such files too, so nothing is taken for granted of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from attrs import field, frozen

from drakit.context import path_below
from drakit.decoding import duplicate_key, json_documents
from drakit.documents import Document, attribute_from_api, attribute_to_api, network_from_api
from drakit.errors import describe, shorten
from drakit.metadata import CONTAINER_ROOT, KIND, VERSIONS
from drakit.model import AttributeValue, ClaimRef, DescribedDevice, DeviceRef, Finding, Severity
from drakit.model.converters import frozen_tuple
from drakit.model.device import check_attribute

_SUFFIX = "-metadata.json"
_FILES = (f"resourceclaims/*/*/*{_SUFFIX}", f"resourceclaimtemplates/*/*/*{_SUFFIX}")
_WORDS: Mapping[type, str] = {str: "a string", dict: "an object", list: "a list"}

T = TypeVar("T", str, Document, list[Any])


@frozen
class Descriptions:
    """What the files of one container say: its devices, how many files there are, and what is wrong with them."""

    devices: tuple[DescribedDevice, ...] = field(converter=frozen_tuple)
    files: int
    findings: tuple[Finding, ...] = field(default=(), converter=frozen_tuple)


class _UnknownVersion(Exception):
    """A file holds nothing but versions of the format that are not known here. The message names them."""


def read_descriptions(root: Path) -> Descriptions:
    """Read all files of the container with this file system; it may have none. One that is bad costs itself."""
    try:
        directory = path_below(root, CONTAINER_ROOT)
    except OSError as error:
        return Descriptions((), 0, [Finding(Severity.ERROR, CONTAINER_ROOT, f"cannot be read: {describe(error)}")])
    devices: list[DescribedDevice] = []
    findings: list[Finding] = []
    paths = sorted(path for pattern in _FILES for path in directory.glob(pattern))
    for path in paths:
        try:
            devices += _read(path)
        except _UnknownVersion as unknown:
            known = ", ".join(VERSIONS)
            found = f"{unknown}, and this drakit reads {known}: its devices are not looked at; update drakit here"
            findings.append(Finding(Severity.WARNING, str(path), found))
        except (OSError, ValueError, TypeError) as error:
            driver = path.name.removesuffix(_SUFFIX)
            found = (
                f"does not describe devices as it should: {_reason(error)}; its devices are not looked at; it is of "
                f"driver {driver}: delete the pod to have it written anew, and if it is no better then, tell whoever "
                "runs that driver"
            )
            findings.append(Finding(Severity.ERROR, str(path), found))
    return Descriptions(devices, len(paths), findings)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else describe(error)


def _read(path: Path) -> list[DescribedDevice]:
    """The devices in one file. Raises _UnknownVersion, and OSError, ValueError or TypeError for what is wrong."""
    versions: list[str] = []
    for document in json_documents(path.read_text(encoding="utf-8")):
        version = _get(document, "apiVersion", str)
        if version in VERSIONS:
            return list(_devices(document))
        versions.append(version)
    if versions:
        raise _UnknownVersion(f"holds {', '.join(map(shorten, versions))}")
    raise ValueError("it is empty")


def _devices(document: Document) -> Iterator[DescribedDevice]:
    if (twice := duplicate_key(document)) is not None:
        raise ValueError(f"the key {twice!r} is there twice")
    if document.get("kind") != KIND:
        raise ValueError(f"kind must be {KIND!r}, not {shorten(document.get('kind'))}")
    metadata = _get(document, "metadata", dict)
    claim = ClaimRef(_get(metadata, "uid", str), _get(metadata, "namespace", str), _get(metadata, "name", str))
    for request in _get(document, "requests", list):
        for device in _get(request, "devices", list, []):
            attributes = _get(device, "attributes", dict, {})
            yield DescribedDevice(
                device=DeviceRef(*(_get(device, key, str) for key in ("driver", "pool", "name"))),
                claim=claim,
                request=_get(request, "name", str),
                attributes=dict(_attributes(attributes)),
                network=network_from_api(_get(device, "networkData", dict, {})),
                pod_claim_name=_get(document, "podClaimName", str, ""),
            )


def _attributes(documents: Document) -> Iterator[tuple[str, AttributeValue]]:
    """The attributes that are of a kind known here."""
    for name in documents:
        document = {kind: value for kind, value in _get(documents, name, dict).items() if value is not None}
        try:
            value = attribute_from_api(document)
        except KeyError:
            continue
        check_attribute(name, value)
        if attribute_to_api(value) != document:
            raise ValueError(f"attribute {name!r} is not of the kind that it names: {shorten(document)}")
        yield name, value


def _get(document: Any, key: str, kind: type[T], default: T | None = None) -> T:
    """One part of an object; null is the same as absent. Raises ValueError."""
    if not isinstance(document, dict):
        raise ValueError(f"{shorten(document)} stands where an object must")  # noqa: TRY004 - it is of the file
    value = document.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, kind):
        raise ValueError(f"{key} must be {_WORDS[kind]}, not {shorten(value)}")  # noqa: TRY004 - as above
    return value
