"""Where the state of a cluster comes from: node types, files, or a cluster that runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from attrs import field, frozen

from drakit.cli import BadInput
from drakit.cli.nodetypes import survey_of
from drakit.decoding import read_text
from drakit.documents import API_VERSION, Document
from drakit.errors import ConfigError, DRAError, describe
from drakit.loading import load_installed
from drakit.model.names import check_driver_name, check_pool_name
from drakit.plan import SliceSet, read_slices
from drakit.plan.placing import PlannedNode, check_held
from drakit.plan.workload import Located, meant, read_documents, refuse_invalid
from drakit.testing.nodes import machine_type

T = TypeVar("T")

MAX_NODES = 5_000
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
HOSTNAME = "kubernetes.io/hostname"
STDIN = "-"
_STANDS_IN = "the devices of {driver} on {type} are stand-ins for those of that driver, which is none of the plugins'"


@frozen(kw_only=True)
class Source:
    """What there is to plan on. `others` are documents of it that workloads may refer to: classes, claims, templates.

    `problems` are what went wrong on the way, in parts of it that are left out; `documents` are the slices as given,
    and `notes` what else is to be said of it.
    """

    nodes: tuple[PlannedNode, ...]
    slices: SliceSet
    documents: tuple[Document, ...] = ()
    others: tuple[Document, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pods: tuple[Document, ...] = ()
    version: str | None = None


def read_input(path: Path) -> tuple[str, str]:
    """The text of a file, or of stdin for `-`, and what it is called. Raises ConfigError."""
    if str(path) != STDIN:
        return read_text(path), str(path)
    try:
        return sys.stdin.buffer.read().decode(), "stdin"
    except UnicodeDecodeError:
        raise ConfigError("cannot read stdin: it is not text in UTF-8") from None


def shipped_classes() -> Iterator[Document]:
    """The device classes that the installed plugins bring, and those of other drivers that their templates use.

    Of one name there is one: a plugin's own comes first.
    """
    found: dict[str, Document] = {}
    for folder in ("deviceclasses", "others"):
        for plugin in load_installed().loaded.values():
            if (data := plugin.declarations.data) is not None:
                for path in sorted((data / folder).glob("*.yaml")):
                    for one in read_documents(*read_input(path)):
                        found.setdefault(one.document["metadata"]["name"], one.document)
    yield from found.values()


def of_types(wanted: Sequence[str], config: Path | None) -> Source:
    """Nodes of some types, each `TYPE` or `TYPE=COUNT`, in this order; what they have is what their backends say."""
    counted: dict[str, int] = {}
    for one in wanted:
        node_type, _, number = one.partition("=")
        counted[node_type] = counted.get(node_type, 0) + _count(one, number)
    if sum(counted.values()) > MAX_NODES:
        raise BadInput(f"--node: {sum(counted.values())} nodes are more than can be planned at once ({MAX_NODES})")
    nodes: list[PlannedNode] = []
    documents: list[Document] = []
    problems: list[str] = []
    notes: list[str] = []
    for node_type, count in counted.items():
        first = survey_of(node_type, config, stand_ins=True)
        notes += [_STANDS_IN.format(driver=driver, type=node_type) for driver in first.stand_ins]
        plain = first.node.settings.node_name
        problems += [f"{node_type}: {of}: {problem}" for of, problem in first.problems]
        for place in range(count):
            name = f"{plain}-{place + 1}" if count > 1 else plain
            labels = {INSTANCE_TYPE: machine_type(node_type), HOSTNAME: name, "kubernetes.io/os": "linux"}
            nodes.append(PlannedNode(name, labels, node_type))
            documents += _renamed(first.slices, plain, name, first_of_type=not place)
    return Source(
        nodes=tuple(nodes),
        slices=read_slices(documents),
        documents=tuple(documents),
        others=tuple(shipped_classes()),
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _count(given: str, number: str) -> int:
    if "=" not in given:
        return 1
    if not number.isdigit() or len(number) > 9 or not int(number):
        raise BadInput(f"--node {given!r}: how many must be a number from 1 on, as in TYPE=4")
    return int(number)


def _renamed(slices: Iterable[Document], plain: str, name: str, *, first_of_type: bool) -> Iterator[Document]:
    """The slices of a node for another of its type; pools that are not of one node are there once."""
    for index, document in enumerate(slices):
        spec = document["spec"]
        if spec.get("nodeName") != plain and not first_of_type:
            continue
        pool = spec["pool"]
        changed: Document = {"pool": {**pool, "name": name if pool["name"] == plain else pool["name"]}}
        if spec.get("nodeName") == plain:
            changed["nodeName"] = name
        begin = document["metadata"].get("generateName", "").replace(f"-{plain}-", f"-{name}-")
        yield document | {"metadata": {"name": f"{begin}{index}"}, "spec": spec | changed}


_KINDS = {
    "ResourceSlice": API_VERSION,
    "ResourceClaim": API_VERSION,
    "ResourceClaimTemplate": API_VERSION,
    "DeviceClass": API_VERSION,
    "Node": "v1",
    "Pod": "v1",
}


_CHECKED = ("DeviceClass", "ResourceClaim", "ResourceClaimTemplate")


@frozen
class _Sorted:
    """Documents by kind."""

    found: dict[str, list[Located]] = field(factory=dict)

    def of(self, kind: str) -> list[Located]:
        """Those of a kind."""
        return self.found.get(kind, [])


def of_file(path: Path) -> Source:
    """Slices as kubectl prints them, and Nodes, DeviceClasses and ResourceClaims where they are in the file too."""
    text, name = read_input(path)
    by_kind = _Sorted()
    for one in read_documents(text, name):
        kind = one.document.get("kind") if isinstance(one.document, Mapping) else None
        if not isinstance(kind, str) or kind not in _KINDS:
            hint = meant(kind, _KINDS) or f"; there may be {', '.join(_KINDS)}, and Lists of them"
            raise BadInput(f"{one.place(('kind',))}: kind {kind!r} is nothing of a cluster to plan on{hint}")
        if (version := one.document.get("apiVersion")) != _KINDS[kind]:
            raise BadInput(f"{one.place(('apiVersion',))}: {kind}: apiVersion must be {_KINDS[kind]}, not {version!r}")
        by_kind.found.setdefault(kind, []).append(one)
    if not by_kind.of("ResourceSlice"):
        raise BadInput(f"{name}: has no ResourceSlice; write it with kubectl get resourceslices -o json")
    refuse_invalid(one for kind in _CHECKED for one in by_kind.of(kind))
    for one in by_kind.of("ResourceClaim"):
        _shaped(one, check_held)
    slices = _slices(by_kind.of("ResourceSlice"))
    nodes = [_shaped(one, PlannedNode.of_document) for one in by_kind.of("Node")]
    classes = [one.document for one in by_kind.of("DeviceClass")]
    others = [one.document for kind in _CHECKED[1:] for one in by_kind.of(kind)]
    return Source(
        nodes=tuple(nodes) or tuple(_named_in(one.document for one in by_kind.of("ResourceSlice"))),
        slices=slices,
        documents=tuple(one.document for one in by_kind.of("ResourceSlice")),
        others=(*(classes or shipped_classes()), *others),
    )


def _slices(located: Sequence[Located]) -> SliceSet:
    """All slices; where one is at fault, it is named with its line. Raises BadInput."""
    for one in located:
        _shaped(one, _check_names)
    try:
        return read_slices([one.document for one in located])
    except (DRAError, AttributeError, KeyError, TypeError, ValueError) as error:
        for one in located:
            _shaped(one, lambda document: read_slices([document]))
        raise BadInput(f"{located[0].source}: {describe(error)}") from None


def _check_names(document: Document) -> None:
    spec = document.get("spec") or {}
    check_driver_name("spec.driver", str(spec.get("driver") or "").lower())
    check_pool_name("spec.pool.name", (spec.get("pool") or {}).get("name"))


def _shaped(one: Located, read: Callable[[Document], T]) -> T:
    try:
        return read(one.document)
    except DRAError as error:
        raise BadInput(f"{one.place()}: {error}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{one.place()}: {one.label}is not formed as its kind is: {describe(error)}") from None


def _named_in(documents: Iterable[Mapping[str, Any]]) -> Iterator[PlannedNode]:
    """The nodes that slices name; one without a name where none does."""
    names: dict[str, None] = {}
    for document in documents:
        spec = document["spec"]
        entries = [spec, *(spec.get("devices") or ())] if spec.get("perDeviceNodeSelection") else [spec]
        names |= dict.fromkeys(entry["nodeName"] for entry in entries if entry.get("nodeName"))
    for name in names:
        yield PlannedNode(name, {HOSTNAME: name})
    if not names:
        yield PlannedNode("any-node")
