"""Prometheus' own promtool on alerts and the dashboard's queries; the real helm on what the chart has of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from realkube.errors import Lacking
from realkube.helm import Helm
from realkube.promtool import Promtool, promtool

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

DIRECTORY = Path(__file__).parents[3] / "deploy" / "observability"


@pytest.fixture(scope="module", name="promtool")
def give_promtool() -> Promtool:
    """The program; where it cannot be had, the test is skipped, with the reason."""
    try:
        return promtool()
    except Lacking as reason:
        pytest.skip(f"no promtool: {reason}")


def test_prometheus_takes_the_alerts(promtool: Promtool):
    code, said = promtool.run("check", "rules", DIRECTORY / "alerts.yaml")
    assert code == 0, said


def test_each_alert_fires_when_it_is_to_and_keeps_quiet_else(promtool: Promtool):
    code, said = promtool.run("test", "rules", DIRECTORY / "alerts_test.yaml")
    assert code == 0, said


def test_the_cases_fail_where_an_alert_is_another(promtool: Promtool, tmp_path: Path):
    (tmp_path / "alerts_test.yaml").write_text((DIRECTORY / "alerts_test.yaml").read_text())
    broken = (DIRECTORY / "alerts.yaml").read_text().replace("drakit_ready == 0", "drakit_ready == 1")
    (tmp_path / "alerts.yaml").write_text(broken)
    assert promtool.run("test", "rules", tmp_path / "alerts_test.yaml")[0] != 0


def test_prometheus_can_parse_every_query_of_the_dashboard(promtool: Promtool, tmp_path: Path):
    panels = json.loads((DIRECTORY / "dashboard.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    plain = [re.sub(r"\$driver", ".*", query.replace("$__rate_interval", "5m")) for query in queries]
    rules = [{"record": f"query:{index}", "expr": query} for index, query in enumerate(plain)]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    code, said = promtool.run("check", "rules", path)
    assert code == 0, said
    assert f"{len(queries)} rules found" in said


def test_the_chart_has_neither_unless_it_is_asked_for(helm: Helm):
    made = {(one["kind"], one["metadata"]["name"]) for one in helm.template()}
    assert not made & {("PrometheusRule", "drakit"), ("ConfigMap", "drakit-dashboard")}


def test_the_chart_has_the_same_alerts_and_the_same_dashboard(helm: Helm):
    values = {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}, "dashboard": {"enabled": True}}
    made = {one["kind"]: one for one in helm.template(values) if one["metadata"]["name"].startswith("drakit")}
    rules, dashboard = made["PrometheusRule"], _named(helm, values, "drakit-dashboard")
    assert rules["spec"] == yaml.safe_load((DIRECTORY / "alerts.yaml").read_text())
    assert rules["metadata"]["labels"]["release"] == "prometheus"
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["drakit.json"]) == json.loads((DIRECTORY / "dashboard.json").read_text())


def _named(helm: Helm, values: dict[str, object], name: str) -> dict[str, dict[str, dict[str, str]]]:
    (found,) = [one for one in helm.template(values) if one["metadata"]["name"] == name]
    return found
