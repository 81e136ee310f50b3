"""One watch: a cursor over the history, through a selector."""

from __future__ import annotations

import json

from attrs import define, field

from drakit.testing.apiserver.resources import Document, Resource
from drakit.testing.apiserver.selectors import Selector
from drakit.testing.apiserver.status import Refusal
from drakit.testing.apiserver.store import Change, Store, Stored

BOOKMARK_SECONDS = 60.0
_INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


@define(eq=False)
class Watch:
    """What a client asked to be told. `read` gives it, line by line, as far as it has happened.

    `since` is the version the client knows; None asks for what there is, as additions, first.
    """

    store: Store
    resource: Resource
    namespace: str
    selector: Selector | None
    since: int | None
    bookmarks: bool = False
    ends_initial_events: bool = False
    timeout_seconds: float | None = None
    over: bool = field(default=False, init=False)

    def read(self) -> list[bytes]:
        """The events since the last call. A history that does not reach back that far is the last event."""
        with self.store.changed:
            if self.since is None:
                return self._initial()
            try:
                changes = self.store.changes(self.since)
            except Refusal as refusal:
                self.over = True
                return [_line("ERROR", refusal.body())]
            self.since = self.store.version
        return [line for change in changes if (line := self._event(change)) is not None]

    def bookmark(self, annotations: dict[str, str] | None = None) -> bytes:
        """The event that says how far the client has come."""
        metadata: Document = {"resourceVersion": str(self.since), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        document = {"kind": self.resource.kind, "apiVersion": self.resource.api_version, "metadata": metadata}
        return _line("BOOKMARK", json.dumps(document).encode())

    def _initial(self) -> list[bytes]:
        self.since = self.store.version
        objects = self.store.objects(self.resource, self.namespace)
        lines = [_line("ADDED", stored.body) for _, stored in objects if self._selects(stored)]
        return [*lines, self.bookmark(_INITIAL_EVENTS_END)] if self.ends_initial_events else lines

    def _event(self, change: Change) -> bytes | None:
        """The event for this watch: an object that comes into its selection is added, one that leaves is deleted."""
        if change.resource is not self.resource or (self.namespace and change.key[0] != self.namespace):
            return None
        before = change.previous is not None and self._selects(change.previous)
        after = change.kind != "DELETED" and self._selects(change.stored)
        if not (before or after):
            return None
        kind = "DELETED" if not after else "MODIFIED" if before else "ADDED"
        return _line(kind, change.stored.body)

    def _selects(self, stored: Stored) -> bool:
        return self.selector is None or self.selector(stored.document)


def _line(kind: str, body: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), body)
