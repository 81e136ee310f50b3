"""The metadata of an object: its names and labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from drakit.errors import LimitExceeded
from drakit.model.names import check_label, check_label_key, check_label_value, check_subdomain
from drakit.plan.workload import shapes
from drakit.plan.workload.problems import Path, Problem, Problems

METADATA = (
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
    "selfLink",
)


def check_metadata(document: Mapping[str, Any], *, label: bool = False) -> Problems:
    """The metadata of an object; `label`: its name must be a DNS label."""
    path: Path = ("metadata",)
    metadata = yield from shapes.mapping(document.get("metadata"), path, METADATA)
    if not metadata.get("generateName") or metadata.get("name"):
        yield from shapes.rule(check_label if label else _check_name, metadata.get("name"), (*path, "name"))
    yield from shapes.rule(check_label, metadata.get("namespace"), (*path, "namespace"), required=False)
    yield from check_labels(metadata, path)


def check_labels(metadata: Mapping[str, Any], path: Path) -> Problems:
    """The labels and annotations in some metadata."""
    labels = yield from shapes.mapping(metadata.get("labels"), (*path, "labels"))
    for key, value in labels.items():
        yield from _label(key, value, (*path, "labels", key))
    annotations = yield from shapes.mapping(metadata.get("annotations"), (*path, "annotations"))
    for key, value in annotations.items():
        yield from shapes.text(value, (*path, "annotations", key))


def _label(key: str, value: Any, path: Path) -> Problems:
    try:
        check_label_key("", key)
    except LimitExceeded as error:
        yield Problem(path, f"Invalid value: {json.dumps(key)}: {error.limit}")
    yield from shapes.rule(check_label_value, value, path, required=False)


def _check_name(field: str, name: Any) -> None:
    check_subdomain(field, name, 253)
