"""The kubelet's PodResources service: which claims, and which devices of device plugins, its pods use."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from drakit.errors import ConfigError
from drakit.kubelet import MAX_SOCKET_PATH
from drakit.kubelet.podresources import SERVICE
from drakit.kubelet.proto import podresources_v1_pb2 as messages
from drakit.kubelet.wire import service_handler
from drakit.model import ClaimRef, DeviceHandle, DeviceRef


class PodResourcesServer:
    """Serves one socket. `prepared` gives what the kubelet has prepared; pods of a test's own are added to it."""

    def __init__(self, socket: Path, prepared: Callable[[], Sequence[tuple[ClaimRef, Sequence[DeviceHandle]]]]) -> None:
        self.asked = 0
        """How often somebody has asked."""
        self._socket = socket
        self._prepared = prepared
        self._added: dict[str, tuple[ClaimRef, list[DeviceRef]]] = {}
        self._extended: dict[str, list[str]] = {}
        self._offered: dict[str, list[str]] = {}
        self._pods: dict[str, Sequence[Sequence[ClaimRef]]] = {}
        self._failure = ""
        self._lock = threading.Lock()
        self._server: grpc.Server | None = None

    def start(self) -> None:
        """Serve. Raises ConfigError where the path is too long for a socket, RuntimeError where none can be made."""
        if len(os.fsencode(self._socket)) > MAX_SOCKET_PATH:
            raise ConfigError(
                f"the kubelet's PodResources socket cannot be at {str(self._socket)!r}: the path of a socket has at "
                f"most {MAX_SOCKET_PATH} bytes; use a shorter path"
            )
        self._socket.unlink(missing_ok=True)
        self._server = grpc.server(ThreadPoolExecutor(1))
        handlers = {"List": self._list, "GetAllocatableResources": self._allocatable}
        self._server.add_generic_rpc_handlers([service_handler(SERVICE, handlers)])
        self._server.add_insecure_port(f"unix:{self._socket}")
        self._server.start()

    def close(self) -> None:
        """Stop, and remove the socket."""
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None

    def add(self, claim: ClaimRef, devices: Sequence[DeviceRef]) -> None:
        """A pod has the claim, whoever prepared it."""
        with self._lock:
            self._added[claim.uid] = (claim, list(devices))

    def remove(self, uid: str) -> None:
        """The pod that was added for the claim is gone."""
        with self._lock:
            self._added.pop(uid, None)

    def put_in(self, pod: str, *containers: Sequence[ClaimRef]) -> None:
        """A pod has these containers, each with these claims, prepared or not; without any it is gone."""
        with self._lock:
            self._pods[pod] = containers

    def hold(self, resource: str, *devices: str) -> None:
        """A pod has these devices of a device plugin, by its extended resource; without any it has ended."""
        with self._lock:
            self._extended[resource] = list(devices)

    def offer(self, resource: str, *devices: str) -> None:
        """A device plugin offers these devices, by its extended resource; without any it is gone."""
        with self._lock:
            self._offered[resource] = list(devices)

    def fail(self, reason: str) -> None:
        """From now on, refuse to answer, for this reason; with "" answer again."""
        with self._lock:
            self._failure = reason

    def _list(self, _request: Any, context: grpc.ServicerContext) -> Any:
        with self._lock:
            self.asked += 1
            failure, added, extended = self._failure, list(self._added.values()), dict(self._extended)
            told = dict(self._pods)
        if failure:
            context.abort(grpc.StatusCode.UNAVAILABLE, failure)
        prepared = [(claim, [handle.device for handle in handles]) for claim, handles in self._prepared()]
        pods = [_pod(*one) for one in prepared + added] + [_pod_of_plugin(*one) for one in extended.items() if one[1]]
        pods += [_pod_of_containers(*one) for one in told.items()]
        return messages.ListPodResourcesResponse(pod_resources=pods)

    def _allocatable(self, _request: Any, context: grpc.ServicerContext) -> Any:
        with self._lock:
            failure, offered = self._failure, list(self._offered.items())
        if failure:
            context.abort(grpc.StatusCode.UNAVAILABLE, failure)
        return messages.AllocatableResourcesResponse(devices=[_devices(*one) for one in offered])


def _pod(claim: ClaimRef, devices: Sequence[DeviceRef]) -> Any:
    """A pod with one container, which has all of the claim."""
    resources = [
        messages.ClaimResource(driver_name=device.driver, pool_name=device.pool, device_name=device.name)
        for device in devices
    ]
    resource = messages.DynamicResource(
        claim_name=claim.name, claim_namespace=claim.namespace, claim_resources=resources
    )
    container = messages.ContainerResources(name="main", dynamic_resources=[resource])
    return messages.PodResources(name=f"pod-{claim.name}", namespace=claim.namespace, containers=[container])


def _pod_of_containers(name: str, containers: Sequence[Sequence[ClaimRef]]) -> Any:
    """A pod whose claims the kubelet knows of, before it has any of them prepared."""
    made = [
        messages.ContainerResources(
            name=f"container-{index}",
            dynamic_resources=[
                messages.DynamicResource(claim_name=claim.name, claim_namespace=claim.namespace) for claim in claims
            ],
        )
        for index, claims in enumerate(containers)
    ]
    return messages.PodResources(name=name, namespace="default", containers=made)


def _pod_of_plugin(resource: str, devices: Sequence[str]) -> Any:
    """A pod with one container, which has devices of a device plugin."""
    container = messages.ContainerResources(name="main", devices=[_devices(resource, devices)])
    return messages.PodResources(name="pod-of-plugin", namespace="default", containers=[container])


def _devices(resource: str, devices: Sequence[str]) -> Any:
    return messages.ContainerDevices(resource_name=resource, device_ids=devices)
