"""Whose the labels of a Node are: the part of server-side apply that tracks managers of fields.

`metadata.managedFields` has an entry for each manager that applied, or wrote otherwise, with the labels that are its
own. Two managers may own one label, for as long as they agree on its value. Of other fields and other kinds nothing is
tracked: nothing of theirs is in conflict, and what a manager applies no more stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from drakit.testing.apiserver.resources import Document, Resource
from drakit.testing.apiserver.status import Refusal

Operation = Literal["Apply", "Update"]
Owners = dict[tuple[str, Operation], set[str]]
"""The labels that are each manager's."""


def written(
    resource: Resource, document: Document, old: Document | None, manager: str, operation: Operation = "Update"
) -> None:
    """Note, in place, that a manager has made an object be like this, `old` being what it was: what differs is its."""
    if resource.kind != "Node":
        return
    before, now = (_labels(old) if old is not None else {}), _labels(document)
    changed = {key for key, value in now.items() if before.get(key) != value}
    owners = _owners(old) if old is not None else {}
    owners = {who: {key for key in keys if key in now and key not in changed} for who, keys in owners.items()}
    owners.setdefault((manager, operation), set()).update(changed)
    _note(document, owners)


def applied(
    resource: Resource, document: Document, patch: Document, old: Document, manager: str, *, force: bool
) -> None:
    """Note, in place, that a manager has applied a patch, and take away what it has applied before and no more says.

    `document` is the object with the patch in it. Raises Refusal (409) where others own a label with another value,
    and it is not `force`.
    """
    if resource.kind != "Node":
        return
    wanted, before, owners = _labels(patch), _labels(old), _owners(old)
    mine: tuple[str, Operation] = (manager, "Apply")
    differing = {key for key, value in wanted.items() if before.get(key) != value}
    theirs = [(who, key) for who, keys in owners.items() if who != mine for key in sorted(keys & differing)]
    if theirs and not force:
        raise _conflict(theirs)
    given_up = owners.get(mine, set()) - wanted.keys()
    owners = {who: keys - differing for who, keys in owners.items()} | {mine: set(wanted)}
    for key in given_up - set().union(*owners.values()):
        _labels(document).pop(key, None)
    _note(document, owners)


def _labels(document: Document) -> dict[str, str]:
    labels: dict[str, str] = document["metadata"].get("labels") or {}
    return labels


def _owners(document: Document) -> Owners:
    return {
        (entry["manager"], entry["operation"]): {key.removeprefix("f:") for key in _tracked(entry)}
        for entry in document["metadata"].get("managedFields") or ()
    }


def _tracked(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = entry["fieldsV1"]["f:metadata"]["f:labels"]
    return fields


def _note(document: Document, owners: Owners) -> None:
    metadata = document["metadata"]
    metadata.pop("managedFields", None)
    entries = [_entry(*who, keys) for who, keys in owners.items() if keys]
    if entries:
        metadata["managedFields"] = entries
    if not metadata.get("labels"):
        metadata.pop("labels", None)


def _entry(manager: str, operation: Operation, keys: set[str]) -> Document:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": {f"f:{key}": {} for key in sorted(keys)}}},
    }


def _conflict(theirs: list[tuple[tuple[str, Operation], str]]) -> Refusal:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{manager}"{" using v1" if operation == "Update" else ""}',
            "field": f".metadata.labels.{key}",
        }
        for (manager, operation), key in theirs
    ]
    count = "1 conflict" if len(causes) == 1 else f"{len(causes)} conflicts"
    whole = ", ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    return Refusal(409, "Conflict", f"Apply failed with {count}: {whole}", {"causes": causes})
