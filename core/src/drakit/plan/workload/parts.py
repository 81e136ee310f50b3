"""Parts of valid documents: requests of claims, specs of pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drakit.documents import Document
from drakit.plan.workload.problems import Path


def device_requests(document: Mapping[str, Any], path: Path) -> Iterator[tuple[Mapping[str, Any], Path]]:
    """Each `exactly` and each alternative of a valid claim or template, with its place; `path` leads to the claim's."""
    spec: Any = document
    for step in path:
        spec = spec.get(step) or {}
    for index, request in enumerate((spec.get("devices") or {}).get("requests") or ()):
        inside = (*path, "devices", "requests", index)
        if request.get("exactly"):
            yield request["exactly"], (*inside, "exactly")
        for number, entry in enumerate(request.get("firstAvailable") or ()):
            yield entry, (*inside, "firstAvailable", number)


def request_names(document: Mapping[str, Any]) -> Iterator[str]:
    """The names of the requests of a claim or a template."""
    spec = document.get("spec") or {}
    spec = spec.get("spec") or {} if document["kind"] == "ResourceClaimTemplate" else spec
    for request in (spec.get("devices") or {}).get("requests") or ():
        yield request["name"]


def pod_specs(document: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Path]]:
    """The specs of pods in a document, each once, with its place."""
    spec = document.get("spec") or {}
    if document["kind"] == "Pod":
        yield spec, ("spec",)
    elif "template" in spec:
        yield spec["template"]["spec"], ("spec", "template", "spec")
    for key in ("leaderTemplate", "workerTemplate"):
        if found := (spec.get("leaderWorkerTemplate") or {}).get(key):
            yield found["spec"], ("spec", "leaderWorkerTemplate", key, "spec")


def normal(document: Mapping[str, Any]) -> Document:
    """A document with the API's defaults where a field is empty, as the planner's strict reader wants it."""
    cleaned = _cleaned(document)
    return dict(cleaned) if isinstance(cleaned, Mapping) else dict(document)


def _cleaned(value: Any) -> Any:
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: item if key in ("parameters", "labels", "annotations") else _cleaned(item)
        for key, item in value.items()
        if item is not None and not (key in _EMPTY and item in _EMPTY[key])
    }


_EMPTY: dict[str, tuple[Any, ...]] = {
    "count": (0,),
    "allocationMode": ("",),
    "operator": ("",),
    "effect": ("",),
    "matchAttribute": ("",),
    "distinctAttribute": ("",),
}
"""Fields that are as good as absent where they are empty."""
