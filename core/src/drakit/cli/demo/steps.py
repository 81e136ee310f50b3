"""What each step of the demo has to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from drakit.documents import Document
from drakit.model import DeviceHandle
from drakit.testing.kubelet import Registration
from drakit.testing.nodes import NodeLayout
from drakit.testing.runtime import MergedEdits


@frozen
class LaidOut:
    """The faked node is written."""

    layout: NodeLayout


@frozen
class Started:
    """API server, kubelet and agent run, and every driver is registered."""

    url: str
    settings: Path
    registrations: Sequence[Registration]
    classes: Sequence[str]


@frozen
class Published:
    """The slices, as the API server gives them back."""

    slices: Mapping[str, Sequence[Document]]
    attributes: Sequence[str]
    """Those that the claims are about."""


@frozen
class Submitted:
    """The manifest is in the API server, and the pods have their claims."""

    path: Path
    text: str
    claims: Sequence[Document]


@frozen
class Agreement:
    """What the devices of some requests have alike."""

    attribute: str
    value: str
    requests: Sequence[str]
    devices: int


@frozen
class Allocated:
    """The claims of one pod, as the scheduler has written them."""

    claims: Sequence[Document]
    agreements: Sequence[Agreement]


@frozen
class Prepared:
    """What the drivers answered for one claim, and what its CDI files come to."""

    claim: Document
    handles: Mapping[str, Sequence[DeviceHandle]]
    directory: Path
    """The demo's own, with all files in it."""
    files: Sequence[Path]
    edits: MergedEdits


@frozen
class Released:
    """The claims are undone, and nothing is left."""

    claims: Sequence[Document]
    drivers: Sequence[str]


Step = LaidOut | Started | Published | Submitted | Allocated | Prepared | Released
