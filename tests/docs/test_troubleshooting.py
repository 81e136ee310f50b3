"""The troubleshooting page quotes what the code says, and leaves no reason of an Event out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from drakit.kube.events import Reason

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "core" / "src" / "drakit", *sorted((ROOT / "plugins").glob("*/src"))]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
GAP = "…"
SHORTEST = 12
"""A piece of a message that is shorter than this proves nothing."""


def said(path):
    """Every text in a file of the code, with a gap for each value that is put in."""
    parts = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            values = [value.value if isinstance(value, ast.Constant) else GAP for value in node.values]
            parts.append("".join(map(str, values)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            parts.append(node.value.replace("%s", GAP))
    return parts


def quoted():
    """What stands in backticks in the first cell of a table that is about messages, or begins a paragraph."""
    tables = re.findall(r"^\| message \|.*\n\|[- |]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    cells = [row.split("|")[1] for table in tables for row in table.splitlines()]
    paragraphs = re.findall(r"^(`…[^`]+`)", PAGE, re.MULTILINE)
    return [message for text in (*cells, *paragraphs) for message in re.findall(r"`([^`]{20,})`", text)]


@pytest.fixture(scope="module")
def texts():
    paths = [path for source in SOURCES for path in source.rglob("*.py") if "testing" not in path.parts]
    return [text for path in paths for text in said(path)]


def test_the_page_quotes_messages():
    assert len(quoted()) > 30


@pytest.mark.parametrize("message", quoted())
def test_every_quoted_message_is_still_said(texts, message):
    pieces = [piece.strip() for piece in message.replace("%s", GAP).split(GAP)]
    telling = [piece for piece in pieces if len(piece) >= SHORTEST]
    assert telling, "quote more of it"
    assert [piece for piece in telling if not any(piece in text for text in texts)] == []


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_of_an_event_is_explained(reason):
    assert f"| `{reason}` |" in PAGE


def test_every_section_that_is_pointed_at_is_there():
    titles = re.findall(r"^## (.*)", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors
