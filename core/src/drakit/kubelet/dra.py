"""The DRA services of one driver: NodePrepareResources and NodeUnprepareResources, v1 and v1beta1 alike."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from types import ModuleType
from typing import Any, Protocol

import grpc

from drakit.errors import DRAError
from drakit.kubelet.proto import dra_v1_pb2, dra_v1beta1_pb2
from drakit.kubelet.wire import error_text, service_handler
from drakit.model import ClaimRef, DeviceHandle
from drakit.subject import about

V1 = "v1.DRAPlugin"
V1BETA1 = "v1beta1.DRAPlugin"
DRA_VERSIONS = (V1, V1BETA1)
"""As advertised, in order of preference; on the wire the services have the full names of their packages."""


class ClaimService(Protocol):
    """What prepares and unprepares claims, one at a time; called on the event loop, for several claims at once.

    What it raises becomes that claim's error, and no other claim's. A call may be cancelled, when the kubelet gives
    up waiting or the server stops: that abandons the answer and must never abandon the work, so an implementation
    shields what it has begun. A later call for the same claim joins the work or repeats its answer.
    """

    async def prepare(self, claim: ClaimRef, together: frozenset[str]) -> Sequence[DeviceHandle]:
        """Make the claim's devices ready: the devices of this driver, the same on every repeat.

        `together` are the uids of all claims of the call: the kubelet makes one for each pod.
        """
        ...

    async def unprepare(self, claim: ClaimRef) -> None:
        """Undo `prepare`. Only the uid counts; a claim never heard of succeeds."""
        ...


def dra_handlers(driver: str, claims: ClaimService, log: logging.Logger) -> list[grpc.GenericRpcHandler]:
    """The handlers of both versions, for a gRPC server on asyncio."""
    return [_Version(messages, driver, claims, log).handler() for messages in (dra_v1_pb2, dra_v1beta1_pb2)]


class _Version:
    """One version of the service. `messages` is its generated module; the versions differ in `share_id` alone."""

    def __init__(self, messages: ModuleType, driver: str, claims: ClaimService, log: logging.Logger) -> None:
        self._service = messages.DESCRIPTOR.services_by_name["DRAPlugin"]
        self._prepared = messages.NodePrepareResourcesResponse
        self._unprepared = messages.NodeUnprepareResourcesResponse
        self._has_share_id = "share_id" in messages.Device.DESCRIPTOR.fields_by_name
        self._driver = driver
        self._claims = claims
        self._log = log

    def handler(self) -> grpc.GenericRpcHandler:
        return service_handler(
            self._service, {"NodePrepareResources": self.prepare, "NodeUnprepareResources": self.unprepare}
        )

    async def prepare(self, request: Any, _context: grpc.aio.ServicerContext) -> Any:
        response = self._prepared()
        uids = frozenset(claim.uid for claim in request.claims)
        await _each(request.claims, lambda claim: self._prepare_one(claim, uids, response.claims[claim.uid]))
        return response

    async def unprepare(self, request: Any, _context: grpc.aio.ServicerContext) -> Any:
        response = self._unprepared()
        await _each(request.claims, lambda claim: self._unprepare_one(claim, response.claims[claim.uid]))
        return response

    async def _prepare_one(self, claim: ClaimRef, together: frozenset[str], answer: Any) -> None:
        try:
            for handle in await self._claims.prepare(claim, together):
                self._add(handle, answer.devices)
        except (Exception, asyncio.CancelledError) as error:
            answer.Clear()
            answer.error = self._refusal("prepare", claim, error)

    async def _unprepare_one(self, claim: ClaimRef, answer: Any) -> None:
        try:
            await self._claims.unprepare(claim)
        except (Exception, asyncio.CancelledError) as error:
            answer.error = self._refusal("unprepare", claim, error)

    def _add(self, handle: DeviceHandle, devices: Any) -> None:
        device = devices.add(
            request_names=(handle.request,),
            pool_name=handle.device.pool,
            device_name=handle.device.name,
            cdi_device_ids=handle.cdi_ids,
        )
        if handle.share_id is not None and self._has_share_id:
            device.share_id = handle.share_id

    def _refusal(self, verb: str, claim: ClaimRef, error: BaseException) -> str:
        """What the claim's error says. Re-raises a cancellation of the RPC; one from within is an error as any."""
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise error
        if isinstance(error, DRAError):
            self._log.warning("driver %s cannot %s claim %s (%s): %s", self._driver, verb, claim, claim.uid, error)
            return error_text(error)
        self._log.error("driver %s failed to %s claim %s (%s)", self._driver, verb, claim, claim.uid, exc_info=error)
        return f"driver {self._driver} failed to {verb} the claim: {error_text(error)}; see the log of the node's agent"


async def _each(claims: Iterable[Any], work: Callable[[ClaimRef], Coroutine[Any, Any, None]]) -> None:
    """Work on all claims at once; a single one, the usual case, needs no task. A uid named twice counts once."""
    refs = {claim.uid: ClaimRef(claim.uid, claim.namespace, claim.name) for claim in claims}.values()
    if len(refs) == 1:
        await _work_on(next(iter(refs)), work)
    else:
        await asyncio.gather(*(_work_on(ref, work) for ref in refs))


async def _work_on(claim: ClaimRef, work: Callable[[ClaimRef], Coroutine[Any, Any, None]]) -> None:
    with about(claim=claim):
        await work(claim)
