"""The answer for people."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rich.padding import Padding
from rich.text import Text

from drakit.cli.output import console, counted, line, table
from drakit.cli.plan.documents import Answer, Told, verdict_of
from drakit.cli.plan.why import Why, named_nodes
from drakit.plan import KubeProfile, changed_gates
from drakit.plan.explain import Explanation, Tone, render
from drakit.plan.placing import ClaimOutcome, Fit, GroupUse, PlannedNode, PodOutcome

MAX_NODES_SHOWN = 12
"""Of so many nodes the groups are shown, those with the most stranded devices first."""

ORDER = "Pods are placed one after another, each on the first node listed that it fits on; scoring is not modelled."


def screens(answer: Answer) -> Iterator[Any]:
    """Everything, in order of interest."""
    yield line("Kubernetes:", _version(answer.profile))
    yield line("Nodes:", _nodes(answer.nodes))
    if answer.fit is not None:
        yield from _fit(answer.fit)
    else:
        yield line("Order:", ORDER)
        yield from _pods(answer.pods)
        yield from _reasons(answer.pods)
        yield from _groups(answer.groups)
        yield conclusion(answer.pods)
    for note in answer.notes:
        yield line("Note:", note)


def _version(profile: KubeProfile) -> str:
    bugs = "with its known bugs" if profile.bugs else "without known bugs"
    order = "" if profile.ordered else "; it tries pools in random order"
    gates = "".join(f", {name}={str(on).lower()}" for name, on in changed_gates(profile).items())
    return f"{profile.version}{gates}, {profile.allocator} allocator, {bugs}{order}"


def _nodes(nodes: Sequence[PlannedNode]) -> str:
    kinds = Counter(node.kind for node in nodes)
    if not nodes:
        return "none"
    if set(kinds) == {""}:
        return named_nodes(tuple(node.name for node in nodes))
    return ", ".join(f"{count} x {kind or 'of no known type'}" for kind, count in kinds.items())


def _pods(pods: Sequence[Told]) -> Iterator[Any]:
    rows = [row for told in pods if told.outcome.satisfied for row in _rows(told.outcome)]
    if rows:
        yield table(("POD", "CLAIM", "NODE", "DEVICES"), rows)
    several = sum(told.outcome.one_of_several for told in pods)
    if several:
        yield line("One of several:", f"{counted(several, 'pod')} might as well be given other devices by this version")
    assumed = dict.fromkeys(label for told in pods for label in told.outcome.assumed)
    if assumed:
        yield line("Assumed:", f"nodes have the labels that pods want: {'; '.join(assumed)}")


def _rows(outcome: PodOutcome) -> Iterator[tuple[str, str, str, str]]:
    assert outcome.node is not None
    node = outcome.node.name
    if not outcome.claims:
        yield outcome.pod.name, "-", node, "-"
    for index, claim in enumerate(outcome.claims):
        shown = ("", "") if index else (outcome.pod.name, node)
        yield shown[0], claim.use.name, shown[1], _devices(claim, node)


def _devices(claim: ClaimOutcome, node: str) -> str:
    if claim.allocation is None:
        results = ((claim.held or {}).get("devices") or {}).get("results") or ()
        found = [(one["driver"], one["pool"], one["device"]) for one in results]
    else:
        found = [(one.device.driver, one.device.pool, one.device.name) for one in claim.allocation.results]
    lines = []
    for (driver, pool), entries in itertools.groupby(found, key=lambda one: one[:2]):
        names = ranges([name for _, _, name in entries])
        lines.append(f"{driver}{'' if pool == node else f' ({pool})'}: {names}")
    before = " (allocated before)" if claim.allocation is None else ""
    return "\n".join(lines) + before if lines else f"no devices{before}"


_NUMBERED = re.compile(r"(.*?)(\d+)")


def ranges(names: Sequence[str]) -> str:
    """Names in short: `gpu-0 to gpu-3` for four in a row."""
    runs: list[list[str]] = []
    for name in names:
        before = _NUMBERED.fullmatch(runs[-1][-1]) if runs else None
        now = _NUMBERED.fullmatch(name)
        if before and now and before[1] == now[1] and now[2] == str(int(before[2]) + 1):
            runs[-1].append(name)
        else:
            runs.append([name])
    if len(runs) == len(names) > FEW and (folded := _folded(names)):
        return folded
    shown = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs]
    return ", ".join(shown)


FEW = 3
"""More names than these are folded where they begin and end alike."""


def _folded(names: Sequence[str]) -> str:
    """Names that begin and end alike: `pci-0000-{4f, 50}-00-0`; empty where they do not."""
    parts = [name.split("-") for name in names]
    begin = _alike(parts)
    end = min(_alike([part[::-1] for part in parts]), min(map(len, parts)) - begin - 1)
    if begin < 1:
        return ""
    own = ["-".join(part[begin : len(part) - end]) for part in parts]
    after = "".join(f"-{one}" for one in parts[0][len(parts[0]) - end :]) if end > 0 else ""
    return f"{'-'.join(parts[0][:begin])}-{{{', '.join(own)}}}{after}"


def _alike(parts: Sequence[Sequence[str]]) -> int:
    """How many of the first parts all have in common, less than all of any."""
    least = min(map(len, parts)) - 1
    return next((at for at in range(least) if len({part[at] for part in parts}) > 1), least)


def _reasons(pods: Sequence[Told]) -> Iterator[Any]:
    """Why pods are not placed: those of one template with the same reasons together."""
    together: dict[tuple[object, ...], list[Told]] = {}
    for told in pods:
        outcome = told.outcome
        if told.explanation is not None or not outcome.satisfied:
            same = (outcome.pod.owner or outcome.pod.name, verdict_of(outcome), *(why.text for why in told.reasons))
            key = (*same, outcome.pod.name) if outcome.satisfied else same
            together.setdefault(key, []).append(told)
    for alike in together.values():
        yield Text.assemble((_heading(alike), "bold"))
        explanation = next((told.explanation for told in alike if told.explanation is not None), None)
        for why in alike[0].reasons:
            if explanation is None or not (why.explained or _says(explanation, why)):
                where = f"{why.where}: " if why.nodes else ""
                yield Padding(Text(f"{where}{why.text}"), (0, 0, 0, 2))
        if explanation is not None:
            width = console().width if console().is_terminal else WIDTH
            for row in render(explanation, width - 2):
                yield Padding(Text(f"{row}", style=_TONES[row.tone]), (0, 0, 0, 2))
        for remedy in next((told.remedies for told in alike if told.remedies), ()):
            yield Padding(Text(f"it would fit on {remedy.node} with this, tried:", style="bold"), (0, 0, 0, 2))
            for change in remedy.changes:
                yield Padding(Text(f"- {change}", style="green"), (0, 0, 0, 4))


def _says(explanation: Explanation, why: Why) -> bool:
    """Whether the explanation has the error that is the reason."""
    errors = (explanation.error, *(node.error for node in explanation.nodes))
    return any(error and error in " ".join(why.text.split()) for error in errors)


_TONES = {Tone.HEADING: "bold", Tone.BAD: "red", Tone.GOOD: "green", Tone.PLAIN: ""}

WIDTH = 80
"""How wide explanations are where there is no screen."""

_VERDICTS = {
    "placed": "placed",
    "unsatisfied": "not placed",
    "undecided": "undecided: the planner cannot tell",
    "error": "not placed: the scheduler gives it up for an error, whatever other nodes have",
}


def _heading(alike: Sequence[Told]) -> str:
    first = alike[0].outcome
    names = ranges([told.outcome.pod.name for told in alike])
    count = f" ({len(alike)} pods)" if len(alike) > 1 else ""
    of = f"{first.pod.owner}: " if first.pod.owner and not first.pod.bare else ""
    return f"{of}{names}{count}: {_VERDICTS[verdict_of(first)]}"


def _groups(groups: Sequence[GroupUse]) -> Iterator[Any]:
    """The groups of nodes where something is taken, and a word on the others."""
    by_node: dict[str, list[GroupUse]] = {}
    for use in groups:
        by_node.setdefault(use.node, []).append(use)
    touched = {node: own for node, own in by_node.items() if not all(use.quiet for use in own)}
    worst = sorted(touched, key=lambda node: -max(len(use.stranded) for use in touched[node]))
    for node in [node for node in touched if node in worst[:MAX_NODES_SHOWN]]:
        yield line("Device groups:", f"what is left on {node}")
        yield table(("SIZE", "DRIVER", "FREE", "STRANDED", "IN THE WAY"), _group_rows(touched[node]))
    if len(touched) > MAX_NODES_SHOWN:
        yield line("Device groups:", f"{counted(len(touched) - MAX_NODES_SHOWN, 'more node')} in -o json")
    if by_node and len(by_node) > len(touched):
        yield line("Device groups:", f"all free on {counted(len(by_node) - len(touched), 'node')}")


def _group_rows(uses: Sequence[GroupUse]) -> Iterator[tuple[object, ...]]:
    """The groups by size; of a driver of which nothing is taken, all in one row."""
    touched = {use.driver for use in uses if not use.quiet}
    for use in uses:
        if use.driver in touched:
            holders = [name.removeprefix("pod ").removeprefix("default/") for name in use.blocked_by]
            more = f" and {len(holders) - 4} more" if len(holders) > 4 else ""
            yield use.size, use.driver, f"{use.free} of {use.groups}", len(use.stranded), ", ".join(holders[:4]) + more
    for driver in dict.fromkeys(use.driver for use in uses if use.driver not in touched):
        yield "any", driver, "all", 0, ""


def conclusion(pods: Sequence[Told]) -> Text:
    """How many pods are placed."""
    numbers = Counter(verdict_of(told.outcome) for told in pods)
    missing = len(pods) - numbers["placed"]
    if not missing:
        return line("Fits:", f"{counted(len(pods), 'pod')} placed")
    undecided = f", {numbers['undecided']} of them undecided" if numbers["undecided"] else ""
    return line("Does not fit:", f"{numbers['placed']} of {counted(len(pods), 'pod')} placed, {missing} not{undecided}")


def _fit(fit: Fit) -> Iterator[Any]:
    yield line("Copies of:", f"{fit.pod.owner or 'Pod ' + fit.pod.name}")
    rows = [
        (one.kind or named_nodes(one.nodes), len(one.nodes), one.copies, one.copies * len(one.nodes))
        for one in fit.nodes
    ]
    yield table(("NODE TYPE", "NODES", "PER NODE", "TOGETHER"), rows)
    for one in fit.nodes:
        why = "as many as the node takes pods" if one.refusal is None else one.refusal.reason
        yield Text.assemble((f"{one.kind or named_nodes(one.nodes)}, after {one.copies}:", "bold"), f" {why}")
    more = "" if fit.complete else ", and perhaps more: not all were tried"
    yield line("Fits:" if fit.total else "Does not fit:", f"{fit.total} in all{more}")
