"""Create, replace, patch and delete: the rules of the server between a request and the store."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal

from attrs import define, field

from drakit.testing.apiserver import admission, ownership
from drakit.testing.apiserver.resources import Document, Resource, Target
from drakit.testing.apiserver.status import Cause, already_exists, bad_request, conflict, invalid, not_found
from drakit.testing.apiserver.store import Store, Stored
from drakit.testing.apiserver.validation import validate

Part = Literal["main", "status", "all"]
"""What an update may change: everything but the status, the status alone, or, for who plays the cluster, both."""

NOBODY = "unknown"
"""The manager of whoever does not say who it is."""

_MAX_GENERATED_BASE = 58
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_SERVERS_OWN = ("uid", "creationTimestamp", "deletionTimestamp", "generation", "generateName", "namespace", "name")
# Lists that server-side apply merges by key rather than replaces.
_LIST_KEYS: dict[str, tuple[str, ...]] = {
    "devices": ("driver", "pool", "device", "shareID"),
    "conditions": ("type",),
    "reservedFor": ("uid",),
}


@define
class Registry:
    """The objects, by the rules. `minor` is the Kubernetes release it behaves as, `dropped` what its gates drop."""

    store: Store
    minor: int
    dropped: frozenset[str] = field(factory=frozenset)

    def read(self, target: Target) -> Stored:
        """One object. Raises Refusal (404)."""
        stored = self.store.get(target.resource, (target.namespace, target.name))
        if stored is None:
            raise not_found(target.resource, target.name)
        return stored

    def create(
        self,
        target: Target,
        document: Document,
        *,
        keep_status: bool = False,
        manager: str = NOBODY,
        operation: ownership.Operation = "Update",
    ) -> Stored:
        """Store a new object. A claim's and a pod's status is what others make of it, unless `keep_status`."""
        resource = target.resource
        metadata = _check_shape(target, document)
        if resource.kind in ("ResourceClaim", "Pod") and not keep_status:
            document.pop("status", None)
        if resource.kind == "ResourceClaim":
            document.setdefault("status", {})
        with self.store.changed:
            name = metadata.get("name") or self._generate(target, metadata)
            if self.store.get(resource, (target.namespace, name)) is not None:
                raise already_exists(resource, name)
            metadata |= {"name": name, "uid": str(uuid.uuid4()), "creationTimestamp": admission.now()}
            metadata.pop("deletionTimestamp", None)
            if target.namespace:
                metadata["namespace"] = target.namespace
            if resource.counts_generations:
                metadata["generation"] = 1
            ownership.written(resource, document, None, manager, operation)
            self._admit(resource, document, None)
            return self.store.put(resource, (target.namespace, name), document)

    def replace(self, target: Target, document: Document, part: Part, manager: str = NOBODY) -> Stored:
        """Update an object, if the version in the document, where there is one, is the latest."""
        metadata = _check_shape(target, document)
        if metadata.get("name") != target.name:
            raise bad_request(f"the name of the object ({metadata.get('name')}) is not that of the URL ({target.name})")
        with self.store.changed:
            old = self.read(target)
            self._check_preconditions(target, old, metadata)
            note = partial(ownership.written, target.resource, old=old.document, manager=manager)
            return self._update(target, old, document, part, note)

    def patch(
        self,
        target: Target,
        patch: Document,
        part: Part,
        *,
        apply: bool,
        force: bool = False,
        manager: str = NOBODY,
    ) -> Stored:
        """Merge into an object: by RFC 7396, or, for `apply`, keyed lists entry by entry.

        Apply creates what is not there, but not for its status alone. Which manager owns which field is tracked as far
        as `ownership` says. Raises Refusal (409) for a conflict of apply without `force`.
        """
        with self.store.changed:
            if apply and part == "main" and self.store.get(target.resource, (target.namespace, target.name)) is None:
                return self.create(target, patch, manager=manager, operation="Apply")
            old = self.read(target)
            self._check_preconditions(target, old, patch.get("metadata") or {})
            note = partial(ownership.written, target.resource, old=old.document, manager=manager)
            if apply and part == "main":
                note = partial(
                    ownership.applied, target.resource, patch=patch, old=old.document, manager=manager, force=force
                )
            merge = _apply if apply else _merge
            return self._update(target, old, merge(old.document, patch), part, note)

    def delete(self, target: Target, preconditions: Mapping[str, Any]) -> Stored | None:
        """Delete an object; one with finalizers is only marked, and returned."""
        with self.store.changed:
            old = self.read(target)
            self._check_preconditions(target, old, preconditions)
            metadata = old.document["metadata"]
            if not metadata.get("finalizers"):
                self.store.remove(target.resource, (target.namespace, target.name))
                return None
            if "deletionTimestamp" in metadata:
                return old
            marked = metadata | {"deletionTimestamp": admission.now(), "deletionGracePeriodSeconds": 0}
            key = (target.namespace, target.name)
            return self.store.put(target.resource, key, old.document | {"metadata": marked})

    def _generate(self, target: Target, metadata: Mapping[str, Any]) -> str:
        base = metadata.get("generateName")
        if not base:
            raise invalid(target.resource, "", [Cause("metadata.name", "Required value: name or generateName")])
        while True:
            name = base[:_MAX_GENERATED_BASE] + "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))
            if self.store.get(target.resource, (target.namespace, name)) is None:
                return str(name)

    def _check_preconditions(self, target: Target, old: Stored, wanted: Mapping[str, Any]) -> None:
        for key in ("uid", "resourceVersion"):
            have = old.document["metadata"][key]
            if wanted.get(key) and wanted[key] != have:
                why = f"its {key} is {have}, not {wanted[key]}; apply the change to the latest version and try again"
                raise conflict(target.resource, target.name, why)

    def _update(
        self, target: Target, old: Stored, document: Document, part: Part, note: Callable[[Document], None]
    ) -> Stored:
        resource, key = target.resource, (target.namespace, target.name)
        document = _compose(resource, old.document, document, part)
        before, metadata = old.document["metadata"], document["metadata"]
        for name in (*_SERVERS_OWN, "resourceVersion"):
            metadata.pop(name, None)
            if name in before:
                metadata[name] = before[name]
        note(document)
        self._admit(resource, document, old.document)
        if document == old.document:
            return old
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            return self.store.remove(resource, key)
        if resource.counts_generations and document.get("spec") != old.document.get("spec"):
            metadata["generation"] = before["generation"] + 1
        return self.store.put(resource, key, document)

    def _admit(self, resource: Resource, document: Document, old: Document | None) -> None:
        """Bring a document, in place, into the form it is stored in. Raises Refusal (400 or 422)."""
        document |= {"kind": resource.kind, "apiVersion": resource.api_version}
        try:
            if resource.kind == "ResourceSlice":
                admission.drop_slice_fields(document, self.dropped)
            if resource.kind == "ResourceClaim" and old is not None:
                admission.drop_deallocated(document, old)
            causes = validate(document, old, self.minor)
            if resource.kind == "ResourceSlice" and not causes:
                admission.normalize_slice(document)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise bad_request(
                f"{resource.kind} in version {resource.version!r} cannot be handled: {error!r}"
            ) from error
        if causes:
            raise invalid(resource, document["metadata"]["name"], causes)


def _check_shape(target: Target, document: Document) -> dict[str, Any]:
    """The metadata of a document that is what its URL says it is."""
    resource = target.resource
    api_version, kind = document.get("apiVersion", resource.api_version), document.get("kind", resource.kind)
    if (api_version, kind) != (resource.api_version, resource.kind):
        raise bad_request(f"{kind} of {api_version} in the body is not {resource.kind} of {resource.api_version}")
    metadata = document.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise bad_request("metadata must be an object")
    if metadata.get("namespace", target.namespace) != target.namespace:
        raise bad_request(
            f"the namespace of the object ({metadata['namespace']}) is not that of the URL ({target.namespace})"
        )
    return metadata


def _compose(resource: Resource, old: Document, new: Document, part: Part) -> Document:
    """What a document makes of an object, given what it may change. Returns a document that may be changed."""
    if part == "status":
        document = old | {"status": new.get("status") or {}}
    elif part == "main" and resource.has_status:
        document = {key: value for key, value in new.items() if key != "status"}
        document |= {"status": old["status"]} if "status" in old else {}
    else:
        document = new
    copied: Document = json.loads(json.dumps(document))
    return copied


def _merge(old: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def _apply(old: Any, patch: Any, name: str = "") -> Any:
    if isinstance(patch, dict) and isinstance(old, dict):
        return old | {key: _apply(old.get(key), value, key) for key, value in patch.items()}
    if isinstance(patch, list) and isinstance(old, list) and name in _LIST_KEYS:
        return _apply_list(old, patch, _LIST_KEYS[name])
    return patch


def _apply_list(old: Iterable[Any], patch: Iterable[Any], keys: tuple[str, ...]) -> list[Any]:
    entries = {tuple(entry.get(key) for key in keys): entry for entry in old}
    for entry in patch:
        identity = tuple(entry.get(key) for key in keys)
        entries[identity] = _apply(entries.get(identity), entry)
    return list(entries.values())
