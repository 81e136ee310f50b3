"""A device plugin, as a process of a node: `deviceplugin.py <resource> <devices>`, until it is killed.

The wire contract is that of `v1beta1.DevicePlugin`, as much as the kubelet needs; its few messages are written by hand.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

DIRECTORY = Path("/var/lib/kubelet/device-plugins")
SOCKET = "drakit-test.sock"


def field(number: int, value: bytes | str) -> bytes:
    """One field of a message; values are short."""
    data = value.encode() if isinstance(value, str) else value
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


class DevicePlugin:
    """Offers devices that are nothing but names."""

    def __init__(self, count: int) -> None:
        self.devices = b"".join(field(1, field(1, f"device-{index}") + field(2, "Healthy")) for index in range(count))

    def options(self, _request: bytes, _context: Any) -> bytes:
        """No calls but the ones below."""
        return b""

    def watch(self, _request: bytes, _context: Any) -> Iterator[bytes]:
        """What there is; it does not change."""
        yield self.devices
        threading.Event().wait()

    def allocate(self, _request: bytes, _context: Any) -> bytes:
        """Nothing for the one container that asks."""
        return field(1, b"")


def main(resource: str, count: str) -> None:
    """Serve and register."""
    plugin, server = DevicePlugin(int(count)), grpc.server(futures.ThreadPoolExecutor(4))
    handlers = {
        "GetDevicePluginOptions": grpc.unary_unary_rpc_method_handler(plugin.options),
        "ListAndWatch": grpc.unary_stream_rpc_method_handler(plugin.watch),
        "Allocate": grpc.unary_unary_rpc_method_handler(plugin.allocate),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("v1beta1.DevicePlugin", handlers)])
    (DIRECTORY / SOCKET).unlink(missing_ok=True)
    server.add_insecure_port(f"unix:{DIRECTORY / SOCKET}")
    server.start()
    with grpc.insecure_channel(f"unix:{DIRECTORY}/kubelet.sock") as channel:
        register = channel.unary_unary("/v1beta1.Registration/Register")
        register(field(1, "v1beta1") + field(2, SOCKET) + field(3, resource), timeout=10)
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
