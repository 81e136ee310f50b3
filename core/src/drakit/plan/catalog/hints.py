"""Names in a catalog that nothing answers to: probably misspelt. They are allowed, for a cluster may have more."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator

from drakit.plan.catalog.model import ClaimEntry
from drakit.plan.catalog.reading import CatalogFile
from drakit.plan.workload.problems import Path, Problem, Problems, meant


def hints(file: CatalogFile, node_types: Collection[str], classes: Collection[str]) -> list[str]:
    """What is probably misspelt in a file, each with its place; `node_types` and `classes` are those that are known."""
    problems = [*_unknown_types(file, node_types), *_unknown_classes(file, classes)]
    problems.sort(key=lambda one: file.located.line(one.path) or 0)
    return [f"{file.located.place(one.path)}: {one}" for one in problems]


def unknown_type(node_type: str, known: Collection[str] = ()) -> str:
    """What is said of a type of node that no plugin knows."""
    return f"no installed plugin knows the node type {node_type!r}{meant(node_type, known)}"


def unknown_class(name: str, known: Collection[str] = ()) -> str:
    """What is said of a device class that no plugin brings."""
    return f"no installed plugin has the device class {name!r}{meant(name, known)}"


def _unknown_types(file: CatalogFile, known: Collection[str]) -> Problems:
    for path, node_type in _types(file):
        if node_type not in known:
            yield Problem(path, unknown_type(node_type, known))


def _types(file: CatalogFile) -> Iterator[tuple[Path, str]]:
    for index, entry in enumerate(file.document.templates):
        for number, nodes in enumerate(entry.nodes):
            for place, node_type in enumerate(nodes.types):
                yield ("templates", index, "nodes", number, "types", place), node_type
    for place, node_type in enumerate(file.guardrails.node_types):
        yield ("guardrails", "nodeTypes", place), node_type


def _unknown_classes(file: CatalogFile, known: Collection[str]) -> Problems:
    told = set[tuple[object, str]]()
    for path, name in itertools.chain(_written_classes(file), _filled_classes(file)):
        if name not in known and (path[:2], name) not in told:
            told.add((path[:2], name))
            yield Problem(path, unknown_class(name, known))


def _written_classes(file: CatalogFile) -> Iterator[tuple[Path, str]]:
    """Each class as it stands in the file, where no value has to take its place first."""
    for index, entry in enumerate(file.document.templates):
        yield from _requested(("templates", index), entry.claims)
        for number, nodes in enumerate(entry.nodes):
            yield from _requested(("templates", index, "nodes", number), nodes.claims)
    for name in file.guardrails.selectors:
        yield ("guardrails", "selectors", name), name


def _requested(path: Path, claims: Collection[ClaimEntry]) -> Iterator[tuple[Path, str]]:
    for index, claim in enumerate(claims):
        for number, request in enumerate(claim.requests):
            if "{" not in request.device_class_name:
                yield (*path, "claims", index, "requests", number, "deviceClassName"), request.device_class_name


def _filled_classes(file: CatalogFile) -> Iterator[tuple[Path, str]]:
    for template in file.templates.values():
        for variant in template.variants.values():
            for name in variant.classes:
                yield ("templates", file.entries[template.name]), name
