"""Makes docs/kubernetes.md from the record of a dated run of `make test-cluster`: tests/cluster/matrix.json."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "kubernetes.md"
RECORD = ROOT / "tests" / "cluster" / "matrix.json"
WORDS = {"passed": "works", "absent": "not in this release", "failed": "**fails**", "skipped": "not run"}
NOT_RUN = "not run"


def page(record: dict[str, Any], features: list[str], minors: list[str]) -> str:
    """The whole page. `features` are those that the tests know, `minors` the releases; what has no cell was not run."""
    rows = "".join(f"| {feature} | {' | '.join(_cells(record, feature, minors))} |\n" for feature in features)
    titles = [f"{record['releases'].get(minor, minor)}" for minor in minors]
    return f"""\
# Kubernetes releases

What was seen to work, on real API servers, schedulers, kubelets and containerd of each release, in the run of
`make test-cluster` of {record["date"]}. Features that a release has off by default were turned on. This page is made
from that run's record (`make docs`); a cell that was not run says so.

| feature | {" | ".join(titles)} |
| --- |{" --- |" * len(minors)}
{rows}"""


def features(tests: Path) -> list[str]:
    """The features that the tests on real clusters are marked with, in the order of the files."""
    return list(dict.fromkeys(name for path in sorted(tests.rglob("test_*.py")) for name in _marked(path)))


def minors(harness: Path) -> list[str]:
    """The minor releases that there are modules for, the newest first."""
    found = [path.parent.name for path in harness.glob("[0-9]*/go.mod")]
    return sorted(found, key=lambda minor: [int(part) for part in minor.split(".")], reverse=True)


def current() -> str:
    """The page as the record and the tests have it now."""
    tests = ROOT / "tests" / "cluster"
    return page(json.loads(RECORD.read_text(encoding="utf-8")), features(tests), minors(tests / "harness"))


def _cells(record: dict[str, Any], feature: str, minors: list[str]) -> Iterator[str]:
    outcomes = record["features"].get(feature, {})
    for minor in minors:
        yield WORDS[outcomes[minor]] if minor in outcomes else NOT_RUN


def _marked(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.feature":
            yield ast.literal_eval(node.args[0])


if __name__ == "__main__":
    PAGE.write_text(current(), encoding="utf-8")
