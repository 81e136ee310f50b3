"""The commands of a switch-over, node by node: a label decides which nodes are drakit's."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from drakit.cli.switchover.nodes import NodeState, Verdict
from drakit.cli.switchover.pods import name_of, namespace_of
from drakit.documents import Document

LABEL = "drakit/node"
"""On nodes that drakit serves, and that others leave."""

_AWAY = {"key": LABEL, "operator": "DoesNotExist"}
_AFFINITY = "/spec/template/spec/affinity"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def of_node(node: NodeState) -> Iterator[str]:
    """What is to be done on a node, in order; nothing where there is nothing to do, or it is not known."""
    if node.verdict is Verdict.DRAIN:
        yield f"kubectl drain {node.name} --ignore-daemonsets --delete-emptydir-data"
    elif node.verdict is Verdict.READY:
        yield f"kubectl cordon {node.name}"
    else:
        return
    yield f"kubectl label node {node.name} {LABEL}=true"
    yield f"kubectl uncordon {node.name}"


def keep_away(document: Document) -> str:
    """How a DaemonSet is kept off the nodes that drakit serves; what else it says of nodes stays as it is."""
    patch = shlex.quote(json.dumps(away(document), separators=(",", ":")))
    return f"kubectl -n {namespace_of(document)} patch daemonset {name_of(document)} --type=json -p {patch}"


def away(document: Document) -> list[dict[str, Any]]:
    """The JSON patch for it; empty where it keeps away already. Terms of an affinity are alternatives: all get it."""
    affinity = (((document.get("spec") or {}).get("template") or {}).get("spec") or {}).get("affinity") or {}
    terms = ((affinity.get("nodeAffinity") or {}).get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    if not terms:
        return [_add(*_whole(affinity))]
    place = f"{_AFFINITY}/nodeAffinity/{_REQUIRED}/nodeSelectorTerms"
    patch = []
    for index, term in enumerate(terms):
        expressions = term.get("matchExpressions")
        if not expressions:
            patch.append(_add(f"{place}/{index}/matchExpressions", [_AWAY]))
        elif _AWAY not in expressions:
            patch.append(_add(f"{place}/{index}/matchExpressions/-", _AWAY))
    return patch


def _whole(affinity: dict[str, Any]) -> tuple[str, Any]:
    """Where to add an affinity of nodes, beside what there may be of pods."""
    required = {"nodeSelectorTerms": [{"matchExpressions": [_AWAY]}]}
    if not affinity:
        return _AFFINITY, {"nodeAffinity": {_REQUIRED: required}}
    if not affinity.get("nodeAffinity"):
        return f"{_AFFINITY}/nodeAffinity", {_REQUIRED: required}
    return f"{_AFFINITY}/nodeAffinity/{_REQUIRED}", required


def _add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}
