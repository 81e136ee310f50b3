"""The Grafana dashboard: deploy/observability/dashboard.json, and the same for the chart's ConfigMap."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import field, frozen

PATHS = ("../../observability/dashboard.json", "files/dashboard.json")
UID = "drakit"
WIDTH = 24
"""Of a row, in Grafana's columns."""
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_OF = 'driver=~"$driver"'
_RATE = "[$__rate_interval]"
_DEVICE = "driver, pool, device"
_WAITED = "drakit_claim_call_duration_seconds_bucket"
_HOOKS = "drakit_hook_duration_seconds_bucket"


@frozen
class Query:
    """One query, and what each of its series is called."""

    expression: str
    legend: str = ""


@frozen(kw_only=True)
class Panel:
    """One panel. `kind` is Grafana's: stat, timeseries, or table, which shows the labels of what there is now."""

    title: str
    about: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    bad_from: float | None = field(default=None)
    """From which value on it is red."""


@frozen
class Row:
    """Panels side by side, under a title, and how high they are."""

    title: str
    height: int
    panels: Sequence[Panel]


def _stat(title: str, about: str, expression: str, *, bad_from: float | None = None) -> Panel:
    return Panel(title=title, about=about, queries=[Query(expression)], kind="stat", bad_from=bad_from)


def _lines(title: str, about: str, *queries: Query, unit: str = "short") -> Panel:
    return Panel(title=title, about=about, queries=queries, unit=unit)


def _quantile(share: float, metric: str, by: str, matchers: str) -> str:
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({metric}{{{matchers}}}{_RATE})))"


ROWS = (
    Row(
        "Now",
        4,
        [
            _stat("Agents", "Agents that Prometheus reaches.", "count(drakit_build_info)"),
            _stat(
                "Drivers not ready", "By node; /readyz says why.", "count(drakit_ready == 0) or vector(0)", bad_from=1
            ),
            _stat(
                "Devices",
                "Published, or about to be.",
                f"sum(max by (driver, pool) (drakit_pool_devices{{{_OF}}}))",
            ),
            _stat(
                "Devices in use",
                "That a claim holds.",
                f"sum(max by ({_DEVICE}) (drakit_device_allocated{{{_OF}}}))",
            ),
            _stat(
                "Devices unhealthy",
                "Of drivers that report health.",
                f'sum(max by ({_DEVICE}) (drakit_device_health{{status="Unhealthy", {_OF}}}))',
                bad_from=1,
            ),
            _stat(
                "Claims quarantined",
                "Their records were damaged: delete their pods.",
                f'sum(drakit_claims{{phase="quarantined", {_OF}}})',
                bad_from=1,
            ),
        ],
    ),
    Row(
        "Claims",
        8,
        [
            _lines(
                "Calls by how they ended",
                "Calls of the kubelet for one claim. Refused is the claim's own fault, failed is anything else.",
                Query(f"sum by (call, result) (rate(drakit_claim_calls_total{{{_OF}}}{_RATE}))", "{{call}} {{result}}"),
                unit="ops",
            ),
            _lines(
                "How long a call takes",
                "From arrival to answer. The kubelet waits 45 s.",
                Query(_quantile(0.5, _WAITED, "call", _OF), "{{call}} p50"),
                Query(_quantile(0.99, _WAITED, "call", _OF), "{{call}} p99"),
                unit="s",
            ),
            _lines(
                "Claims in the journals",
                "By phase. Intents are preparations under way, or interrupted.",
                Query(f"sum by (phase) (drakit_claims{{{_OF}}})", "{{phase}}"),
            ),
        ],
    ),
    Row(
        "Devices",
        8,
        [
            _lines(
                "Share in use",
                "Of the devices of a driver, in all pools.",
                Query(
                    f"sum by (driver) (max by ({_DEVICE}) (drakit_device_allocated{{{_OF}}}))"
                    f" / sum by (driver) (max by (driver, pool) (drakit_pool_devices{{{_OF}}}))",
                    "{{driver}}",
                ),
                unit="percentunit",
            ),
            Panel(
                title="Faults that stand",
                about="`drakit device list` in the agent's pod says more; `device clear` is for what was repaired.",
                queries=[Query(f"max by ({_DEVICE}, fault) (drakit_device_fault{{{_OF}}}) == 1")],
                kind="table",
            ),
            _lines(
                "What devices count",
                "The README of the plugin says what each counter means.",
                Query(
                    f"sum by (driver, counter) (rate(drakit_device_counter_total{{{_OF}}}{_RATE}))",
                    "{{driver}} {{counter}}",
                ),
            ),
        ],
    ),
    Row(
        "Publishing",
        8,
        [
            _lines(
                "Nodes whose slices are not current",
                "By driver: what is to be published is not, as far as the last look tells.",
                Query(f"count by (driver) (drakit_slices_current{{{_OF}}} == 0)", "{{driver}}"),
            ),
            _lines(
                "Writes of slices",
                "At rest there are none.",
                Query(f"sum by (operation) (rate(drakit_slice_writes_total{{{_OF}}}{_RATE}))", "{{operation}}"),
                Query(f"sum(rate(drakit_publish_errors_total{{{_OF}}}{_RATE}))", "errors"),
                unit="ops",
            ),
            _lines(
                "Slices with dropped fields",
                "The API server did not keep a part of them: a feature gate is off.",
                Query(f"sum by (driver) (drakit_slices_with_dropped_fields{{{_OF}}})", "{{driver}}"),
            ),
        ],
    ),
    Row(
        "Plugins",
        8,
        [
            _lines(
                "How long hooks take",
                "The slowest of a hundred calls.",
                Query(_quantile(0.99, _HOOKS, "plugin, hook", _OF), "{{plugin}} {{hook}}"),
                unit="s",
            ),
            _lines(
                "Hooks that raised",
                "A plugin that raises costs its own driver, and no other.",
                Query(
                    'sum by (plugin, hook) (rate(drakit_hook_calls_total{result="raised"}[$__rate_interval]))',
                    "{{plugin}} {{hook}}",
                ),
                unit="ops",
            ),
            _lines(
                "Rounds over the hardware",
                "How long they take, and how many had a plugin fail.",
                Query(
                    f"sum(rate(drakit_survey_duration_seconds_sum{_RATE}))"
                    f" / sum(rate(drakit_survey_duration_seconds_count{_RATE}))",
                    "mean duration",
                ),
                Query(f"sum by (name) (rate(drakit_survey_failures_total{_RATE}))", "failures of {{name}}"),
            ),
        ],
    ),
    Row(
        "Agents",
        8,
        [
            _lines(
                "Requests to the API server",
                "By class of status; none means that there was no answer.",
                Query(f"sum by (code) (rate(drakit_api_requests_total{_RATE}))", "{{code}}"),
                unit="reqps",
            ),
            _lines(
                "API server away",
                "For how long it has answered nothing, at the agent that is worst off.",
                Query("max(drakit_api_outage_seconds)", "longest"),
                unit="s",
            ),
            _lines(
                "Memory",
                "Resident, of each agent.",
                Query(
                    "process_resident_memory_bytes and on (instance) drakit_build_info",
                    "{{instance}}",
                ),
                unit="bytes",
            ),
        ],
    ),
)


def files() -> dict[str, str]:
    """The dashboard, wherever it is needed."""
    text = json.dumps(dashboard(), indent=2) + "\n"
    return dict.fromkeys(PATHS, text)


def dashboard() -> dict[str, Any]:
    """The whole document."""
    return {
        "uid": UID,
        "title": "drakit",
        "description": "Agents of drakit: devices, claims, slices and plugins. Metrics: docs/metrics.md.",
        "tags": ["drakit", "kubernetes", "dra"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_datasource(), _driver()]},
        "panels": list(_panels()),
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}


def _driver() -> dict[str, Any]:
    query = "label_values(drakit_driver_registered, driver)"
    return {
        "name": "driver",
        "label": "Driver",
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "drivers"},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in ROWS:
        number += 1
        place = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        width = WIDTH // len(row.panels)
        for index, panel in enumerate(row.panels):
            number += 1
            place = {"h": row.height, "w": width, "x": index * width, "y": top + 1}
            yield {"id": number, "gridPos": place} | _panel(panel)
        top += 1 + row.height


def _panel(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad_from is not None:
        steps.append({"color": "red", "value": panel.bad_from})
    thresholds = {"mode": "absolute", "steps": steps}
    made: dict[str, Any] = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "thresholds": thresholds}, "overrides": []},
        "targets": [_target(panel, query, letter) for query, letter in zip(panel.queries, "ABCDEF", strict=False)],
    }
    if panel.kind == "stat":
        made["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}
    if panel.kind == "table":
        hidden = {"Time": True, "Value": True}
        made["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
    return made


def _target(panel: Panel, query: Query, letter: str) -> dict[str, Any]:
    made = {"refId": letter, "datasource": _SOURCE, "expr": query.expression, "legendFormat": query.legend}
    return made | ({"instant": True, "format": "table"} if panel.kind == "table" else {"range": True})
