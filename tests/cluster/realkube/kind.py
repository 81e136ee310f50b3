"""The real kind, built from its published Go module: it makes no cluster here, but says what it would make."""

from __future__ import annotations

from pathlib import Path

from realkube.golang import program

_MODULES = Path(__file__).parents[1] / "harness" / "kind"
_PACKAGE = "sigs.k8s.io/kind"


def kind() -> Path:
    """The kind that ../harness/kind names. Raises Lacking."""
    return program("kind", _MODULES, _PACKAGE, _PACKAGE).path
