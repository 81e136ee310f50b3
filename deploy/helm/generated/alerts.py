"""files/alerts.yaml: what is in deploy/observability/alerts.yaml, for the chart, which reads no file beside it."""

from __future__ import annotations

from pathlib import Path

PATH = "files/alerts.yaml"
SOURCE = Path(__file__).parents[2] / "observability" / "alerts.yaml"


def files() -> dict[str, str]:
    """The same text."""
    return {PATH: SOURCE.read_text(encoding="utf-8")}
