"""What would let a pod onto nodes that it is not for. Each was tried: with it the node has devices for the pod too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from drakit.plan.errors import PlanError
from drakit.plan.placing.nodes import UNSCHEDULABLE, NodeTaint, PlannedNode, eligibility, holds, untolerated
from drakit.plan.placing.placing import Placing, PodOutcome

MOST = 4
"""So many remedies are told of a pod."""

MAX_NODES = 64
"""So many nodes are tried of those that are left out for one reason."""

CONDITIONS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
"""Taints with these keys say what is wrong with a node: that is to be mended, not tolerated."""

Spec = Mapping[str, Any]


@frozen
class Remedy:
    """With all of these changes, `node` takes the pod."""

    node: str
    changes: tuple[str, ...]


def remedies(outcome: PodOutcome, placing: Placing) -> tuple[Remedy, ...]:
    """The changes under which a pod that is not placed would be, of each reason for which nodes are left out."""
    if outcome.satisfied or outcome.error is not None or outcome.pod.lacking:
        return ()
    nodes = {node.name: node for node in placing.cluster.nodes}
    found: dict[tuple[str, ...], Remedy] = {}
    for refusal in outcome.refusals:
        if refusal.verdict is None and len(found) < MOST:
            remedy = _first(outcome, placing, [nodes[name] for name in refusal.nodes[:MAX_NODES]])
            if remedy is not None:
                found.setdefault(remedy.changes, remedy)
    return tuple(found.values())


def _first(outcome: PodOutcome, placing: Placing, nodes: Sequence[PlannedNode]) -> Remedy | None:
    """The remedy for the first of these nodes that has devices for the pod."""
    changes = {node.name: made for node in nodes if (made := _changes(outcome.pod.spec, node))}
    able = [node for node in nodes if node.name in changes]
    if outcome.pending and able:
        try:
            verdicts = placing.cluster.survey([use.document for use in outcome.pending], able, placing.holdings)
        except PlanError:
            return None
        fitting = {view.name for verdict in verdicts if verdict.fits for view in verdict.nodes}
        able = [node for node in able if node.name in fitting]
    return Remedy(able[0].name, changes[able[0].name]) if able else None


def _changes(spec: Spec, node: PlannedNode) -> tuple[str, ...]:
    """What is to be changed for the node to take the pod, devices aside; nothing where no change to the pod helps."""
    texts = []
    for text, changed, other in _steps(spec, node):
        texts.append(text)
        spec, node = changed, other
    return tuple(texts) if not eligibility(spec, node).refusal else ()


def _steps(spec: Spec, node: PlannedNode) -> Iterator[tuple[str, Spec, PlannedNode]]:
    """One change after another, with what is then said by the pod and by the node."""
    if (wanted := spec.get("nodeName")) and wanted != node.name:
        spec = {**spec, "nodeName": node.name}
        yield f"nodeName: {node.name} instead of {wanted}", spec, node
    while (taint := untolerated(spec.get("tolerations") or (), node)) is not None:
        if taint.key == UNSCHEDULABLE:
            node = evolve(node, taints=tuple(one for one in node.taints if one.key != UNSCHEDULABLE))
            yield f"the node is cordoned: kubectl uncordon {node.name}", spec, node
        elif taint.key.startswith(CONDITIONS):
            return
        else:
            toleration = _toleration(taint)
            spec = {**spec, "tolerations": [*(spec.get("tolerations") or ()), toleration]}
            said = ", ".join(f"{key}: {json.dumps(one) if key == 'value' else one}" for key, one in toleration.items())
            yield f"tolerations: add {{{said}}}", spec, node
    for key, value in (spec.get("nodeSelector") or {}).items():
        if not holds({"key": key, "operator": "In", "values": [value]}, node, []):
            selector = dict(spec["nodeSelector"])
            text = f"nodeSelector: leave {key}: {value} out"
            del selector[key]
            if key in node.labels:
                selector[key], text = node.labels[key], f"nodeSelector: {key}: {node.labels[key]} instead of {value}"
            spec = {**spec, "nodeSelector": selector}
            yield text, spec, node
    if eligibility(spec, node).refusal:
        affinity = {key: value for key, value in (spec.get("affinity") or {}).items() if key != "nodeAffinity"}
        yield "affinity: leave the required node affinity out", {**spec, "affinity": affinity}, node


def _toleration(taint: NodeTaint) -> dict[str, str]:
    """What tolerates this taint, and as little else as there can be."""
    said = {"operator": "Equal", "value": taint.value} if taint.value else {"operator": "Exists"}
    return {"key": taint.key, **said, "effect": taint.effect}
