"""What one driver offers the cluster: the slices of its pools, none while it gives way, and none without a backend."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from drakit.coexistence import Coexistence
from drakit.errors import DRAError, describe
from drakit.kube.client import KubeClient
from drakit.kube.publisher import SlicePublisher
from drakit.kube.withdrawal import withdraw
from drakit.kubelet.leftovers import served_beside
from drakit.kubelet.server import KubeletServer
from drakit.model import ResolvedPool
from drakit.settings import Settings
from drakit.slices import left_out, without_lists

BESIDE_SECONDS = 1.0
"""How often a driver that has lost its backend looks whether another agent still serves it."""


class Offer:
    """What is published of one driver. Belongs to one event loop, but for `trouble`."""

    def __init__(
        self,
        driver: str,
        settings: Settings,
        client: KubeClient,
        beside: Coexistence,
        *,
        has_backend: bool,
        log: logging.Logger,
    ) -> None:
        """Touches nothing yet. `beside` says whether the driver gives way to a device plugin."""
        self._driver = driver
        self._settings = settings
        self._client = client
        self._beside = beside
        self._log = log
        self._pools: Sequence[ResolvedPool] | None = None
        self._left_out: frozenset[str] = frozenset()
        self.publisher = SlicePublisher(client, driver, settings.node_name) if has_backend else None
        """Who publishes the slices; None for a driver without a backend."""

    @property
    def trouble(self) -> str:
        """Why nothing has been published yet, in words; empty once something was. May be read from any thread."""
        if self.publisher is None or self.publisher.status.published_at:
            return ""
        if not self._beside.settled.is_set():
            return (
                "its ResourceSlices are published once the Node has been read, which says whether a device plugin "
                "offers the same hardware; if it cannot be read, the log says why"
            )
        return "; ".join(self.publisher.status.errors) or "its ResourceSlices have not been published yet"

    def as_taken(self, pools: Sequence[ResolvedPool]) -> Sequence[ResolvedPool]:
        """The pools as the cluster takes them; what has to be left out is said when it begins."""
        if self._settings.list_attributes:
            return pools
        taken = [without_lists(pool) for pool in pools]
        lists = frozenset[str]().union(*(names for _, names in taken))
        if lists - self._left_out:
            self._log.warning("%s", left_out(lists))
        self._left_out = lists
        return [pool for pool, _ in taken]

    def show(self, pools: Sequence[ResolvedPool]) -> None:
        """Have these pools published from now on, as they are taken: see `as_taken`."""
        self._pools = pools
        self.look_again()

    def look_again(self) -> None:
        """Have published what the driver has, or nothing where it gives way to a device plugin."""
        pools = () if self._beside.withdraws else self._pools
        if self.publisher is None or pools is None:
            return
        try:
            self.publisher.desired(pools)
        except DRAError as error:
            self._log.error("what is published stays as it is: %s", describe(error))

    async def run(self, server: KubeletServer) -> None:
        """Publish until cancelled; without a backend withdraw what was published, and return."""
        # Published before the kubelet knows the driver, a device could be given to a pod that cannot start yet.
        await server.registered.wait()
        if self.publisher is None:
            await self._withdraw(server)
        else:
            await self._beside.settled.wait()
            await self.publisher.run()

    async def _withdraw(self, server: KubeletServer) -> None:
        """Have no more pods sent here: without a backend none can start. In a rolling update the other may have one."""
        while served_beside(server.endpoint):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(BESIDE_SECONDS)
        await withdraw(self._client, self._driver, self._settings.node_name)
        self._log.info("driver %s: its slices are withdrawn, for no claim can be prepared", self._driver)
