"""The report for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from drakit.cli.output import counted, line, pairs, table
from drakit.cli.switchover import commands
from drakit.cli.switchover.classes import MISSING
from drakit.cli.switchover.nodes import NodeState, Served, Verdict
from drakit.cli.switchover.report import WITHOUT, Report, why_it_cannot
from drakit.cli.switchover.workloads import Becomes, Workload

MOST_NAMES = 4


def screens(report: Report) -> Iterator[Any]:
    """Everything, with what it comes to at the end."""
    served = "not known" if report.served is None else ", ".join(report.served) or "not served"
    yield line("Cluster:", f"{report.server}, Kubernetes {report.release or 'of a version that is not known'}")
    yield line("resource.k8s.io:", served)
    yield table(("FEATURE", "", "FOR"), [(one.gate, one.state, one.meaning) for one in report.features])
    if report.unread:
        rows = [(what, why, WITHOUT.get(what, "it is left out here")) for what, why in report.unread.items()]
        yield table(("NOT READ", "WHY", "WITHOUT IT"), rows)
    if report.classes:
        yield table(
            ("DEVICECLASS", "", ""),
            [(one.name, one.state, _class_remark(one.state, one.remark)) for one in report.classes],
        )
    if report.facts:
        yield table(("PERMISSIONS, ADMISSION, QUOTAS", "FOUND"), [(one.what, one.found) for one in report.facts])
    if report.present:
        yield table(("RUNS HERE", "", ""), [(one.what, one.kind, one.name) for one in report.present])
    yield from _workloads(report)
    yield from _nodes(report)
    yield from _todo(report)
    yield from _end(report)


def _class_remark(state: str, remark: str) -> str:
    return "is made by the chart, or by `drakit classes | kubectl apply -f -`" if state == MISSING else remark


def _nodes(report: Report) -> Iterator[Any]:
    concerned = [node for node in report.nodes if node.served]
    rows = [
        (
            _names([node.name for node in alike]),
            first.instance_type or "-",
            _holds(first),
            first.verdict,
            "\n".join(first.reasons),
        )
        for first, alike in _alike(concerned)
    ]
    if rows:
        yield table(("NODE", "TYPE", "HAS", "VERDICT", "WHY"), rows)
    if others := len(report.nodes) - len(concerned):
        yield line("Other nodes:", f"{others}, without hardware of drakit's plugins")


def _alike(nodes: Sequence[NodeState]) -> list[tuple[NodeState, list[NodeState]]]:
    """Nodes by what is said of them."""
    groups: dict[tuple[object, ...], list[NodeState]] = {}
    for node in nodes:
        groups.setdefault((node.verdict, node.instance_type, _holds(node), node.reasons), []).append(node)
    order = list(Verdict)
    return sorted(((alike[0], alike) for alike in groups.values()), key=lambda pair: order.index(pair[0].verdict))


def _holds(node: NodeState) -> str:
    return "\n".join([*map(_served, node.served), *node.elsewhere])


def _served(one: Served) -> str:
    parts = []
    if one.by:
        parts.append(f"{counted(one.devices, 'device')} by {one.by}")
    if one.plugins:
        parts.append(f"{pairs(one.plugins)} by a device plugin")
    if one.claims:
        parts.append(counted(len(one.claims), "claim"))
    if users := len(one.pods) + len(one.plugged):
        parts.append(counted(users, "pod"))
    return f"{one.driver}: {', '.join(parts)}"


def _workloads(report: Report) -> Iterator[Any]:
    rows = [
        (
            str(one.owner),
            one.pods,
            pairs(one.asks).replace(", ", "\n") or f"claims for {', '.join(one.drivers)}",
            one.change,
            _becomes(report, one),
        )
        for one in report.workloads
    ]
    if rows:
        yield table(("WORKLOAD", "PODS", "ASKS", "CHANGE", "TO"), rows)


def _becomes(report: Report, workload: Workload) -> str:
    becomes = workload.becomes
    if becomes is None:
        return workload.why
    parts = [*_templates(becomes)]
    if becomes.devices:
        parts.append("or a claim for " if parts else "a claim for ")
        parts[-1] += ", ".join(f"{count} x {name}" for name, count in becomes.devices.items())
    if becomes.unchanged and len(becomes.unchanged) == len(workload.asks) and report.extended_resources is not False:
        names = ", ".join(becomes.unchanged)
        there = all(name in report.by_resource for name in becomes.unchanged)
        how = "a DeviceClass serves it already" if there else f"where a DeviceClass has extendedResourceName {names}"
        parts.append(f"or stay as it is, {how}")
    return "\n".join([*parts, *becomes.notes])


def _templates(becomes: Becomes) -> Iterator[str]:
    for node_type, names in becomes.templates.items():
        if names:
            yield f"template {' or '.join(names)} on {node_type}"


def _todo(report: Report) -> Iterator[Any]:
    """The commands, in order."""
    if why_it_cannot(report):
        return
    once = [one.keep_away for one in report.present if one.keep_away]
    if once:
        yield line("Once:", "let others leave the nodes that drakit is to serve, as docs/migration.md says")
        yield from map(_command, once)
    for verdict in Verdict:
        names = [node for node in report.nodes if node.served and node.verdict is verdict]
        if names and (given := list(commands.of_node(names[0]))):
            more = f"; likewise {_names([node.name for node in names[1:]])}" if len(names) > 1 else ""
            yield line(f"{verdict.capitalize()}:", names[0].name + more)
            yield from map(_command, given)


def _command(text: str) -> Text:
    """A command as it is typed: never wrapped, so that it can be copied."""
    return Text(f"  $ {text}", no_wrap=True)


def _end(report: Report) -> Iterator[Any]:
    if cannot := why_it_cannot(report):
        yield line("Not possible:", cannot)
    for problem in report.problems:
        yield line("Plugin:", problem)
    counts = ", ".join(f"{counted(count, 'node')} {verdict}" for verdict, count in report.counts.items())
    yield line("In all:", counts or "no node has hardware of drakit's plugins, as far as could be read")


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
