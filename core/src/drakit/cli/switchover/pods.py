"""What pods have and ask for, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from drakit.documents import Document
from drakit.errors import LimitExceeded
from drakit.model import Quantity

Counts = Mapping[str, int]
"""By name of an extended resource."""

FINISHED = ("Succeeded", "Failed")


def name_of(document: Document) -> str:
    """The name of an object."""
    return str(document["metadata"]["name"])


def namespace_of(document: Document) -> str:
    """The namespace of an object; empty for one that is in none."""
    return str(document["metadata"].get("namespace") or "")


def full_name(document: Document) -> str:
    """Namespace and name."""
    return f"{namespace_of(document)}/{name_of(document)}"


def is_over(pod: Document) -> bool:
    """Whether a pod has ended, so that it has nothing any more."""
    return (pod.get("status") or {}).get("phase") in FINISHED


def node_of(pod: Document) -> str:
    """The node of a pod; empty if it has none yet."""
    return str((pod.get("spec") or {}).get("nodeName") or "")


def count_of(value: Any) -> int:
    """How many a quantity of an extended resource is; what cannot be read is none."""
    try:
        return int(Quantity(value).nanos // 10**9)
    except (LimitExceeded, TypeError):
        return 0


def asked(spec: Mapping[str, Any]) -> dict[str, int]:
    """The extended resources that a pod of this spec needs at a time, as a scheduler counts them."""
    together: dict[str, int] = {}
    first: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        counts = _of_container(container)
        if container.get("restartPolicy") == "Always":
            _add(together, counts)
        for name, count in counts.items():
            first[name] = max(first.get(name, 0), count)
    for container in spec.get("containers") or ():
        _add(together, _of_container(container))
    names = dict.fromkeys((*together, *first))
    return {name: most for name in names if (most := max(together.get(name, 0), first.get(name, 0)))}


def _of_container(container: Mapping[str, Any]) -> dict[str, int]:
    given = container.get("resources") or {}
    wanted = {**(given.get("limits") or {}), **(given.get("requests") or {})}
    return {name: count_of(value) for name, value in wanted.items() if "/" in name}


def _add(counts: dict[str, int], more: Counts) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count


def by_claim(pod: Document) -> set[str]:
    """The extended resources that a pod was given by a claim and by no device plugin."""
    status = (pod.get("status") or {}).get("extendedResourceClaimStatus") or {}
    return {str(one.get("resourceName")) for one in status.get("requestMappings") or ()}


def plugged(pod: Document) -> dict[str, int]:
    """The extended resources that a pod has or wants from device plugins."""
    given = by_claim(pod)
    return {name: count for name, count in asked(pod.get("spec") or {}).items() if name not in given}


def claims_of(pod: Document) -> Iterator[str]:
    """The names of the claims that a pod has, as far as they are made."""
    status = pod.get("status") or {}
    made = {one.get("name"): one.get("resourceClaimName") for one in status.get("resourceClaimStatuses") or ()}
    for entry in (pod.get("spec") or {}).get("resourceClaims") or ():
        if name := entry.get("resourceClaimName") or made.get(entry.get("name")):
            yield str(name)
    if name := (status.get("extendedResourceClaimStatus") or {}).get("resourceClaimName"):
        yield str(name)


def image_names(spec: Mapping[str, Any]) -> set[str]:
    """What the images of a pod are called, without registry, tag and digest."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    names = (str(container.get("image") or "").partition("@")[0].rpartition("/")[2] for container in containers)
    return {name.partition(":")[0] for name in names}


@frozen(order=True)
class Owner:
    """What a pod is of: the highest of its owners that is known by name; the pod itself if there is none."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class Owners:
    """Who owns what, by the objects that could be read."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._known = {document["metadata"]["uid"]: document for document in documents}

    def top(self, document: Document) -> Owner:
        """The highest owner of an object."""
        seen: set[str] = set()
        while (reference := _controller(document)) is not None:
            found = self._known.get(reference["uid"])
            if found is None or reference["uid"] in seen:
                return Owner(namespace_of(document), str(reference["kind"]), str(reference["name"]))
            seen.add(reference["uid"])
            document = found
        return Owner(namespace_of(document), str(document["kind"]), name_of(document))


def _controller(document: Document) -> Mapping[str, Any] | None:
    references = document["metadata"].get("ownerReferences") or ()
    return next((one for one in references if one.get("controller")), None)
