"""The agent's own Node, as the API server has it: read seldom, for its labels and what device plugins offer on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from drakit.documents import Document
from drakit.errors import DRAError, describe
from drakit.kube.client import NODES, ApiError, KubeClient
from drakit.kube.labels import NodeLabels
from drakit.kube.observed import PERMISSIONS

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""How long a read that failed waits before it is tried again."""
SPACING_SECONDS = 2.0
"""The least pause between two reads, however often labels change."""
FIRST_SECONDS = 60.0
"""How long after the first time it is read again. Labels come late when a node joins, and nothing waits for them."""
MOST_SECONDS = 600.0
"""The most there is between two reads: in so long a device plugin is noticed, or a label that somebody removed."""
FIXED_IN = (1, 34, 2)
"""The kubelet from which on its connection to a driver survives being idle. Source: kubernetes/kubernetes#133920."""


class Guest(Protocol):
    """A driver, as far as its Node is concerned."""

    name: str

    async def meet(self, allocatable: Mapping[str, Any]) -> bool:
        """Take what the Node offers; returns whether it stands beside a device plugin."""
        ...

    async def is_met(self) -> bool:
        """Whether the kubelet knows of a device plugin beside it that the Node did not."""
        ...


class OwnNode:
    """Reads the Node when there is reason to, and sees to what follows from it.

    It is read at start, after each registration, when drivers want other labels, and at pauses that double from one
    minute to ten; while a device plugin offers what a driver has, or labels are not as they should be, as often as
    hardware is looked for. As often the kubelet is asked whether a device plugin has come.
    """

    def __init__(
        self,
        client: KubeClient,
        name: str,
        guests: Iterable[Guest],
        *,
        often_seconds: float,
        relabelled: Callable[[Mapping[str, str]], None],
        tell: Callable[[str, Iterable[tuple[str, DRAError]]], None],
        first_seconds: float = FIRST_SECONDS,
    ) -> None:
        """`relabelled` is given the labels of the Node whenever it was read; `tell` a topic and all that is wrong.

        `first_seconds` is the first of the pauses.
        """
        self._client = client
        self._name = name
        self._guests = tuple(guests)
        self._often = often_seconds
        self._relabelled = relabelled
        self._tell = tell
        self._labels: dict[str, NodeLabels] = {}
        self._wanted = asyncio.Event()
        self._first = self._pause = first_seconds
        self._advised = ""

    def registered(self) -> None:
        """A kubelet has registered a driver, perhaps after a restart of the node: read it again, and soon again."""
        self._pause = self._first / 2
        self._wanted.set()

    def label(self, driver: str, labels: Mapping[str, str]) -> None:
        """Have the Node carry these labels of a driver, and no other ones of it. What is no change costs nothing."""
        if self._labels.setdefault(driver, NodeLabels(self._client, driver)).desired(labels):
            self._wanted.set()

    async def look(self) -> None:
        """Read it once, see to what follows, and wait until there is reason to read it again."""
        self._wanted.clear()
        try:
            node = await self._client.get(NODES, self._name)
        except ApiError as error:
            advice = f"; {PERMISSIONS}" if error.denied else ""
            self._tell("the Node", [("", DRAError(f"the Node cannot be read: {describe(error)}{advice}"))])
            await asyncio.sleep(RETRY_SECONDS)
            return
        self._tell("the Node", [])
        self._advise(node)
        self._relabelled(node["metadata"].get("labels") or {})
        allocatable = (node.get("status") or {}).get("allocatable") or {}
        restless = [guest.name for guest in self._guests if await guest.meet(allocatable)]
        problems = [(driver, problem) for driver, own in self._labels.items() for problem in await own.settle(node)]
        self._tell("labels of the Node", problems)
        await self._wait(self._often if restless or problems else self._pause)
        self._pause = min(MOST_SECONDS, self._pause * (1 if restless else 2))

    async def _wait(self, seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        await asyncio.sleep(min(SPACING_SECONDS, seconds))
        while not self._wanted.is_set() and (left := until - clock()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, self._often)):
                    await self._wanted.wait()
            if any([await guest.is_met() for guest in self._guests]):
                return

    def _advise(self, node: Document) -> None:
        advice = kubelet_advice(node)
        if advice and advice != self._advised:
            log.warning("%s", advice)
        self._advised = advice


def kubelet_advice(node: Document) -> str:
    """What is to be known of the kubelet of a Node, in words; empty where there is nothing, or no version is named."""
    version = str(((node.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion") or "")
    numbers = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) >= FIXED_IN:
        return ""
    if tuple(map(int, numbers.groups()[:2])) < FIXED_IN[:2]:
        return f"the kubelet of this node is {version}: drakit is made for Kubernetes 1.34 and later; upgrade the node"
    return (
        f"the kubelet of this node is {version}: it cannot use its connection to a driver any more once that was idle "
        f"for 30 minutes, and pods hang until the kubelet is restarted (kubernetes/kubernetes#133920); upgrade the "
        f"node to 1.34.2 or later"
    )
