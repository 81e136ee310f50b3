"""docs/metrics.md is made from the catalogue of metrics, and its queries ask for what there is."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from drakit.vitals.families import Kind
from drakit.vitals.metrics import CATALOGUE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()


def test_the_page_says_what_the_catalogue_says():
    specification = importlib.util.spec_from_file_location("metrics_page", ROOT / "docs" / "metrics.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert module.page() == PAGE, "docs/metrics.md is stale; run `make docs`"


def test_every_query_of_the_page_asks_for_a_metric_and_labels_that_there_are():
    labels = {family.name: set(family.labels) for family in CATALOGUE.families}
    queries = "".join(re.findall(r"```promql\n(.*?)```", PAGE, re.DOTALL))
    asked = re.findall(r"(drakit_\w+)(?:\{(\w+)=)?", queries)
    assert len(asked) > 5
    assert [name for name, label in asked if name not in labels or (label and label not in labels[name])] == []


@pytest.mark.parametrize("family", CATALOGUE.families, ids=lambda family: family.name)
def test_names_follow_the_conventions_of_prometheus(family):
    assert re.fullmatch(r"drakit_[a-z][a-z_]*[a-z]", family.name)
    assert family.name.endswith("_total") is (family.kind is Kind.COUNTER)
    assert family.kind is not Kind.HISTOGRAM or family.name.endswith("_seconds")
    assert "_timestamp" not in family.name or family.name.endswith("_timestamp_seconds")
    assert family.help.endswith(".")


def test_no_name_is_given_twice_and_no_label_names_a_claim_or_a_pod():
    names = [family.name for family in CATALOGUE.families]
    assert len(names) == len(set(names))
    assert {label for family in CATALOGUE.families for label in family.labels} & {
        "claim", "claim_uid", "uid", "pod", "namespace", "container",
    } == set()  # fmt: skip
