"""Taking the slices of a driver away that can prepare nothing any more on this node."""

from __future__ import annotations

import asyncio
import contextlib

from drakit.kube.client import KubeClient
from drakit.kube.publisher import SlicePublisher

_LOOK_SECONDS = 0.2


async def withdraw(client: KubeClient, driver: str, node_name: str) -> None:
    """Delete the slices that this node has published for the driver; returns when they are gone, however long it takes.

    The kubelet would do it, if the driver's sockets were gone too. Slices that come back later are somebody's who can
    serve the driver, and are left alone.
    """
    publisher = SlicePublisher(client, driver, node_name)
    publisher.desired(())
    publishing = asyncio.create_task(publisher.run(), name=f"withdrawal of {driver}")
    try:
        while not publisher.status.current:  # noqa: ASYNC110 - the publisher has a status, and no event for it
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        publishing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await publishing
