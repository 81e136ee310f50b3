"""The DeviceClasses that drakit's plugins need, beside those that a cluster has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from drakit.cli.switchover.declared import Declared
from drakit.cli.switchover.pods import name_of
from drakit.documents import Document
from drakit.kube.inspection import Inspection

MISSING, SAME, DIFFERENT = "missing", "same", "different"
_RELEASE = "meta.helm.sh/release-name"
_NAMESPACE = "meta.helm.sh/release-namespace"


@frozen(kw_only=True)
class ClassState:
    """One DeviceClass of a plugin. `remark` says what follows from what the cluster has; empty if nothing does."""

    name: str
    state: str
    extended_resource: str = ""
    remark: str = ""


def class_states(declared: Declared, found: Inspection) -> Iterator[ClassState]:
    """Each class of the plugins, as the cluster has it. Nothing where classes cannot be read."""
    if "DeviceClass" not in found.documents:
        return
    there = {name_of(one): one for one in found.of("DeviceClass")}
    for wanted in declared.classes:
        name = name_of(wanted)
        yield _state(wanted, there[name]) if name in there else ClassState(name=name, state=MISSING)


def classes_of_resources(found: Inspection) -> dict[str, list[str]]:
    """By extended resource, the classes of the cluster that serve it."""
    served: dict[str, list[str]] = {}
    for document in found.of("DeviceClass"):
        if resource := (document.get("spec") or {}).get("extendedResourceName"):
            served.setdefault(str(resource), []).append(name_of(document))
    return served


def _state(wanted: Document, found: Document) -> ClassState:
    same = _essence(wanted) == _essence(found)
    spec = found.get("spec") or {}
    return ClassState(
        name=name_of(wanted),
        state=SAME if same else DIFFERENT,
        extended_resource=str(spec.get("extendedResourceName") or ""),
        remark="; ".join(_remarks(found, same=same)),
    )


def _remarks(found: Document, *, same: bool) -> Iterator[str]:
    metadata = found["metadata"]
    annotations = metadata.get("annotations") or {}
    if not same:
        expressions = " && ".join(_expressions(found)) or "every device"
        yield (
            f"selects otherwise than drakit's: {expressions}. Take the one of `drakit classes`, or give the backend "
            "another `deviceClass`"
        )
    if (release := annotations.get(_RELEASE)) and not _ours(found):
        where = f"{annotations.get(_NAMESPACE, '')}/{release}".lstrip("/")
        yield f"belongs to Helm release {where} and goes with it: apply it again when that is uninstalled"
    elif not release and not _ours(found):
        yield "belongs to no Helm release: install with deviceClasses.create=false, or have Helm adopt it"


def _ours(found: Document) -> bool:
    labels = found["metadata"].get("labels") or {}
    return str(labels.get("helm.sh/chart") or "").startswith("drakit-")


def _essence(document: Document) -> tuple[list[str], Any]:
    """What a class selects and configures, without how it is written."""
    spec: Mapping[str, Any] = document.get("spec") or {}
    return list(_expressions(document)), spec.get("config") or []


def _expressions(document: Document) -> Iterator[str]:
    for selector in (document.get("spec") or {}).get("selectors") or ():
        yield " ".join(str((selector.get("cel") or {}).get("expression") or "").split())
