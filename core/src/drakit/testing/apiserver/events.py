"""What the server refuses of an Event of events.k8s.io/v1. Source: its validation in Kubernetes 1.34 to 1.37."""

from __future__ import annotations

import json
from collections.abc import Iterator

from drakit.testing.apiserver.resources import Document
from drakit.testing.apiserver.status import Cause

_MOST_BYTES = {"reportingInstance": 128, "action": 128, "reason": 128, "note": 1024}
_REQUIRED = ("eventTime", "reportingController", "reportingInstance", "action", "reason")
_OWN_NAMESPACES = ("default", "kube-system")
_UNSET = ("deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount", "deprecatedSource")
_CHANGING = ("kind", "apiVersion", "metadata", "series")
_FIELDS = {"note": "message", "regarding": "involvedObject"}
"""What causes call a field, where it is not as this version of the API does."""


def validate_event(document: Document, old: Document | None) -> Iterator[Cause]:
    """Every cause why an Event may not be stored, `old` being what it replaces."""
    for name in _REQUIRED:
        if not document.get(name):
            yield Cause(name, "Required value", "FieldValueRequired")
    for name, most in _MOST_BYTES.items():
        if len(document.get(name, "").encode()) > most:
            yield Cause(_FIELDS.get(name, name), f'Invalid value: "": can have at most {most} characters')
    if document.get("type") not in ("Normal", "Warning"):
        yield Cause("type", f'Invalid value: "": has invalid value: {document.get("type", "")}')
    if not document.get("regarding", {}).get("namespace") and document["metadata"]["namespace"] not in _OWN_NAMESPACES:
        yield Cause("involvedObject.namespace", 'Invalid value: "": does not match event.namespace')
    yield from (Cause(name, 'Invalid value: "": needs to be unset') for name in _UNSET if document.get(name))
    yield from _series(document.get("series"))
    for name in sorted({*document, *(old or ())} - {*_CHANGING}):
        if old is not None and document.get(name) != old.get(name):
            yield Cause(_FIELDS.get(name, name), f"Invalid value: {json.dumps(document.get(name))}: field is immutable")


def _series(series: Document | None) -> Iterator[Cause]:
    if series and series.get("count", 0) < 2:
        yield Cause("series.count", 'Invalid value: "": should be at least 2')
    if series and not series.get("lastObservedTime"):
        yield Cause("series.lastObservedTime", "Required value", "FieldValueRequired")
