"""What of a workload decides over its placing, and is not planned: said beside the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from drakit.plan.workload.reading import Located

EXCLUSIVE = "leaderworkerset.sigs.k8s.io/exclusive-topology"
DEFAULT_SCHEDULER = "default-scheduler"


def notes_of(documents: Iterable[Located]) -> tuple[str, ...]:
    """One sentence for each thing, each once."""
    return tuple(dict.fromkeys(note for one in documents for note in _notes(one)))


def _notes(one: Located) -> Iterator[str]:
    document = one.document
    label = one.label.rstrip(": ")
    metadata = document.get("metadata") or {}
    if topology := (metadata.get("annotations") or {}).get(EXCLUSIVE):
        yield f"{label}: that the pods of a group share a value of the label {topology} is not planned"
    for spec in _specs(document):
        affinity = spec.get("affinity") or {}
        if any(affinity.get(key) for key in ("podAffinity", "podAntiAffinity")):
            yield f"{label}: affinity to other pods is not planned"
        if spec.get("topologySpreadConstraints"):
            yield f"{label}: topologySpreadConstraints are not planned"
        if gates := spec.get("schedulingGates"):
            names = ", ".join(str(gate.get("name")) for gate in gates if isinstance(gate, Mapping))
            yield f"{label}: is not scheduled before its scheduling gates are removed ({names})"
        scheduler = spec.get("schedulerName") or DEFAULT_SCHEDULER
        if scheduler != DEFAULT_SCHEDULER:
            yield f"{label}: is for the scheduler {scheduler!r}; what Kubernetes' own would do is planned"


def _specs(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    spec = document.get("spec") or {}
    templates = [spec.get("template"), *(spec.get("leaderWorkerTemplate") or {}).values()]
    if document["kind"] == "Pod":
        yield spec
    for template in templates:
        if isinstance(template, Mapping) and isinstance(template.get("spec"), Mapping):
            yield template["spec"]
