"""What docs/troubleshooting.md quotes of Kubernetes and of containerd, their programs still say."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

import pytest
from realkube.debian import Debian
from realkube.kubernetes import Kubernetes

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text()
GAP = "…"
SHORTEST = 12
"""A piece of a message that is shorter than this proves nothing."""


def quoted() -> list[str]:
    """The pieces of what stands in backticks in the first cell of a table of events."""
    tables = re.findall(r"^\| event \|.*\n\|[- |]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    cells = [row.split("|")[1] for table in tables for row in table.splitlines()]
    messages = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]
    return [
        piece.strip(" :") for message in messages for piece in message.split(GAP) if len(piece.strip(" :")) >= SHORTEST
    ]


@pytest.mark.parametrize("piece", quoted())
def test_every_quoted_event_is_still_said(components: tuple[Kubernetes, Debian], piece: str):
    kubernetes, debian = components
    assert any(says(path, piece) for path in (kubernetes.binary, debian.root / "usr/bin/containerd"))


def says(program: Path, text: str) -> bool:
    """Whether a text stands in a program's file."""
    with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text.encode()) >= 0


def test_events_are_quoted():
    assert len(quoted()) > 15
