"""Writes what the chart needs of Python and Helm cannot compute: `python deploy/helm/generate.py`, or `make chart`."""

from __future__ import annotations

from pathlib import Path

from generated import admission, alerts, catalog, dashboard, plugins, schema

CHART = Path(__file__).parent / "drakit"
PARTS = (admission, alerts, catalog, dashboard, plugins, schema)
"""Each module has `files()`: the text of each file it makes, by its path in the chart."""


def contents() -> dict[Path, str]:
    """Every file that is made, with what it is to hold."""
    return {CHART / name: text for part in PARTS for name, text in part.files().items()}


if __name__ == "__main__":
    for path, text in contents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
