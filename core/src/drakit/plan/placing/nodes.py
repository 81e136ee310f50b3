"""Nodes as the choice of a node for a pod sees them: labels, taints and names. Source: Kubernetes 1.34 to 1.37."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drakit.plan.nodes import NodeView

MAX_PODS = 110
"""What a kubelet takes where nobody says otherwise."""

UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


@frozen
class NodeTaint:
    """A taint of a node."""

    key: str
    effect: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.key}{'=' * bool(self.value)}{self.value}:{self.effect}"


@frozen
class PlannedNode:
    """A node that pods may be placed on.

    With `sure`, `labels` are all there are; else only some are known, and a label that is not is taken to be as a pod
    wants it. `kind` is what it is a node of, such as its instance type.
    """

    name: str
    labels: Mapping[str, str] = field(factory=dict)
    kind: str = ""
    taints: tuple[NodeTaint, ...] = ()
    sure: bool = False
    pods: int = MAX_PODS

    @property
    def view(self) -> NodeView:
        """What of it decides over devices."""
        return NodeView(self.name, self.labels)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> PlannedNode:
        """A node of a cluster."""
        metadata, spec = document.get("metadata") or {}, document.get("spec") or {}
        labels = metadata.get("labels") or {}
        taints = [
            NodeTaint(str(one.get("key")), str(one.get("effect")), str(one.get("value") or ""))
            for one in spec.get("taints") or ()
        ]
        if spec.get("unschedulable") and not any(taint.key == UNSCHEDULABLE for taint in taints):
            taints.append(NodeTaint(UNSCHEDULABLE, "NoSchedule"))
        allocatable = (document.get("status") or {}).get("allocatable") or {}
        most = str(allocatable.get("pods") or "")
        return cls(
            name=str(metadata.get("name")),
            labels=labels,
            kind=labels.get("node.kubernetes.io/instance-type", ""),
            taints=tuple(taints),
            sure=True,
            pods=int(most) if most.isdigit() else MAX_PODS,
        )


@frozen
class Eligibility:
    """Whether a pod may come to a node, devices aside. `refusal` says why not; `assumed`: labels taken for granted."""

    refusal: str = ""
    assumed: tuple[str, ...] = ()


def eligibility(spec: Mapping[str, Any], node: PlannedNode, *, daemon: bool = False) -> Eligibility:
    """What a pod's nodeName, nodeSelector, required node affinity and tolerations say to a node.

    `daemon`: the pods of a DaemonSet are given tolerations of what makes a node unschedulable.
    """
    if (wanted := spec.get("nodeName")) and wanted != node.name:
        return Eligibility(f"the pod is for the node {wanted!r} by its nodeName")
    if (taint := untolerated(spec.get("tolerations") or (), node, daemon=daemon)) is not None:
        return Eligibility(f"the pod does not tolerate the node's taint {taint}")
    assumed: list[str] = []
    for key, value in (spec.get("nodeSelector") or {}).items():
        requirement = {"key": key, "operator": "In", "values": [value]}
        if not holds(requirement, node, assumed):
            return Eligibility(f"nodeSelector wants {key}={value}; the node has {_shown(node, key)}")
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required and not matches_terms(required, node, assumed):
        keys = dict.fromkeys(key for term in required["nodeSelectorTerms"] for key in _keys(term))
        had = ", ".join(f"{key}: {_shown(node, key)}" for key in keys)
        return Eligibility(f"no term of the pod's required node affinity holds; the node has {had}")
    return Eligibility(assumed=tuple(assumed))


def matches_terms(selector: Mapping[str, Any], node: PlannedNode, assumed: list[str] | None = None) -> bool:
    """Whether one of the terms of a node selector holds; labels that are taken for granted are added to `assumed`."""
    for term in selector.get("nodeSelectorTerms") or ():
        taken: list[str] = []
        expressions = term.get("matchExpressions") or ()
        fields = term.get("matchFields") or ()
        if not expressions and not fields:
            continue  # an empty term selects nothing
        if all(holds(one, node, taken) for one in expressions) and all(_field_holds(one, node) for one in fields):
            if assumed is not None:
                assumed += taken
            return True
    return False


def holds(requirement: Mapping[str, Any], node: PlannedNode, assumed: list[str]) -> bool:
    """Whether a requirement holds of a node's labels; one that is taken for granted is added to `assumed`."""
    key, operator = requirement["key"], requirement["operator"]
    if key not in node.labels and not node.sure and operator not in ("NotIn", "DoesNotExist"):
        assumed.append(f"{key} {operator} {', '.join(requirement.get('values') or ())}".strip())
        return True
    return _compare(node.labels.get(key), operator, requirement.get("values") or ())


def _field_holds(requirement: Mapping[str, Any], node: PlannedNode) -> bool:
    value = node.name if requirement["key"] == "metadata.name" else None
    return _compare(value, requirement["operator"], requirement.get("values") or ())


def _compare(value: str | None, operator: str, values: Sequence[str]) -> bool:
    match operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    try:
        left, right = int(value or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return left > right if operator == "Gt" else left < right


def untolerated(
    tolerations: Iterable[Mapping[str, Any]], node: PlannedNode, *, daemon: bool = False
) -> NodeTaint | None:
    """The first taint that keeps pods with these tolerations off a node."""
    listed = list(tolerations)
    for taint in node.taints:
        if taint.effect not in ("NoSchedule", "NoExecute") or (daemon and taint.key.startswith("node.kubernetes.io/")):
            continue
        if not any(_tolerates(one, taint) for one in listed):
            return taint
    return None


def _tolerates(toleration: Mapping[str, Any], taint: NodeTaint) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.effect:
        return False
    if toleration.get("key") and toleration["key"] != taint.key:
        return False
    operator, value = toleration.get("operator") or "Equal", toleration.get("value") or ""
    if operator in ("Gt", "Lt"):
        return _compare(taint.value, operator, [value])
    return operator == "Exists" or (bool(toleration.get("key")) and value == taint.value)


def _shown(node: PlannedNode, key: str) -> str:
    return f"{key}={node.labels[key]}" if key in node.labels else "no such label"


def _keys(term: Mapping[str, Any]) -> Iterator[str]:
    for where in ("matchExpressions", "matchFields"):
        for one in term.get(where) or ():
            yield one["key"]
