"""Which feature was seen to work on which release: the record that docs/kubernetes.md is made of."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

ABSENT, PASSED, FAILED, SKIPPED = "absent", "passed", "failed", "skipped"
_WORST = (ABSENT, PASSED, SKIPPED, FAILED)


class Matrix:
    """The outcomes of one run: the worst of a cell counts. `skipped` is what could not be run, and is no success."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[str, str]] = defaultdict(dict)
        self._releases: dict[str, str] = {}

    def add(self, feature: str, release: str, outcome: str) -> None:
        """Take the outcome of one test of a feature, on a release such as 1.37.2."""
        minor = release.rpartition(".")[0]
        self._releases[minor] = release
        before = self._cells[feature].get(minor, ABSENT)
        self._cells[feature][minor] = max(before, outcome, key=_WORST.index)

    def write(self, path: Path, date: str) -> None:
        """Replace the record by that of this run."""
        record = {"date": date, "releases": self._releases, "features": self._cells}
        path.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
