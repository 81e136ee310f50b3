"""The objects and their history: what etcd is to the real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Literal

from attrs import frozen

from drakit.testing.apiserver.resources import Document, Resource
from drakit.testing.apiserver.status import expired

Key = tuple[str, str]
"""Namespace (empty for what has none) and name."""


@frozen(eq=False)
class Stored:
    """One version of one object. The document is never changed; `body` is its encoding."""

    document: Document
    body: bytes
    version: int


@frozen(eq=False)
class Change:
    """One entry of the history. `stored` is the object after it; for a deletion, the last there was of it."""

    kind: Literal["ADDED", "MODIFIED", "DELETED"]
    resource: Resource
    key: Key
    stored: Stored
    previous: Stored | None


@frozen(eq=False)
class Backup:
    """The objects as they were at one version."""

    version: int
    objects: Mapping[Resource, Mapping[Key, Stored]]


class Store:
    """Versioned objects in memory. Every change has the next version and is one entry of the history.

    `changed` is the lock on everything here, notified after each change. Reentrant, so that several steps can be one.
    """

    def __init__(self, history: int) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.version = 1
        self.on_change: Callable[[], None] = lambda: None
        self._history = history
        self._objects: dict[Resource, dict[Key, Stored]] = {}
        self._log: list[Change] = []
        self._oldest = 1

    def get(self, resource: Resource, key: Key) -> Stored | None:
        """The object as it is now."""
        return self._objects.get(resource, {}).get(key)

    def objects(self, resource: Resource, namespace: str = "") -> list[tuple[Key, Stored]]:
        """Every object of a kind, or those of one namespace, in the order of their keys."""
        with self.changed:
            items = sorted(self._objects.get(resource, {}).items(), key=lambda item: item[0])
        return [item for item in items if item[0][0] == namespace] if namespace else items

    def put(self, resource: Resource, key: Key, document: Document) -> Stored:
        """Store a document as the next version of an object, new or not."""
        with self.changed:
            objects = self._objects.setdefault(resource, {})
            previous = objects.get(key)
            stored = objects[key] = self._next_version(resource, document)
            self._record(Change("MODIFIED" if previous else "ADDED", resource, key, stored, previous))
            return stored

    def remove(self, resource: Resource, key: Key) -> Stored:
        """Delete an object that is there; returns the last of it, with the version of the deletion."""
        with self.changed:
            previous = self._objects[resource].pop(key)
            stored = self._next_version(resource, previous.document)
            self._record(Change("DELETED", resource, key, stored, previous))
            return stored

    def changes(self, since: int) -> list[Change]:
        """The history after a version, oldest first. Raises Refusal (410) where it does not reach back that far."""
        with self.changed:
            if since < self._oldest:
                raise expired(since, self._oldest)
            return self._log[since - self._oldest :]

    def forget_history(self) -> None:
        """Let no version known to a client be recent enough to continue from, as a compaction does."""
        with self.changed:
            self.version += 1
            self._log.clear()
            self._oldest = self.version
            self._announce()

    def backup(self) -> Backup:
        """Everything there is, as of now."""
        with self.changed:
            return Backup(self.version, {resource: dict(objects) for resource, objects in self._objects.items()})

    def restore(self, backup: Backup) -> None:
        """Be again what it was, versions included. Of what came between, nothing is known."""
        with self.changed:
            self._objects = {resource: dict(objects) for resource, objects in backup.objects.items()}
            self.version = self._oldest = backup.version
            self._log.clear()
            self._announce()

    def _next_version(self, resource: Resource, document: Document) -> Stored:
        version = self.version + 1
        metadata = document["metadata"] | {"resourceVersion": str(version)}
        rest = {key: value for key, value in document.items() if key not in ("kind", "apiVersion", "metadata")}
        whole = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata} | rest
        return Stored(whole, json.dumps(whole, separators=(",", ":")).encode(), version)

    def _record(self, change: Change) -> None:
        self.version = change.stored.version
        self._log.append(change)
        if len(self._log) > 2 * self._history:
            surplus = len(self._log) - self._history
            del self._log[:surplus]
            self._oldest += surplus
        self._announce()

    def _announce(self) -> None:
        self.changed.notify_all()
        self.on_change()
