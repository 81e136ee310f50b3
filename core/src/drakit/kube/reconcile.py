"""What to write so that one pool's slices become what they should be. Pure.

The rules are those of the upstream slice controller (`k8s.io/dynamic-resource-allocation/resourceslice`): consumers
go by the highest generation of a pool, and only once it has as many slices as it says. So one changed slice can be
replaced within the generation; anything more is a new generation, complete in itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drakit.documents import API_VERSION, Document
from drakit.model.converters import frozen_tuple
from drakit.slices import index_of, same_spec, with_generation

_TYPE = {"apiVersion": API_VERSION, "kind": "ResourceSlice"}


@frozen
class Plan:
    """The writes for one pool, to be made in this order: deletions, replacements, creations.

    `replace` has whole documents by index, with the resourceVersion they replace; `create` has indices.
    """

    generation: int
    delete: tuple[Document, ...] = field(default=(), converter=frozen_tuple)
    replace: tuple[tuple[int, Document], ...] = field(default=(), converter=frozen_tuple)
    create: tuple[int, ...] = field(default=(), converter=frozen_tuple)

    @property
    def empty(self) -> bool:
        """Whether all is as it should be."""
        return not (self.delete or self.replace or self.create)


def plan(
    specs: Sequence[Mapping[str, Any]],
    published: Sequence[Document],
    expected: Sequence[Mapping[str, Any]] | None = None,
) -> Plan:
    """Plan one pool's writes: `specs` are what its slices should be, at least one; `published` are all it has.

    `expected` is what is to be found instead where the server does not keep all of the specs.
    """
    expected = specs if expected is None else expected
    newest = max((_generation(document) for document in published), default=0)
    current = [document for document in published if _generation(document) == newest]
    matched = _match(specs, current)
    kept = {document["metadata"]["name"] for document in matched.values()}
    obsolete = [document for document in published if document["metadata"]["name"] not in kept]
    missing = [index for index in range(len(specs)) if index not in matched]
    changed = [index for index, document in matched.items() if not same_spec(expected[index], document["spec"])]
    if missing or len(changed) > 1:
        generation, changed = newest + 1, sorted(matched)
    else:
        generation = newest
    replace = [(index, replacement(matched[index], specs[index], generation)) for index in sorted(changed)]
    return Plan(generation, obsolete, replace, missing)


def replacement(document: Document, spec: Mapping[str, Any], generation: int) -> Document:
    """The document that gives a slice another spec. The items of a list do not say what they are; it does."""
    return {**_TYPE, **document, "spec": with_generation(spec, generation)}


def _match(specs: Sequence[Mapping[str, Any]], documents: Sequence[Document]) -> dict[int, Document]:
    """Slices by the index they stand for: by their name, and where it does not say, by the devices they hold.

    A slice that is bound to a node, or is not, stays so: `nodeName` cannot change.
    """
    matched: dict[int, Document] = {}
    unnamed = []
    for document in sorted(documents, key=lambda document: str(document["metadata"]["name"])):
        index = index_of(document["metadata"]["name"], specs[0]["driver"])
        if document["spec"].get("nodeName") != specs[0].get("nodeName"):
            continue
        if index is None:
            unnamed.append(document)
        elif index < len(specs):
            matched.setdefault(index, document)
    for document in unnamed:
        devices = _device_names(document["spec"])
        for index, spec in enumerate(specs):
            if index not in matched and _device_names(spec) == devices:
                matched[index] = document
                break
    return matched


def _device_names(spec: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(device["name"] for device in spec.get("devices") or ())


def _generation(document: Mapping[str, Any]) -> int:
    generation: int = document["spec"]["pool"]["generation"]
    return generation
