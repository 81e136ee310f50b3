"""Each node: what serves its hardware now, who would be in the way of drakit, and what that comes to."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from drakit.cli.switchover.declared import Backend, Declared, OtherDriver
from drakit.cli.switchover.holders import Holders
from drakit.cli.switchover.pods import count_of, full_name, image_names, is_over, name_of, node_of, plugged
from drakit.documents import API_VERSION, Document
from drakit.kube.inspection import Inspection
from drakit.node import kubelet_advice

OURS = "drakit"
"""The field manager of what drakit's agents write, and what their image is called."""
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
OLDEST = (1, 34)


class Verdict(enum.StrEnum):
    """What a node comes to, the worst first."""

    UPGRADE = "upgrade first"
    UNKNOWN = "not known"
    DRAIN = "drain first"
    READY = "ready to switch"
    NOTHING = "nothing to do"


ORDER = {verdict: place for place, verdict in enumerate(Verdict)}


@frozen(kw_only=True)
class Served:
    """How one driver's hardware is served on a node.

    `by`: whose slices there are, in words, empty without any. `plugins`: resources of device plugins, and how many.
    `claims` and `pods` have devices through the driver, `plugged` pods through a device plugin.
    """

    driver: str
    ours: bool
    by: str = ""
    devices: int = 0
    plugins: Mapping[str, int]
    plugged: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    verdict: Verdict
    reason: str


@frozen(kw_only=True)
class NodeState:
    """One node. `elsewhere`: what others offer here that no plugin of drakit has to do with."""

    name: str
    instance_type: str
    kubelet: str
    served: tuple[Served, ...]
    elsewhere: tuple[str, ...]
    verdict: Verdict
    reasons: tuple[str, ...]


class Nodes:
    """Judges nodes by what could be read."""

    def __init__(self, declared: Declared, found: Inspection, holders: Holders) -> None:
        self._declared = declared
        self._found = found
        self._holders = holders
        self._pods: dict[str, list[Document]] = {}
        for pod in found.of("Pod"):
            if not is_over(pod):
                self._pods.setdefault(node_of(pod), []).append(pod)
        self._slices: dict[str, dict[str, list[Document]]] = {}
        for one in found.of("ResourceSlice"):
            of_node = self._slices.setdefault(str(one["spec"].get("nodeName") or ""), {})
            of_node.setdefault(str(one["spec"]["driver"]), []).append(one)

    def states(self) -> Iterator[NodeState]:
        """Every node."""
        for node in self._found.of("Node"):
            yield self._state(node)

    def maker(self, node: str, backend: Backend) -> tuple[str, OtherDriver | None]:
        """Whose slices of a driver there are on a node, in words, and the other driver if it is a known one."""
        slices = self._slices_of(node, backend.driver)
        managers = [manager for manager in map(_manager, slices) if manager]
        if OURS in managers:
            return OURS, None
        # Who does not say so in its slices is known by what it runs.
        running: set[str] = set() if managers else self._images_on(node)
        for other in backend.others:
            if set(managers) & set(other.managers) or running & set(other.images):
                return other.title, other
        if not slices:
            return "", None
        return f"a driver that is not known here ({', '.join(sorted(set(managers))) or 'unnamed'})", None

    def _images_on(self, node: str) -> set[str]:
        return {name for pod in self._pods.get(node, ()) for name in image_names(pod["spec"])}

    def _state(self, node: Document) -> NodeState:
        status: Mapping[str, Any] = node.get("status") or {}
        allocatable = {name: count_of(value) for name, value in (status.get("allocatable") or {}).items()}
        name = name_of(node)
        served = [
            one for backend in self._declared.backends if (one := self._served(name, allocatable, backend)) is not None
        ]
        worst = min((one.verdict for one in served), key=ORDER.__getitem__, default=Verdict.NOTHING)
        reasons = [f"{one.driver}: {one.reason}" for one in served if one.verdict is not Verdict.NOTHING]
        if served and (advice := kubelet_advice(node)):
            reasons.append(advice)
            worst = Verdict.UPGRADE if _is_too_old(status) else worst
        if served and self._found.serves is False:
            reasons.append(f"the cluster does not serve {API_VERSION}")
            worst = Verdict.UPGRADE
        labels = node["metadata"].get("labels") or {}
        return NodeState(
            name=name,
            instance_type=str(labels.get(INSTANCE_TYPE) or ""),
            kubelet=str((status.get("nodeInfo") or {}).get("kubeletVersion") or "").removeprefix("v"),
            served=tuple(served),
            elsewhere=tuple(self._elsewhere(name, allocatable)),
            verdict=worst,
            reasons=tuple(reasons),
        )

    def _served(self, node: str, allocatable: Mapping[str, int], backend: Backend) -> Served | None:
        """How a driver stands on a node; None where nothing there is of its hardware."""
        names = {one.resource for one in backend.device_plugins}
        plugins = {name: count for name in sorted(names) if (count := allocatable.get(name, 0))}
        pods = [pod for pod in self._pods.get(node, ()) if not names.isdisjoint(plugged(pod))]
        by, other = self.maker(node, backend)
        held = self._holders.on(node, backend.driver)
        if not (by or plugins or pods or held):
            return None
        users = tuple(sorted({full_name(pod) for one in held for pod in one.pods if node_of(pod) == node}))
        plugged_pods = tuple(sorted(map(full_name, pods)))
        claims = tuple(sorted(one.claim for one in held))
        judged = [(Verdict.NOTHING, "served by drakit")]
        if plugged_pods or plugins:
            judged.append(self._beside_plugin(plugins, plugged_pods))
        if by != OURS and (by or held):
            judged.append(self._beside_driver(by or self._nobody(), other, claims, users))
        verdict = min((one for one, _ in judged), key=ORDER.__getitem__)
        reason = "; ".join(why for one, why in judged if one is not Verdict.NOTHING) or judged[0][1]
        return Served(
            driver=backend.driver,
            ours=by == OURS,
            by=by,
            devices=_devices(self._slices_of(node, backend.driver)),
            plugins=plugins,
            plugged=plugged_pods,
            claims=claims,
            pods=users,
            verdict=verdict,
            reason=reason,
        )

    def _nobody(self) -> str:
        """Who serves what has no slices."""
        unread = "ResourceSlice" not in self._found.documents
        return "a driver whose slices could not be read" if unread else "a driver that is gone"

    def _beside_plugin(self, plugins: Mapping[str, int], pods: Sequence[str]) -> tuple[Verdict, str]:
        """What it comes to where there is a device plugin, and why."""
        if pods:
            return Verdict.DRAIN, f"{_having(pods)} devices from a device plugin, which drakit gives way to"
        if "Pod" not in self._found.documents:
            return Verdict.UNKNOWN, "whether pods have devices from the device plugin could not be read"
        return Verdict.READY, f"a device plugin offers {', '.join(plugins)}, and no pod has any of it"

    def _beside_driver(
        self, by: str, other: OtherDriver | None, claims: Sequence[str], users: Sequence[str]
    ) -> tuple[Verdict, str]:
        """What it comes to where another DRA driver serves the hardware, and why."""
        if other is not None and other.pods_stay:
            who = f"{_having(users)} devices, and may keep them" if users else "pods may keep devices"
            return Verdict.READY, f"{by} serves it; {who}: {other.reason}"
        if "ResourceClaim" not in self._found.documents:
            return Verdict.UNKNOWN, f"{by} serves it, and whether claims have devices here could not be read"
        if not claims:
            return Verdict.READY, f"{by} serves it, and no claim has any of it"
        who = _having(users) if users else f"no pod, but claim {_some(claims)} has"
        why = other.reason if other is not None else "whether its pods run on under another driver is not known"
        return Verdict.DRAIN, f"{who} devices from {by}: {why}"

    def _elsewhere(self, node: str, allocatable: Mapping[str, int]) -> Iterator[str]:
        own = {backend.driver for backend in self._declared.backends}
        for name, count in sorted(allocatable.items()):
            if "/" in name and count and name not in self._declared.resources:
                yield f"{name}: {count} (device plugin)"
        for driver, slices in sorted(self._slices.get(node, {}).items()):
            if driver not in own:
                yield f"{driver}: {_devices(slices)} (DRA)"

    def _slices_of(self, node: str, driver: str) -> Sequence[Document]:
        return self._slices.get(node, {}).get(driver, ())


def _devices(slices: Sequence[Document]) -> int:
    return sum(len(one["spec"].get("devices") or ()) for one in slices)


def _having(pods: Sequence[str]) -> str:
    return f"pod {pods[0]} has" if len(pods) == 1 else f"pods {_some(pods)} have"


def _some(names: Sequence[str]) -> str:
    """The first of some names."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _manager(document: Document) -> str:
    """Who wrote an object last, by the name that it writes under; empty where that is not on record."""
    entries = document["metadata"].get("managedFields") or ()
    latest: Mapping[str, Any] = max(entries, key=lambda entry: str(entry.get("time") or ""), default={})
    return str(latest.get("manager") or "")


def _is_too_old(status: Mapping[str, Any]) -> bool:
    version = str((status.get("nodeInfo") or {}).get("kubeletVersion") or "")
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) < OLDEST
