"""docs/security.md is made from docs/security.yaml, and every test it names is there."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
REASONS = yaml.safe_load((ROOT / "docs" / "security.yaml").read_text())


def test_the_page_says_what_the_reasons_are():
    specification = importlib.util.spec_from_file_location("security_page", ROOT / "docs" / "security.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert module.page() == module.PAGE.read_text(), "docs/security.md is stale; run `make docs`"


@pytest.mark.parametrize("test", sorted({test for rows in REASONS.values() for row in rows for test in row["tests"]}))
def test_a_test_that_is_named_is_there(test):
    path, _, name = test.partition("::")
    functions = [node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)]
    assert name in functions


@pytest.mark.parametrize("row", [row for rows in REASONS.values() for row in rows], ids=str)
def test_everything_has_a_reason_a_consequence_and_a_test(row):
    assert row["why"]
    assert row["without"]
    assert row["tests"]
