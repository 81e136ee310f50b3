"""Names that the API server takes as they are, and that nothing answers to: probably misspelt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import field, frozen

from drakit.plan.cel import compile_selector
from drakit.plan.cel.ast import Ident, Index, Literal, Node, Select
from drakit.plan.contents import Content
from drakit.plan.workload.parts import device_requests, pod_specs
from drakit.plan.workload.problems import Path, Problem, Problems, closest, meant, meant_or_known
from drakit.plan.workload.reading import Located

Requests = Mapping[tuple[str, str, str], Iterable[str]]
"""The names of the requests of claims and templates, by kind, namespace and name."""


@frozen
class KnownNames:
    """The attributes and capacities that devices have, by domain."""

    attributes: dict[str, set[str]] = field(factory=dict)
    capacity: dict[str, set[str]] = field(factory=dict)

    @classmethod
    def of(cls, contents: Iterable[Content]) -> KnownNames:
        """Those of the devices of some slices."""
        names = cls()
        for content in contents:
            for offer in content.offers:
                for known, domains in (
                    (names.attributes, offer.value.attributes),
                    (names.capacity, offer.value.capacity),
                ):
                    for domain, values in domains.items():
                        known.setdefault(domain, set()).update(values)
        return names


def hints(documents: Iterable[Located], known: KnownNames, requests: Requests, namespace: str) -> list[str]:
    """What is probably misspelt, each with its place; `namespace` is that of documents that have none."""
    found = []
    for one in documents:
        problems = [*_of_document(one.document, known), *_missing_requests(one.document, requests, namespace)]
        found += [one.told(problem) for problem in problems]
    return list(dict.fromkeys(found))


def _of_document(document: Mapping[str, Any], known: KnownNames) -> Problems:
    kind = document["kind"]
    if kind == "DeviceClass":
        yield from _selectors((document.get("spec") or {}).get("selectors"), ("spec", "selectors"), known)
    if kind not in ("ResourceClaim", "ResourceClaimTemplate"):
        return
    path: Path = ("spec",) if kind == "ResourceClaim" else ("spec", "spec")
    for request, inside in device_requests(document, path):
        yield from _selectors(request.get("selectors"), (*inside, "selectors"), known)
    devices: Any = document
    for step in (*path, "devices"):
        devices = devices.get(step) or {}
    for index, constraint in enumerate(devices.get("constraints") or ()):
        for key in ("matchAttribute", "distinctAttribute"):
            if name := constraint.get(key):
                yield from _attribute(name, (*path, "devices", "constraints", index, key), known)


def _attribute(name: str, path: Path, known: KnownNames) -> Problems:
    domain, _, identifier = name.rpartition("/")
    if known.attributes and identifier not in known.attributes.get(domain, ()):
        every = [f"{one}/{inside}" for one, names in known.attributes.items() for inside in names]
        yield Problem(path, f"no device has the attribute {name!r}{meant(name, every)}")


def _selectors(selectors: Any, path: Path, known: KnownNames) -> Problems:
    for index, selector in enumerate(selectors or ()):
        inside = (*path, index, "cel", "expression")
        root = compile_selector(selector["cel"]["expression"]).root
        for what, domain, name in dict.fromkeys(_references(root)):
            domains = known.attributes if what == "attributes" else known.capacity
            if not domains or name in domains.get(domain, ()):
                continue
            noun = "attribute" if what == "attributes" else "capacity"
            if domain not in domains:
                hint = meant(domain, domains)
                yield Problem(inside, f"no device has {what} of the domain {domain!r}{hint}")
            elif closest(name, domains[domain]):
                yield Problem(inside, f"no device has the {noun} {domain}/{name}{meant(name, domains[domain])}")
            else:
                yield Problem(inside, f"no device has the {noun} {domain}/{name}")


def _references(node: Node) -> Iterator[tuple[str, str, str]]:
    """Each `device.attributes["domain"].name` in an expression: attributes or capacity, domain, name."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        match one:
            case (
                Select(
                    operand=Index(
                        operand=Select(operand=Ident(name="device"), field=what), index=Literal(value=domain)
                    ),
                    field=name,
                )
                | Index(
                    operand=Index(
                        operand=Select(operand=Ident(name="device"), field=what), index=Literal(value=domain)
                    ),
                    index=Literal(value=name),
                )
            ) if isinstance(domain, str) and isinstance(name, str):
                yield what, domain, name
        waiting += list(one.parts())[::-1]


def _missing_requests(document: Mapping[str, Any], requests: Requests, namespace: str) -> Problems:
    """Containers that name a request that their claim has not: the kubelet does not start them."""
    inside = (document.get("metadata") or {}).get("namespace") or namespace
    for spec, path in pod_specs(document):
        sources = {
            entry["name"]: ("ResourceClaim", entry["resourceClaimName"])
            if entry.get("resourceClaimName")
            else ("ResourceClaimTemplate", entry["resourceClaimTemplateName"])
            for entry in spec.get("resourceClaims") or ()
        }
        for key in ("initContainers", "containers"):
            for number, container in enumerate(spec.get(key) or ()):
                for index, used in enumerate((container.get("resources") or {}).get("claims") or ()):
                    kind, name = sources[used["name"]]
                    known = list(requests.get((kind, inside, name), ()))
                    if used.get("request") and used["request"] not in known:
                        place = (*path, key, number, "resources", "claims", index, "request")
                        wanted = used["request"]
                        said = f"{kind} {name!r} has no request {wanted!r}{meant_or_known(wanted, known)}"
                        yield Problem(place, f"the container will not start: {said}")
