"""A driver beside a device plugin that offers the same hardware: neither knows of the other, and both would give it.

So the driver gives way: it refuses new claims, publishes nothing once that has lasted, and still unprepares. A device
plugin is known by the extended resources that the Node offers; one that restarts offers none for a while, though its
pods run on, and those the kubelet knows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from drakit.errors import LimitExceeded
from drakit.kubelet.podresources import PodResources, PodResourcesUnknown
from drakit.model import Quantity


class Coexistence:
    """How one driver stands to device plugins. Belongs to one event loop."""

    def __init__(
        self,
        driver: str,
        resources: Iterable[str],
        pods: PodResources,
        *,
        lasting_seconds: float,
        log: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`resources`: those of device plugins for the driver's hardware; without any, the driver is always alone.

        `lasting_seconds`: how long new claims are refused before what is published is withdrawn.
        """
        self._driver = driver
        self._resources = tuple(resources)
        self._pods = pods
        self._lasting = lasting_seconds
        self._log = log
        self._clock = clock
        self._since = 0.0
        self.refusal = ""
        """Why new claims are refused, in words; empty while the driver is alone."""
        self.settled = asyncio.Event()
        """Set once it is known what is to be published: what the driver has, or nothing."""
        if not self._resources:
            self.settled.set()

    @property
    def withdraws(self) -> bool:
        """Whether nothing is to be published: claims would be sent here only to be refused."""
        return bool(self.refusal) and self._clock() - self._since >= self._lasting

    async def meet(self, allocatable: Mapping[str, Any]) -> bool:
        """Take what the Node offers now (`status.allocatable`); returns whether the driver is to give way."""
        why = await why_to_give_way(self._driver, self._resources, allocatable, self._pods, gives=bool(self.refusal))
        if why and not self.refusal:
            self._since = self._clock()
        if why and why != self.refusal:
            self._log.error("%s", why)
        elif self.refusal and not why:
            self._log.info("the node no longer offers this hardware by a device plugin; new claims are prepared")
        self.refusal = why
        if not why or self.withdraws:
            self.settled.set()
        return bool(why)

    async def is_met(self) -> bool:
        """Whether the kubelet knows of a device plugin that the Node, when it was read, did not: it is to be read anew.

        Costs the API server nothing. A kubelet that does not answer knows of none.
        """
        if self.refusal or not self._resources or not self._pods.is_offered:
            return False
        try:
            return not (await self._pods.offered_resources()).isdisjoint(self._resources)
        except PodResourcesUnknown:
            return False


async def why_to_give_way(
    driver: str, resources: Collection[str], allocatable: Mapping[str, Any], pods: PodResources, *, gives: bool = False
) -> str:
    """Why a driver is to give way to a device plugin, in words; empty if it is alone. `gives`: it does already.

    The kubelet is asked only on a node that has or had a device plugin.
    """
    if offered := offered_by_device_plugins(resources, allocatable):
        return (
            f"driver {driver} prepares no new claims: this node also offers the hardware as {', '.join(offered)}, by a "
            f"device plugin; remove that device plugin from the node"
        )
    if not gives and allocatable.keys().isdisjoint(resources):
        return ""
    return await _why_pods_hold(driver, resources, pods)


async def _why_pods_hold(driver: str, resources: Iterable[str], pods: PodResources) -> str:
    """Why a driver gives way to the pods of a device plugin that offers nothing any more, or just now.

    Where there is no socket to ask at, the Node's word is all there is. A kubelet that does not answer may be
    starting, and that is when a Node offers nothing.
    """
    if not pods.is_offered:
        return ""
    try:
        held = sorted(set(resources) & await pods.extended_resources())
    except PodResourcesUnknown as error:
        return (
            f"driver {driver} prepares no new claims until the kubelet says whether pods have this hardware from a "
            f"device plugin, as this node has had one: {error}"
        )
    if not held:
        return ""
    return (
        f"driver {driver} prepares no new claims: pods on this node still have the hardware as {', '.join(held)}, by a "
        f"device plugin; remove that device plugin from the node, and end these pods"
    )


def offered_by_device_plugins(resources: Iterable[str], allocatable: Mapping[str, Any]) -> list[str]:
    """Those of the extended resources that a Node's `status.allocatable` has any of: a device plugin serves them."""
    return [name for name in resources if Quantity(0) < _count(allocatable.get(name, "0"))]


def _count(value: Any) -> Quantity:
    try:
        return Quantity(value)
    except (LimitExceeded, TypeError):
        return Quantity(0)  # what cannot be read offers nothing to anybody
