"""Which claims, and which device plugins' devices, the kubelet's pods use: `/v1.PodResourcesLister` (1.28)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from drakit.errors import DRAError
from drakit.kubelet.proto import podresources_v1_pb2 as messages

LIST_SECONDS = 5.0
MAX_BYTES = 64 * 1024 * 1024
"""Of an answer. It grows with all pods, containers and devices of the node, not only with ours."""

SERVICE = messages.DESCRIPTOR.services_by_name["PodResourcesLister"]

NamedClaims = Mapping[tuple[str, str], frozenset[str]]
"""Claims by namespace and name, with the drivers whose devices they have."""


class PodResourcesUnknown(DRAError):
    """The kubelet does not say which claims its pods use: nothing may be concluded from that."""


class PodResources:
    """Asks the kubelet of this node. Nothing is kept open between questions, for they are rare."""

    def __init__(self, socket: Path, *, timeout_seconds: float = LIST_SECONDS) -> None:
        self.socket = socket
        self._timeout_seconds = timeout_seconds

    @property
    def is_offered(self) -> bool:
        """Whether there is a socket to ask at."""
        return self.socket.exists()

    async def claims(self) -> NamedClaims:
        """The claims that containers of pods which are not terminal name, and the kubelet has prepared.

        A pod is missing while the kubelet starts, after it was deleted by force, and where only its init containers
        have the claim. Raises PodResourcesUnknown, within the bound.
        """
        return _by_name(resource for container in await self._containers() for resource in container.dynamic_resources)

    async def extended_resources(self) -> frozenset[str]:
        """The extended resources of which containers have devices, from device plugins that may be gone by now.

        The same pods are missing as with `claims`. Raises PodResourcesUnknown, within the bound.
        """
        return _with_devices(one for container in await self._containers() for one in container.devices)

    async def offered_resources(self) -> frozenset[str]:
        """The extended resources that device plugins offer now, whether pods have any or not.

        Raises PodResourcesUnknown, within the bound.
        """
        answer = await self._ask(
            "GetAllocatableResources", messages.AllocatableResourcesRequest(), messages.AllocatableResourcesResponse
        )
        return _with_devices(answer.devices)

    async def containers(self) -> Sequence[frozenset[str]]:
        """The claims of each container, as `namespace/name`, those among them that the kubelet has yet to prepare.

        It takes note of all claims of a pod before it asks drivers for the first. The same pods are missing as with
        `claims`, and init containers that end. Raises PodResourcesUnknown, within the bound.
        """
        return [
            frozenset(f"{resource.claim_namespace}/{resource.claim_name}" for resource in container.dynamic_resources)
            for container in await self._containers()
        ]

    async def _containers(self) -> list[Any]:
        """Those of all pods that are not terminal."""
        answer = await self._ask("List", messages.ListPodResourcesRequest(), messages.ListPodResourcesResponse)
        return [container for pod in answer.pod_resources for container in pod.containers]

    async def _ask(self, method: str, request: Any, answer: Any) -> Any:
        """One question, on a connection of its own."""
        if not self.is_offered:
            raise PodResourcesUnknown(
                f"{self.socket} is not there: mount the kubelet's pod-resources directory, or set "
                f"kubeletPodResourcesSocket"
            )
        options = (
            ("grpc.max_receive_message_length", MAX_BYTES),
            ("grpc.default_authority", "localhost"),
            ("grpc.use_local_subchannel_pool", 1),
        )
        async with grpc.aio.insecure_channel(f"unix:{self.socket}", options=options) as channel:
            ask = channel.unary_unary(
                f"/{SERVICE.full_name}/{method}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )
            try:
                return await ask(request, timeout=self._timeout_seconds)
            except grpc.aio.AioRpcError as error:
                raise PodResourcesUnknown(f"{self.socket}: {error.details()} ({error.code().name})") from error


def _with_devices(resources: Iterable[Any]) -> frozenset[str]:
    return frozenset(one.resource_name for one in resources if one.device_ids)


def _by_name(resources: Iterable[Any]) -> NamedClaims:
    claims: dict[tuple[str, str], frozenset[str]] = {}
    for resource in resources:
        key = (resource.claim_namespace, resource.claim_name)
        drivers = frozenset(claim.driver_name for claim in resource.claim_resources)
        claims[key] = claims.get(key, frozenset()) | drivers
    return claims
