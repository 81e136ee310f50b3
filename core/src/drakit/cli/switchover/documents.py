"""The report as data. Fields are added, never renamed or removed; docs/migration.md names them."""

from __future__ import annotations

from typing import Any

import attrs

from drakit.cli.switchover import commands
from drakit.cli.switchover.nodes import NodeState, Served
from drakit.cli.switchover.report import WITHOUT, Report
from drakit.cli.switchover.workloads import Workload


def to_document(report: Report) -> dict[str, Any]:
    """All of it."""
    return {
        "cluster": {
            "server": report.server,
            "version": report.release,
            "served": None if report.served is None else list(report.served),
            "extendedResources": report.extended_resources,
        },
        "nothingToDo": report.is_good,
        "unread": [{"what": what, "why": why, "without": WITHOUT.get(what, "")} for what, why in report.unread.items()],
        "problems": list(report.problems),
        "features": [attrs.asdict(one) for one in report.features],
        "deviceClasses": [
            {"name": one.name, "state": one.state, "extendedResource": one.extended_resource, "remark": one.remark}
            for one in report.classes
        ],
        "facts": [attrs.asdict(one) for one in report.facts],
        "present": [
            {"what": one.what, "kind": one.kind, "name": one.name, "keepAway": one.keep_away} for one in report.present
        ],
        "nodes": [_node(one) for one in report.nodes],
        "workloads": [_workload(one) for one in report.workloads],
    }


def _node(node: NodeState) -> dict[str, Any]:
    return {
        "name": node.name,
        "instanceType": node.instance_type,
        "kubelet": node.kubelet,
        "verdict": str(node.verdict),
        "reasons": list(node.reasons),
        "served": [_served(one) for one in node.served],
        "elsewhere": list(node.elsewhere),
        "commands": list(commands.of_node(node)),
    }


def _served(one: Served) -> dict[str, Any]:
    return {
        "driver": one.driver,
        "by": one.by,
        "ours": one.ours,
        "devices": one.devices,
        "devicePlugins": dict(one.plugins),
        "podsOfDevicePlugins": list(one.plugged),
        "claims": list(one.claims),
        "pods": list(one.pods),
        "verdict": str(one.verdict),
        "reason": one.reason,
    }


def _workload(one: Workload) -> dict[str, Any]:
    found: dict[str, Any] = {
        "namespace": one.owner.namespace,
        "kind": one.owner.kind,
        "name": one.owner.name,
        "pods": one.pods,
        "nodes": list(one.nodes),
        "change": str(one.change),
        "why": one.why,
        "asks": dict(one.asks),
        "drivers": list(one.drivers),
    }
    if one.becomes is not None:
        found["becomes"] = {
            "devices": dict(one.becomes.devices),
            "templates": {node_type: list(names) for node_type, names in one.becomes.templates.items()},
            "claimTemplate": one.becomes.claim,
            "unchangedByExtendedResources": list(one.becomes.unchanged),
            "notes": list(one.becomes.notes),
        }
    return found
