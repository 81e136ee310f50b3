"""Workloads that have or ask for the hardware, and what each would become."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drakit.cli.switchover.declared import Declared
from drakit.cli.switchover.holders import Holders
from drakit.cli.switchover.nodes import INSTANCE_TYPE, Nodes
from drakit.cli.switchover.pods import Owner, Owners, asked, count_of, is_over, name_of, node_of, plugged
from drakit.documents import API_VERSION, Document
from drakit.kube.inspection import Inspection
from drakit.plan.catalog import Catalog

_OWNERS = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob")
_SCHEDULER = "default-scheduler"
MOST_TEMPLATES = 3


class Change(enum.StrEnum):
    """What has to be done about a workload."""

    REWRITE = "ask by claim"
    RESTART = "end, then start again"
    KEEP = "keep as it is"


@frozen(kw_only=True)
class Becomes:
    """What asking a device plugin would become. `templates`: those of the catalog that ask for the same, by node type.

    `claim`: a ResourceClaimTemplate's spec that asks for the same and no more; None where no class is known.
    `unchanged`: the extended resources that a DeviceClass could serve, so that the manifest stays as it is.
    """

    devices: Mapping[str, int]
    templates: Mapping[str, tuple[str, ...]]
    claim: Mapping[str, Any] | None
    unchanged: tuple[str, ...]
    notes: tuple[str, ...] = ()


@frozen(kw_only=True)
class Workload:
    """One workload. `asks`: what each of its pods asks of device plugins; `drivers`: whose devices its claims have."""

    owner: Owner
    pods: int
    nodes: tuple[str, ...]
    change: Change
    why: str
    asks: Mapping[str, int] = field(factory=dict)
    drivers: tuple[str, ...] = ()
    becomes: Becomes | None = None


@frozen
class _Group:
    """The pods of one workload, and the specs of its pods: theirs, or the one that they would be made from."""

    pods: list[Document] = field(factory=list)
    specs: list[Mapping[str, Any]] = field(factory=list)


class Workloads:
    """Looks at every workload that could be read."""

    def __init__(self, declared: Declared, found: Inspection, holders: Holders, nodes: Nodes, catalog: Catalog) -> None:
        self._declared = declared
        self._found = found
        self._holders = holders
        self._nodes = nodes
        self._catalog = catalog
        self._types: dict[str, str] = {}
        self._offers: dict[str, Mapping[str, int]] = {}
        for node in found.of("Node"):
            name = name_of(node)
            self._types[name] = str((node["metadata"].get("labels") or {}).get(INSTANCE_TYPE) or "")
            offered = (node.get("status") or {}).get("allocatable") or {}
            self._offers[name] = {resource: count_of(value) for resource, value in offered.items() if "/" in resource}

    def all(self) -> Iterator[Workload]:
        """Those that concern drakit, by name."""
        groups: dict[Owner, _Group] = {}
        owners = Owners([one for kind in _OWNERS for one in self._found.of(kind)])
        for pod in self._found.of("Pod"):
            if not is_over(pod):
                groups.setdefault(owners.top(pod), _Group()).pods.append(pod)
        for document in (one for kind in _OWNERS for one in self._found.of(kind)):
            if not _is_done(document) and _is(owner := owners.top(document), document):
                groups.setdefault(owner, _Group()).specs.append(_pod_spec(document))
        for owner, group in sorted(groups.items()):
            if (workload := self._workload(owner, group)) is not None:
                yield workload

    def _workload(self, owner: Owner, group: _Group) -> Workload | None:
        wanted = [plugged(pod) for pod in group.pods] or [asked(spec) for spec in group.specs]
        asks = _most(counts for counts in wanted)
        asks = {name: count for name, count in sorted(asks.items()) if name in self._declared.resources}
        nodes = sorted({node_of(pod) for pod in group.pods} - {""})
        if asks:
            specs = [*(pod["spec"] for pod in group.pods), *group.specs]
            return Workload(
                owner=owner,
                pods=len(group.pods),
                nodes=tuple(nodes),
                change=Change.REWRITE,
                why="it asks a device plugin",
                asks=asks,
                becomes=self._becomes(asks, nodes, specs),
            )
        return self._by_claim(owner, group.pods, nodes)

    def _by_claim(self, owner: Owner, pods: Sequence[Document], nodes: Sequence[str]) -> Workload | None:
        """A workload that has devices by claims; None if it has none of drivers that drakit serves."""
        leaving: dict[str, str] = {}
        staying: dict[str, str] = {}
        for held in {id(one): one for pod in pods for one in self._holders.of(pod)}.values():
            backend = self._declared.backend_of(held.driver)
            if backend is None:
                continue
            by, other = self._nodes.maker(held.node, backend)
            if by == "drakit" or (other is not None and other.pods_stay):
                staying[held.driver] = f"its devices are {by}'s; pods and claims stay"
            else:
                reason = other.reason if other is not None else "that driver is not known here"
                leaving[held.driver] = f"its devices are {by or 'a driver that is gone'}'s: {reason}"
        if not leaving and not staying:
            return None
        return Workload(
            owner=owner,
            pods=len(pods),
            nodes=tuple(nodes),
            change=Change.RESTART if leaving else Change.KEEP,
            why="; ".join(dict.fromkeys((leaving or staying).values())),
            drivers=tuple(sorted({*leaving, *staying})),
        )

    def _becomes(self, asks: Mapping[str, int], nodes: Sequence[str], specs: Sequence[Mapping[str, Any]]) -> Becomes:
        notes: list[str] = []
        devices: dict[str, int] = {}
        for name, count in asks.items():
            one = self._declared.resources[name]
            if not one.device_class:
                notes.append(f"of {name} no DeviceClass is known")
                continue
            wanted = self._devices(name, count, nodes, notes)
            devices[one.device_class] = devices.get(one.device_class, 0) + wanted
        notes += _scheduler_notes(specs)
        whole = [name for name in asks if not self._declared.resources[name].part_of]
        return Becomes(
            devices=devices,
            templates=self._templates(devices, asks, nodes),
            claim=_claim(devices) if devices else None,
            unchanged=tuple(name for name in whole if self._declared.resources[name].device_class),
            notes=tuple(notes),
        )

    def _devices(self, name: str, count: int, nodes: Sequence[str], notes: list[str]) -> int:
        """How many devices so many units of a resource are; a part of a device is taken for the whole."""
        wholes = self._declared.resources[name].part_of
        if not wholes:
            return count
        for node in (*nodes, *self._offers):
            offered = self._offers.get(node, {})
            whole = next((offered[one] for one in wholes if offered.get(one)), 0)
            if whole and offered.get(name):
                per_device = max(1, offered[name] // whole)
                notes.append(f"{name} are parts of devices, {per_device} to one here; claims are for whole devices")
                return math.ceil(count / per_device)
        notes.append(f"{name} are parts of devices; how many to one no node says: one device is assumed")
        return 1

    def _templates(
        self, devices: Mapping[str, int], asks: Mapping[str, int], nodes: Sequence[str]
    ) -> dict[str, tuple[str, ...]]:
        places = nodes or [node for node, offered in self._offers.items() if all(offered.get(name) for name in asks)]
        types = sorted({self._types.get(node, "") for node in places} - {""})
        return {one: tuple(self._fitting(one, devices)) for one in types}

    def _fitting(self, node_type: str, devices: Mapping[str, int]) -> list[str]:
        """Templates of one claim that asks for exactly these devices."""
        names = []
        for name, template in self._catalog.templates.items():
            variant = template.variants.get(node_type)
            if variant is None or len(variant.claims) != 1 or template.plugin_options:
                continue
            counts: dict[str, int] = {}
            for _, count, device_class in variant.claims[0].requests:
                counts[device_class] = counts.get(device_class, 0) + (count or 0)
            if counts == devices:
                names.append(name)
        return names[:MOST_TEMPLATES]


def _claim(devices: Mapping[str, int]) -> Mapping[str, Any]:
    """A ResourceClaimTemplate that asks for so many devices of each class."""
    requests = [
        {"name": f"devices-{index}", "exactly": {"deviceClassName": name, "count": count}}
        for index, (name, count) in enumerate(devices.items())
    ]
    return {
        "apiVersion": API_VERSION,
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": "devices"},
        "spec": {"spec": {"devices": {"requests": requests}}},
    }


def _scheduler_notes(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    names = sorted({str(spec.get("schedulerName") or _SCHEDULER) for spec in specs} - {_SCHEDULER})
    return [f"take schedulerName {name} out: the default scheduler allocates claims" for name in names]


def _most(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    most: dict[str, int] = {}
    for one in counts:
        for name, count in one.items():
            most[name] = max(most.get(name, 0), count)
    return most


def _is(owner: Owner, document: Document) -> bool:
    """Whether it is this object itself, and none above it."""
    return (owner.kind, owner.name) == (document["kind"], name_of(document))


def _pod_spec(document: Document) -> Mapping[str, Any]:
    spec: Mapping[str, Any] = document.get("spec") or {}
    if document["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    template: Mapping[str, Any] = (spec.get("template") or {}).get("spec") or {}
    return template


def _is_done(document: Document) -> bool:
    """Whether a Job has ended."""
    conditions = (document.get("status") or {}).get("conditions") or ()
    return document["kind"] == "Job" and any(
        one.get("type") in ("Complete", "Failed") and one.get("status") == "True" for one in conditions
    )
