"""Alerts and dashboard ask for metrics that there are, and each alert has a case where it fires and one where not."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from drakit.vitals.families import Kind
from drakit.vitals.metrics import CATALOGUE

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / "deploy" / "observability"
RULES = [rule for group in yaml.safe_load((DIRECTORY / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
CASES = [
    case
    for test in yaml.safe_load((DIRECTORY / "alerts_test.yaml").read_text())["tests"]
    for case in test["alert_rule_test"]
]
DASHBOARD = json.loads((DIRECTORY / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
PARTS = {Kind.HISTOGRAM: ("_bucket", "_sum", "_count"), Kind.COUNTER: ("",), Kind.GAUGE: ("",)}
SERIES = {
    f"{family.name}{part}": {*family.labels, *(["le"] if part == "_bucket" else [])}
    for family in CATALOGUE.families
    for part in PARTS[family.kind]
}
"""Every series there is, with its labels."""
OF_THE_TARGET = {"instance", "job"}
UNITS = {"short", "s", "ops", "reqps", "bytes", "percentunit"}


def queries() -> Iterator[Any]:
    for rule in RULES:
        yield pytest.param(rule["expr"], id=rule["alert"])
    for panel in PANELS:
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")


def words(expression: str) -> list[str]:
    return re.findall(r"\b(?:drakit|process)_\w+", expression)


@pytest.mark.parametrize("expression", list(queries()))
def test_every_query_asks_for_series_that_there_are(expression):
    asked = [name for name in words(expression) if name.startswith("drakit_")]
    assert [name for name in asked if name not in SERIES] == []
    assert asked or words(expression) or expression.startswith("up{")


@pytest.mark.parametrize("expression", list(queries()))
def test_every_query_goes_by_labels_that_its_series_have(expression):
    for name, matchers in re.findall(r"\b(drakit_\w+)\{([^}]*)\}", expression):
        assert {label.strip() for label in re.findall(r"(\w+)\s*=", matchers)} <= SERIES[name]
    known = set().union(*(SERIES.get(name, set()) for name in words(expression))) | OF_THE_TARGET
    for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        assert {label.strip() for label in labels.split(",")} <= known


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_case_where_it_fires_and_one_where_it_keeps_quiet(rule):
    firing = {bool(case["exp_alerts"]) for case in CASES if case["alertname"] == rule["alert"]}
    assert firing == {True, False}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_how_bad_it_is_and_what_to_do(rule):
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert f"| `{rule['alert']}` |" in (ROOT / "docs" / "operations.md").read_text()


def test_no_alert_is_there_twice():
    assert [name for name, count in Counter(rule["alert"] for rule in RULES).items() if count > 1] == []


def test_panels_have_numbers_of_their_own_and_lie_side_by_side():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_has_a_unit_a_description_and_the_chosen_data_source(panel):
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["description"].endswith(".")
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert {json.dumps(source) for source in sources} == {'{"type": "prometheus", "uid": "${datasource}"}'}
    letters = [target["refId"] for target in panel["targets"]]
    assert letters == sorted(set(letters))


def test_variables_that_are_used_are_there():
    there = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD["panels"]))) - {"__rate_interval"}
    assert used == there


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_legend_names_labels_that_the_query_leaves(panel):
    for target in panel["targets"]:
        for label in re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")):
            assert re.search(rf"\bby \([^)]*\b{label}\b", target["expr"]) or label in OF_THE_TARGET
