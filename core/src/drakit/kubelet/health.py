"""The health stream: what a driver last reported on its devices, resent to every kubelet that watches.

The kubelet takes a device's health for unknown when it has heard nothing for the time-out in the message, so each
report is resent every heartbeat, though nothing changed. A stuck backend must not be resent for: its board is silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import grpc

from drakit.kubelet.proto import health_v1_pb2, health_v1alpha1_pb2
from drakit.kubelet.wire import service_handler, wire_text
from drakit.model import Health, HealthStatus

HEALTH_VERSIONS = ("v1.DRAResourceHealth", "v1alpha1.DRAResourceHealth")
"""As advertised, by drivers that report health."""

MAX_MESSAGE = 1024
MAX_DEVICES = 1000
"""How many devices one message tells of: a kubelet takes no message over 4 MiB. What is left out just ages."""
_NUMBERS = {HealthStatus.UNKNOWN: 0, HealthStatus.HEALTHY: 1, HealthStatus.UNHEALTHY: 2}


def _always() -> bool:
    return True


class HealthBoard:
    """The last health report of one driver. Everything here is called on the event loop.

    `alive` says whether the backend still answers: while it is false, nothing is sent, and the kubelet lets the
    health age to unknown; the first heartbeat after that resumes. A device's health is good for three heartbeats.
    """

    def __init__(self, alive: Callable[[], bool] = _always, heartbeat_seconds: float = 10.0) -> None:
        self.alive = alive
        self.heartbeat_seconds = heartbeat_seconds
        self.report: tuple[Health, ...] | None = None
        """None until the first report: then there is nothing to send."""
        self.updated = 0
        """When the backend last reported, in seconds since the epoch."""
        self._watchers: set[Callable[[], None]] = set()
        self._owed = False

    @property
    def timeout_seconds(self) -> int:
        """For how long the kubelet may rely on what it was sent."""
        return math.ceil(3 * self.heartbeat_seconds)

    def update(self, report: Sequence[Health]) -> None:
        """Take the backend's report in place of the last one. A change is sent at once, the rest with the heartbeat.

        At once too if a heartbeat was passed over: a backend that is slow, and not stuck, must not seem so. A device
        left out is no longer reported on: the kubelet lets its health age.
        """
        self.updated = int(time.time())
        if self._owed or self.report != tuple(report):
            self.report, self._owed = tuple(report), False
            for wake in self._watchers:
                wake()

    def due(self) -> Sequence[Sequence[Health]]:
        """What is to be sent now, message by message: nothing before the first report, or while `alive` is false."""
        if self.report is None:
            return ()
        if not self.alive():
            self._owed = True
            return ()
        return [self.report[start : start + MAX_DEVICES] for start in range(0, len(self.report), MAX_DEVICES)] or [()]

    @contextlib.contextmanager
    def watched_by(self, wake: Callable[[], None]) -> Iterator[None]:
        """Within this context, `wake` is called at each change. It must not block."""
        self._watchers.add(wake)
        try:
            yield
        finally:
            self._watchers.discard(wake)


class HealthService:
    """Serves a board as NodeWatchResources, v1 and v1alpha1, to any number of watchers.

    A driver that reports no health has a board that stays empty: its stream opens and says nothing. Kubelets up to
    1.36 open one to every driver, and log an error every five seconds where there is none.
    """

    def __init__(self, board: HealthBoard) -> None:
        self._board = board
        self._closed = False
        self._streams: set[asyncio.Event] = set()

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The handlers of both versions, for a gRPC server on asyncio."""
        return [self._handler(messages) for messages in (health_v1_pb2, health_v1alpha1_pb2)]

    def close(self) -> None:
        """End all streams, so that a server can stop without waiting for them."""
        self._closed = True
        for wake in self._streams:
            wake.set()

    def _handler(self, messages: ModuleType) -> grpc.GenericRpcHandler:
        async def watch(_request: Any, context: grpc.aio.ServicerContext) -> None:
            await context.send_initial_metadata(())  # the watcher sees the stream open before there is news
            await self._stream(messages, context)

        return service_handler(messages.DESCRIPTOR.services_by_name["DRAResourceHealth"], {"NodeWatchResources": watch})

    async def _stream(self, messages: ModuleType, context: grpc.aio.ServicerContext) -> None:
        """Send the whole report at the start, at every change and every heartbeat; nothing while there is none."""
        board, wake = self._board, asyncio.Event()
        self._streams.add(wake)
        try:
            with board.watched_by(wake.set):
                while not self._closed:
                    wake.clear()
                    for part in board.due():
                        await context.write(self._message(messages, part))
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(board.heartbeat_seconds):
                            await wake.wait()
        finally:
            self._streams.discard(wake)

    def _message(self, messages: ModuleType, report: Sequence[Health]) -> Any:
        board, response = self._board, messages.NodeWatchResourcesResponse()
        for health in report:
            response.devices.add(
                device={"pool_name": health.device.pool, "device_name": health.device.name},
                health=_NUMBERS[health.status],
                last_updated_time=board.updated,
                health_check_timeout_seconds=board.timeout_seconds,
                message=wire_text(health.message, MAX_MESSAGE),
            )
        return response
