"""Manifests as a whole: every document checked, references followed, and the pods they come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drakit.documents import Document
from drakit.errors import ConfigError
from drakit.plan.claims import DeviceClass, claim_from_template
from drakit.plan.workload.kinds import IGNORED, KINDS, check_document
from drakit.plan.workload.notes import notes_of
from drakit.plan.workload.parts import device_requests, normal, pod_specs, request_names
from drakit.plan.workload.problems import Path, Problem, Problems, meant_or_known
from drakit.plan.workload.reading import Located

MAX_PODS = 10_000
MAX_TOLD = 40
"""So many problems are told at once."""
ADMIN_LABEL = "resource.kubernetes.io/admin-access"

Key = tuple[str, str, str]
"""Kind, namespace and name; classes and namespaces are in namespace ""."""


class InvalidWorkload(ConfigError):
    """Documents that the API server would refuse, or that refer to what is not there: `problems` are all of them."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        told = list(problems[:MAX_TOLD])
        if len(problems) > MAX_TOLD:
            told.append(f"and {len(problems) - MAX_TOLD} more")
        super().__init__("\n".join(told))


@frozen(eq=False)
class ClaimUse:
    """One claim of a pod: `name` is what the pod calls it, `shared` whether other pods may have the very same."""

    name: str
    document: Document
    shared: bool = False
    template: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name of the claim."""
        metadata = self.document["metadata"]
        return metadata.get("namespace") or "", metadata.get("name") or ""


@frozen(eq=False, kw_only=True)
class PlannedPod:
    """One pod that is to be placed. `alike` is the same for the pods of one template; `per_node`: one for each node.

    `owner` is the workload it is of, such as `Deployment web`; `bare`: there is no pod, but a claim or a claim template
    that is planned as if a pod had it. `lacking` is what it waits for before any node is looked for.
    """

    name: str
    namespace: str
    owner: str
    spec: Mapping[str, Any]
    claims: tuple[ClaimUse, ...]
    alike: object
    per_node: bool = False
    bare: bool = False
    lacking: str = ""


@frozen(eq=False, kw_only=True)
class Workload:
    """What files ask for: pods in their order, the device classes among them, and what is to be known of the answer."""

    pods: tuple[PlannedPod, ...]
    classes: Mapping[str, DeviceClass]
    claims: tuple[Document, ...]
    """The ResourceClaims among the documents, as they are written; some may be allocated already."""
    notes: tuple[str, ...] = ()
    namespace: str = "default"
    located: tuple[Located, ...] = field(default=(), repr=False)
    requests: Mapping[Key, tuple[str, ...]] = field(factory=dict, repr=False)
    """The names of requests, by the kind, namespace and name of their claim or template."""

    @property
    def works(self) -> bool:
        """Whether there is a document that stands for pods, be it for none."""
        return bool(self.pods) or any(KINDS[one.document["kind"]].pods is not None for one in self.located)

    @classmethod
    def of(
        cls,
        documents: Iterable[Located],
        *,
        namespace: str = "default",
        others: Iterable[Mapping[str, Any]] = (),
    ) -> Workload:
        """Check documents and expand them. `others` are there already: classes, claims, templates.

        Raises InvalidWorkload with everything that is wrong.
        """
        given = [one for one in documents if _kind(one.document) not in IGNORED]
        refuse_invalid(given)
        book = _Book(given, namespace, others)
        _refuse(book.problems())
        pods = tuple(_expanded(book))
        classes = {
            name: DeviceClass.from_document(document)
            for (kind, _, name), document in book.known.items()
            if kind == "DeviceClass"
        }
        claims = tuple(document for (kind, _, _), document in book.known.items() if kind == "ResourceClaim")
        return cls(
            pods=pods,
            classes=classes,
            claims=claims,
            notes=notes_of(given),
            namespace=namespace,
            located=tuple(given),
            requests={key: tuple(request_names(document)) for key, document in book.known.items()},
        )


def refuse_invalid(documents: Iterable[Located]) -> None:
    """Raise InvalidWorkload for what the API server would refuse of each document by itself."""
    _refuse((one, problem) for one in documents for problem in check_document(one.document))


def _refuse(found: Iterable[tuple[Located, Problem]]) -> None:
    """Raise InvalidWorkload if there is any problem, those of a file in the order of its lines."""
    listed = list(found)
    listed.sort(key=lambda item: (item[0].source, item[0].line(item[1].path) or 0))
    if listed:
        raise InvalidWorkload([one.told(problem) for one, problem in listed])


class _Book:
    """All documents by kind, namespace and name."""

    def __init__(self, given: Sequence[Located], namespace: str, others: Iterable[Mapping[str, Any]]) -> None:
        self.given = given
        self.namespace = namespace
        self.places: dict[Key, list[Located]] = {}
        self.known: dict[Key, Document] = {self._key(one): normal(one) for one in others}
        for one in given:
            key = self._key(one.document)
            self.places.setdefault(key, []).append(one)
            self.known[key] = normal(one.document)

    def _key(self, document: Mapping[str, Any]) -> Key:
        kind = document["kind"]
        return kind, self.namespace_of(document), str((document.get("metadata") or {}).get("name") or "")

    def namespace_of(self, document: Mapping[str, Any]) -> str:
        """The namespace a document would be in."""
        if document["kind"] in ("DeviceClass", "Namespace"):
            return ""
        return (document.get("metadata") or {}).get("namespace") or self.namespace

    def names(self, kind: str, namespace: str) -> list[str]:
        """The names of a kind that there are in a namespace."""
        return [name for known, inside, name in self.known if (known, inside) == (kind, namespace)]

    def problems(self) -> Iterator[tuple[Located, Problem]]:
        """What is there twice, and what refers to nothing."""
        for places in self.places.values():
            for one in places[1:]:
                if (one.document.get("metadata") or {}).get("name"):
                    yield one, Problem(("metadata", "name"), f"is there twice: also at {places[0].place()}")
        for one in self.given:
            for problem in self._references(one.document):
                yield one, problem

    def _references(self, document: Mapping[str, Any]) -> Problems:
        kind = document["kind"]
        if kind in ("ResourceClaim", "ResourceClaimTemplate"):
            path: Path = ("spec",) if kind == "ResourceClaim" else ("spec", "spec")
            yield from self._classes(document, path)
            return
        for spec, path in pod_specs(document):
            namespace = self.namespace_of(document)
            for index, entry in enumerate(spec.get("resourceClaims") or ()):
                for key, wanted_kind in _SOURCES.items():
                    names = self.names(wanted_kind, namespace)
                    if (wanted := entry.get(key)) and wanted not in names:
                        said = f"there is no {wanted_kind} {wanted!r} in namespace {namespace!r}"
                        hint = meant_or_known(wanted, names)
                        yield Problem((*path, "resourceClaims", index, key), f"{said}{hint}")

    def _classes(self, document: Mapping[str, Any], path: Path) -> Problems:
        names = self.names("DeviceClass", "")
        for request, inside in device_requests(document, path):
            wanted = request["deviceClassName"]
            if wanted not in names:
                said = f"there is no DeviceClass {wanted!r}{meant_or_known(wanted, names)}"
                yield Problem((*inside, "deviceClassName"), said)
            if request.get("adminAccess"):
                yield from self._admin(document, (*inside, "adminAccess"))

    def _admin(self, document: Mapping[str, Any], path: Path) -> Problems:
        name = self.namespace_of(document)
        namespace = self.known.get(("Namespace", "", name))
        if namespace is not None and (namespace["metadata"].get("labels") or {}).get(ADMIN_LABEL) != "true":
            yield Problem(path, f'Forbidden: namespace {name!r} must have the label `{ADMIN_LABEL}: "true"`')


_SOURCES = {"resourceClaimName": "ResourceClaim", "resourceClaimTemplateName": "ResourceClaimTemplate"}


def _expanded(book: _Book) -> Iterator[PlannedPod]:
    pods = 0
    for one in book.given:
        kind = KINDS[one.document["kind"]]
        if kind.pods is None:
            continue
        for name, template, path in kind.pods(one.document):
            pods += 1
            if pods > MAX_PODS:
                said = f"comes to more than {MAX_PODS} pods together; plan fewer, or ask with --fit how many fit"
                raise InvalidWorkload([one.told(Problem(kind.counted, said))])
            yield _pod(book, one, name, template, path)
    yield from _bare(book)


def _pod(book: _Book, one: Located, name: str, template: Mapping[str, Any], path: Path) -> PlannedPod:
    document, spec = one.document, template.get("spec") or {}
    namespace = book.namespace_of(document)
    claims = tuple(_use(book, namespace, name, entry) for entry in spec.get("resourceClaims") or ())
    kind = document["kind"]
    return PlannedPod(
        name=name,
        namespace=namespace,
        owner="" if kind == "Pod" else f"{kind} {document['metadata'].get('name') or name}",
        spec=spec,
        claims=claims,
        alike=(id(document), path),
        per_node=KINDS[kind].per_node,
    )


def _use(book: _Book, namespace: str, pod: str, entry: Mapping[str, Any]) -> ClaimUse:
    if claim := entry.get("resourceClaimName"):
        found = book.known["ResourceClaim", namespace, claim]
        return ClaimUse(entry["name"], _within(found, namespace), shared=True)
    template = entry["resourceClaimTemplateName"]
    return claim_for(book.known["ResourceClaimTemplate", namespace, template], namespace, pod, entry["name"])


def claim_for(template: Mapping[str, Any], namespace: str, pod: str, name: str) -> ClaimUse:
    """The claim that is made of a template for a pod."""
    made = claim_from_template(template, f"{pod}-{name}", namespace, "", name)
    return ClaimUse(name, made, template=template["metadata"]["name"])


def _bare(book: _Book) -> Iterator[PlannedPod]:
    """Claims and templates that no pod in the documents refers to, each as one pod that has it."""
    used = {
        (kind, book.namespace_of(one.document), entry[key])
        for one in book.given
        for spec, _ in pod_specs(one.document)
        for entry in spec.get("resourceClaims") or ()
        for key, kind in _SOURCES.items()
        if entry.get(key)
    }
    for (kind, namespace, name), (one, *_) in book.places.items():
        if kind not in _SOURCES.values() or (kind, namespace, name) in used:
            continue
        document = book.known[kind, namespace, name]
        if kind == "ResourceClaim":
            use = ClaimUse(name, _within(document, namespace), shared=True)
        else:
            use = ClaimUse(name, claim_from_template(document, name, namespace, ""), template=name)
        yield PlannedPod(
            name=name, namespace=namespace, owner=f"{kind} {name}", spec={}, claims=(use,), alike=id(one), bare=True
        )


def _within(claim: Document, namespace: str) -> Document:
    return claim | {"metadata": {**(claim.get("metadata") or {}), "namespace": namespace}}


def _kind(document: object) -> str:
    kind = document.get("kind") if isinstance(document, Mapping) else None
    return kind if isinstance(kind, str) else ""
