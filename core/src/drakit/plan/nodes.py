"""Nodes: which devices one can reach, and the node selector of an allocation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen

from drakit.documents import nodes_from_api, nodes_to_api
from drakit.model import ALL_NODES, THIS_NODE, NodeSelection, NodeSelector, NodeSelectorRequirement


@frozen
class NodeView:
    """What of a node decides over devices."""

    name: str
    labels: Mapping[str, str] = field(factory=dict)


@frozen
class NamedNode(NodeSelector):
    """The selector of one node that a slice or device wrote as `nodeName`; the scheduler treats the two differently."""

    @property
    def name(self) -> str:
        """The node."""
        return self.requirements[0].values[0]


def read_nodes(document: Mapping[str, Any]) -> NodeSelection | None:
    """The nodes of a slice or a device document; None where it does not say."""
    nodes = nodes_from_api(document)
    if isinstance(nodes, NodeSelector) and document.get("nodeName"):
        return NamedNode(nodes.requirements)
    return nodes


def reaches(nodes: NodeSelection | None, node: NodeView) -> bool:
    """Whether devices with this selection can be used from the node."""
    if nodes is ALL_NODES or nodes is THIS_NODE:
        return True
    if isinstance(nodes, NamedNode):
        return nodes.name == node.name
    return isinstance(nodes, NodeSelector) and all(_holds(requirement, node) for requirement in nodes.requirements)


def _holds(requirement: NodeSelectorRequirement, node: NodeView) -> bool:
    if requirement.on_fields:
        value = node.name if requirement.key == "metadata.name" else None
    else:
        value = node.labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    return _compares(value, requirement)


def _compares(value: str | None, requirement: NodeSelectorRequirement) -> bool:
    """Gt and Lt: both sides must be integers."""
    try:
        left, right = int(value or ""), int(requirement.values[0])
    except (ValueError, IndexError):
        return False
    return left > right if requirement.operator == "Gt" else left < right


def allocation_selector(
    selections: Iterable[tuple[NodeSelection | None, bool]], node: NodeView
) -> dict[str, Any] | None:
    """The `nodeSelector` of an allocation, from its devices' nodes and whether each binds to the node it is used on.

    One device of this node alone, or one that binds, ties the allocation to the node; otherwise the devices' own
    selectors are joined; None stands for every node.
    """
    joined: dict[object, NodeSelectorRequirement] = {}
    for nodes, binds in selections:
        if binds or nodes is THIS_NODE or isinstance(nodes, NamedNode):
            here = NodeSelectorRequirement("metadata.name", "In", (node.name,), on_fields=True)
            return _selector((here,))
        if isinstance(nodes, NodeSelector):
            for one in nodes.requirements:
                joined.setdefault((one.key, one.operator, frozenset(one.values), one.on_fields), one)
    return _selector(tuple(joined.values())) if joined else None


def _selector(requirements: tuple[NodeSelectorRequirement, ...]) -> dict[str, Any]:
    selector: dict[str, Any] = nodes_to_api(NodeSelector(requirements))["nodeSelector"]
    return selector
