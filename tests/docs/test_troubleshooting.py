"""The troubleshooting page quotes what the code says, and leaves no reason of an Event out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from drakit.errors import ClaimError, InventoryError, JournalError, PublishError
from drakit.kube.claims import ClaimGone, ClaimUnreadable
from drakit.kube.events import Reason
from drakit.kube.writer import PoolContested

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "core" / "src" / "drakit", *sorted((ROOT / "plugins").glob("*/src"))]
TEMPLATES = ROOT / "deploy" / "helm" / "drakit" / "templates"
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
GAP = "…"
SHORTEST = 12
"""A piece of a message that is shorter than this proves nothing."""


def descendants(kind):
    """All classes below one."""
    return {below for child in kind.__subclasses__() for below in (child, *descendants(child))}


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


ROOTS = (ClaimError, ClaimGone, ClaimUnreadable, JournalError, PublishError, PoolContested, InventoryError)
REFUSALS = {one.__name__ for kind in ROOTS for one in (kind, *descendants(kind))} - {"LimitExceeded"}
"""What is told to users: a claim cannot be prepared, a driver not be served, devices not be published."""


def refusals():
    """What each refusal in the code says, with where; those that only pass on what something else says are left out."""
    for path in (path for source in SOURCES for path in source.rglob("*.py") if "testing" not in path.parts):
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            name = getattr(called, "id", getattr(called, "attr", ""))
            if name in REFUSALS and node.args:
                text = wording(node.args[0])
                if telling(text):
                    yield pytest.param(text, id=f"{path.stem}-{node.lineno}")


def wording(node):
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    values = node.values if isinstance(node, ast.JoinedStr) else ()
    return "".join(str(value.value) if isinstance(value, ast.Constant) else GAP for value in values)


def telling(message):
    """The pieces of a message that are long enough to tell it from others."""
    pieces = (piece.strip() for piece in message.replace("%s", GAP).split(GAP))
    return [piece for piece in pieces if len(piece) >= SHORTEST]


def quoted():
    """What stands in backticks in the first cell of a table that is about messages, or begins a paragraph."""
    tables = re.findall(r"^\| message \|.*\n\|[- |]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    cells = [row.split("|")[1] for table in tables for row in table.splitlines()]
    paragraphs = re.findall(r"^(`…[^`]+`)", PAGE, re.MULTILINE)
    return [message for text in (*cells, *paragraphs) for message in re.findall(r"`([^`]{20,})`", text)]


@pytest.fixture(scope="module")
def texts():
    paths = [path for source in SOURCES for path in source.rglob("*.py") if "testing" not in path.parts]
    policies = (path.read_text() for path in TEMPLATES.glob("*.yaml"))
    return [text for path in paths for text in said(path)] + list(policies)


def test_the_page_quotes_messages():
    assert len(quoted()) > 30


@pytest.mark.parametrize("message", quoted())
def test_every_quoted_message_is_still_said(texts, message):
    assert telling(message), "quote more of it"
    assert [piece for piece in telling(message) if not any(piece in text for text in texts)] == []


@pytest.mark.parametrize("text", list(refusals()))
def test_every_refusal_is_explained(text):
    pieces = [telling(message) for message in quoted()]
    assert any(own and all(piece in text for piece in own) for own in pieces), f"no entry for: {text}"


def test_refusals_are_found():
    assert len(list(refusals())) > 60


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_of_an_event_is_explained(reason):
    assert f"| `{reason}` |" in PAGE


def test_every_section_that_is_pointed_at_is_there():
    titles = re.findall(r"^## (.*)", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors
