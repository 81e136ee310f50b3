"""One gRPC connection to a driver's socket, as the kubelet holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType, TracebackType
from typing import Any, Self

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from drakit.kubelet.proto import (
    dra_v1_pb2,
    dra_v1beta1_pb2,
    health_v1_pb2,
    health_v1alpha1_pb2,
    pluginregistration_pb2,
)
from drakit.model import ClaimRef
from drakit.testing.kubelet.rules import CallFailed

MESSAGES: Mapping[str, ModuleType] = MappingProxyType(
    {
        "v1.DRAPlugin": dra_v1_pb2,
        "v1beta1.DRAPlugin": dra_v1beta1_pb2,
        "v1.DRAResourceHealth": health_v1_pb2,
        "v1alpha1.DRAResourceHealth": health_v1alpha1_pb2,
        "Registration": pluginregistration_pb2,
    }
)
"""The messages of each service, by the name it is advertised under."""


class Connection:
    """A connection to one socket; threads may share it. A context manager that closes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # A kubelet written in Go names the path as the authority; a connection of its own sees a socket made anew.
        options = [("grpc.default_authority", str(path)), ("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.insecure_channel(f"unix:{path}", options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; calls under way end with CallFailed."""
        self._channel.close()

    def call(self, service: str, method: str, request: Any, timeout: float) -> Any:
        """Call a unary method and wait for its answer. Raises CallFailed with the name of the gRPC status."""
        descriptor = _descriptor(service)
        kind = descriptor.methods_by_name[method]
        call = self._channel.unary_unary(
            f"/{descriptor.full_name}/{method}",
            request_serializer=GetMessageClass(kind.input_type).SerializeToString,
            response_deserializer=GetMessageClass(kind.output_type).FromString,
        )
        try:
            return call(request, timeout=timeout)
        except (grpc.RpcError, ValueError) as error:
            raise failure(f"{method} at {self.path}", error) from error

    def call_claims(self, service: str, method: str, claims: Sequence[ClaimRef], timeout: float) -> Any:
        """Call a method of a DRA service for these claims."""
        messages = MESSAGES[service]
        named = [messages.Claim(namespace=claim.namespace, uid=claim.uid, name=claim.name) for claim in claims]
        return self.call(service, method, getattr(messages, f"{method}Request")(claims=named), timeout)

    def watch_health(self, service: str) -> Any:
        """Open a health stream: an iterator of messages, to be cancelled by `cancel()`."""
        messages, descriptor = MESSAGES[service], _descriptor(service)
        call = self._channel.unary_stream(
            f"/{descriptor.full_name}/NodeWatchResources",
            request_serializer=messages.NodeWatchResourcesRequest.SerializeToString,
            response_deserializer=messages.NodeWatchResourcesResponse.FromString,
        )
        return call(messages.NodeWatchResourcesRequest())


def failure(what: str, error: Exception) -> CallFailed:
    """A failed call in words. grpc raises ValueError for a channel that was closed meanwhile."""
    if isinstance(error, grpc.RpcError):
        return CallFailed(f"{what} failed: {error.details()}", error.code().name)
    return CallFailed(f"{what} failed: {error}", "CANCELLED")


def _descriptor(service: str) -> ServiceDescriptor:
    found: ServiceDescriptor = MESSAGES[service].DESCRIPTOR.services_by_name[service.rpartition(".")[2]]
    return found
