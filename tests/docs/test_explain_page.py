"""docs/explain.md is what the planner says of the claims beside it, every one of which cannot be met."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from drakit.decoding import read_yaml
from drakit.plan.explain import applied, explain

ROOT = Path(__file__).parents[2]


def module():
    specification = importlib.util.spec_from_file_location("explain_page", ROOT / "docs" / "explain.py")
    loaded = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(loaded)
    return loaded


EXPLAIN = module()
PAGE = (ROOT / "docs" / "explain.md").read_text()


def test_the_page_says_what_the_planner_says():
    assert EXPLAIN.page() == PAGE, "docs/explain.md is stale; run `make docs`"


@pytest.mark.parametrize("example", EXPLAIN.ALL, ids=lambda example: example.name)
def test_every_claim_of_the_page_fails_and_every_change_it_tells_mends_it(example):
    question = EXPLAIN.question(example)
    found = explain(question)
    assert not found.satisfied
    assert found.complete
    assert found.changes
    for change in found.changes:
        again = explain(applied(question, change.edits))
        assert again.fits == change.nodes


def test_every_file_of_the_examples_is_on_the_page():
    names = {path.stem for path in EXPLAIN.EXAMPLES.glob("*.yaml")}
    assert names == {example.name for example in EXPLAIN.ALL}
    used = {example.slices for example in EXPLAIN.ALL if example.slices}
    assert used == {path.stem for path in (EXPLAIN.EXAMPLES / "nodes").glob("*.yaml")}
    assert all(len(read_yaml(path)) == 1 for path in EXPLAIN.EXAMPLES.glob("*.yaml"))
