"""An explanation as plain data, for JSON and YAML."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import attrs

from drakit.model import DeviceRef
from drakit.plan.explain.changes import Change
from drakit.plan.explain.explanation import Explanation
from drakit.plan.explain.reasons import Reason
from drakit.plan.explain.words import shown

_PARTS = {"request": "requests", "constraint": "constraints"}


def to_document(explanation: Explanation) -> dict[str, Any]:
    """The explanation with camelCase keys; what is empty is left out."""
    document: dict[str, Any] = {"claims": list(explanation.claims), "fits": list(explanation.fits)}
    document["nodes"] = [_plain(node) for node in explanation.nodes]
    document["others"] = [{"answer": answer.name, "nodes": count} for answer, count in explanation.others]
    document["changes"] = [_change(change) for change in explanation.changes]
    document["nodeTypes"] = list(explanation.node_types)
    document |= {"error": explanation.error, "hint": explanation.hint, "complete": explanation.complete}
    return {key: value for key, value in document.items() if value not in _EMPTY or key in ("claims", "fits")}


_EMPTY: tuple[Any, ...] = (None, "", [], {})


def _change(change: Change) -> dict[str, Any]:
    edits = [
        {key: value for key in ("claim", "path", "was", "now", "text") if (value := shown(getattr(edit, key)))}
        for edit in change.edits
    ]
    return {"edits": edits, "nodes": list(change.nodes)}


def _plain(value: Any) -> Any:
    """Frozen values as mappings, and everything in them as JSON has it."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Mapping):
        return {shown(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return _fields(value) if attrs.has(type(value)) and not isinstance(value, DeviceRef) else shown(value)


def _fields(value: Any) -> dict[str, Any]:
    if isinstance(value, Reason):
        parts = [f"claims[{claim}].{_PARTS[kind]}[{index}]" for kind, claim, index in value.parts]
        return {"kind": value.kind.name, "text": value.text, "parts": parts, "exact": value.exact}
    names = [one.name for one in attrs.fields(type(value)) if one.name != "part"]
    pairs = ((_camel(name), _plain(getattr(value, name))) for name in names)
    return {name: item for name, item in pairs if item not in _EMPTY}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(one.capitalize() for one in others)
