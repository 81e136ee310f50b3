"""The labels that drivers give their own Node: by server-side apply, so that nobody else's are ever touched.

Each driver applies under a manager of its own. What it no longer names goes with its next apply; what somebody else
has set to another value stays theirs. What is there and whose it is stands in the Node, so nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from drakit.documents import Document
from drakit.errors import PublishError, describe
from drakit.kube.client import NODES, ApiError, KubeClient
from drakit.model.converters import frozen_mapping

REMEDY = (
    "allow it with the Helm chart, by `nodeLabels: true` in its `config`, or take that out of the agent's configuration"
)
"""What to do where the agent may not write labels."""
_REFUSED = frozenset({403, 422})
"""By who asks, and by an admission policy."""


class NodeLabels:
    """Keeps the labels of one driver on the agent's Node as they should be."""

    def __init__(self, client: KubeClient, driver: str) -> None:
        self._client = client
        self._driver = driver
        self._manager = f"drakit-{driver}"
        self._wanted: Mapping[str, str] | None = None

    def desired(self, labels: Mapping[str, str]) -> bool:
        """Take the labels that the Node should have, none takes all away; returns whether they are others than before.

        Before the first time nothing is written.
        """
        differs = self._wanted != labels
        self._wanted = dict(labels)
        return differs

    async def settle(self, node: Document) -> list[PublishError]:
        """Bring the Node, as it was read just now, to what is desired; returns what is not as it should be.

        Costs a request only if something has to change. May be called again at any time.
        """
        if self._wanted is None:
            return []
        part = _part_of(node, self._manager, self._wanted)
        problems = [PublishError(f"driver {self._driver}: {conflict}") for conflict in part.conflicts]
        if part.is_there:
            return problems
        metadata: Document = {key: node["metadata"][key] for key in ("name", "uid")}
        if part.labels:
            metadata["labels"] = dict(part.labels)
        document = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
        try:
            await self._client.apply(NODES, document, manager=self._manager, force=False)
        except ApiError as error:
            problems.append(PublishError(self._in_words(node, error)))
        return problems

    def _in_words(self, node: Document, error: ApiError) -> str:
        name = node["metadata"]["name"]
        refused = error.status in _REFUSED
        advice = f"; {REMEDY}" if refused else ""
        if refused and not self._wanted:
            keys = " ".join(f"{key}-" for key in sorted(_labels_of(node, self._manager)))
            advice = f"; take them away yourself: kubectl label node {name} {keys}"
        return f"driver {self._driver}: the labels of node {name} are not written: {describe(error)}{advice}"


@frozen
class _Part:
    """What a driver is to apply of the labels of a Node; `is_there`: it has done so already."""

    labels: Mapping[str, str] = field(converter=frozen_mapping)
    is_there: bool
    conflicts: tuple[str, ...]


def _part_of(node: Document, manager: str, wanted: Mapping[str, str]) -> _Part:
    metadata = node["metadata"]
    found: Mapping[str, str] = metadata.get("labels") or {}
    theirs = _owners(node, manager)
    contested = {key for key, value in wanted.items() if key in theirs and found.get(key) != value}
    labels = {key: value for key, value in wanted.items() if key not in contested}
    conflicts = tuple(
        f"label {key} of node {metadata['name']} stays {found.get(key)!r} and does not become {wanted[key]!r}, for it "
        f"belongs to {', '.join(theirs[key])}; if that is not meant: kubectl label node {metadata['name']} {key}-"
        for key in sorted(contested)
    )
    is_there = _labels_of(node, manager) == labels.keys() and all(found.get(key) == labels[key] for key in labels)
    return _Part(labels, is_there, conflicts)


def _labels_of(node: Document, manager: str) -> set[str]:
    """The labels that a manager has applied, and nobody has changed since."""
    return {key for entry in _entries(node) if _is_of(entry, manager) for key in _keys(entry)}


def _owners(node: Document, manager: str) -> dict[str, list[str]]:
    """The labels that others than a manager have set, with who they are."""
    owners: dict[str, list[str]] = {}
    for entry in _entries(node):
        if not _is_of(entry, manager):
            for key in _keys(entry):
                owners.setdefault(key, []).append(str(entry.get("manager") or "somebody without a name"))
    return owners


def _entries(node: Document) -> Iterator[Mapping[str, Any]]:
    yield from node["metadata"].get("managedFields") or ()


def _is_of(entry: Mapping[str, Any], manager: str) -> bool:
    return entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")


def _keys(entry: Mapping[str, Any]) -> Iterator[str]:
    """The labels among the fields of an entry: of these the path is f:metadata, f:labels, f:<key>."""
    fields = (entry.get("fieldsV1") or {}).get("f:metadata") or {}
    yield from (key.removeprefix("f:") for key in fields.get("f:labels") or {} if key.startswith("f:"))
