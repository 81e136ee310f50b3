"""How the kubelet is told of a driver: it asks at the registration socket, and says what came of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc

from drakit.kubelet.proto import pluginregistration_pb2 as messages
from drakit.kubelet.wire import service_handler

PLUGIN_TYPE = "DRAPlugin"

OnRegistered = Callable[[bool, str], None]
"""Called with (True, "") at each registration, or (False, the kubelet's reason), on the event loop; must not block.

A kubelet that restarts registers again, after it has deleted the node's ResourceSlices: a good moment to look at them.
"""


def registration_handler(
    driver: str, endpoint: Path, versions: Sequence[str], on_registered: OnRegistered, log: logging.Logger
) -> grpc.GenericRpcHandler:
    """The handler of the registration service. `versions` are tried by the kubelet in this order."""
    service = _Registration(driver, endpoint, versions, on_registered, log)
    descriptor = messages.DESCRIPTOR.services_by_name["Registration"]
    return service_handler(
        descriptor, {"GetInfo": service.get_info, "NotifyRegistrationStatus": service.notify_registration_status}
    )


class _Registration:
    def __init__(
        self, driver: str, endpoint: Path, versions: Sequence[str], on_registered: OnRegistered, log: logging.Logger
    ) -> None:
        self._info = messages.PluginInfo(
            type=PLUGIN_TYPE, name=driver, endpoint=str(endpoint), supported_versions=versions
        )
        self._on_registered = on_registered
        self._log = log

    async def get_info(self, _request: Any, _context: grpc.aio.ServicerContext) -> messages.PluginInfo:
        """The kubelet waits for one second."""
        return self._info

    async def notify_registration_status(
        self, status: messages.RegistrationStatus, context: grpc.aio.ServicerContext
    ) -> messages.RegistrationStatusResponse:
        """A refusal is answered with an error, as the upstream helper does."""
        self._tell(status.plugin_registered, status.error)
        if not status.plugin_registered:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"registration was refused: {status.error}")
        return messages.RegistrationStatusResponse()

    def _tell(self, registered: bool, reason: str) -> None:
        if registered:
            self._log.info("the kubelet registered driver %s", self._info.name)
        else:
            self._log.error("the kubelet refused to register driver %s: %s", self._info.name, reason)
        try:
            self._on_registered(registered, reason)
        except Exception:  # the kubelet has registered the driver, whatever becomes of those who want to know
            self._log.exception("driver %s: what is to follow a registration failed", self._info.name)
