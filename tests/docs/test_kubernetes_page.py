"""docs/kubernetes.md is made from the record of a run on real clusters, and says what was not run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def maker():
    specification = importlib.util.spec_from_file_location("kubernetes_page", ROOT / "docs" / "kubernetes.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_page_says_what_the_record_says(maker):
    stale = "docs/kubernetes.md is stale; run `make docs`"
    assert (ROOT / "docs" / "kubernetes.md").read_text() == maker.current(), stale


def test_what_has_no_outcome_was_not_run_and_a_failure_is_no_success(maker):
    outcomes = {"1.37": "passed", "1.36": "failed", "1.35": "skipped"}
    record = {"date": "2026-01-02", "releases": {"1.37": "1.37.2"}, "features": {"sharing": outcomes}}
    page = maker.page(record, ["sharing", "flying"], ["1.37", "1.36", "1.35", "1.34"])
    assert "of 2026-01-02" in page
    assert "| feature | 1.37.2 | 1.36 | 1.35 | 1.34 |" in page
    assert "| sharing | works | **fails** | not run | not run |" in page
    assert "| flying | not run | not run | not run | not run |" in page
