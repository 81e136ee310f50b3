"""gRPC handlers made from a service's descriptor, and text as the wire can carry it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from drakit.errors import describe

MAX_ERROR = 1000
"""What an event shows of a claim's error is about as long; one endless text must not outgrow the whole answer."""


def service_handler(
    service: ServiceDescriptor, behaviours: Mapping[str, Callable[..., Any]], name: str = ""
) -> grpc.GenericRpcHandler:
    """Serve a service: `behaviours` are coroutine functions `(request, context)`, by method; async generators stream.

    Every method of the service must be there. `name` is for a service that is served under another name as well.
    """
    methods = {method.name: _method_handler(method, behaviours[method.name]) for method in service.methods}
    return grpc.method_handlers_generic_handler(name or service.full_name, methods)


def _method_handler(method: MethodDescriptor, behaviour: Callable[..., Any]) -> grpc.RpcMethodHandler:
    make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
    request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    return make(behaviour, request.FromString, response.SerializeToString)


def error_text(error: BaseException) -> str:
    """An exception as one line that fits into a message."""
    return wire_text(describe(error), MAX_ERROR)


def wire_text(text: str, limit: int) -> str:
    """Cut text to `limit` bytes of UTF-8. What is not Unicode, as in some file names, becomes question marks."""
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
