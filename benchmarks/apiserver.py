"""A lean API server for load: any claim by its number, nodes, and ResourceSlices that are taken and counted.

Run as a process of its own, so that it does not share an interpreter with what is measured. `GET /counts` tells how
often what was asked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from typing import ClassVar
from urllib.parse import SplitResult, parse_qs, urlsplit

import httptools

DRIVER = "gpu.example.com"
NODE = "node-1"


def uid(number: int) -> str:
    """The uid of the claim with this number."""
    return f"{number:08x}-0000-4000-8000-{number:012x}"


def claim(namespace: str, name: str, devices: int) -> dict[str, object]:
    """A claim as a scheduler leaves it, with the managed fields that make up much of a real one."""
    number = int(name.rsplit("-", 1)[1])
    result = {"request": "gpu", "driver": DRIVER, "pool": NODE, "device": f"gpu-{number % devices}"}
    managed = {"manager": "kube-scheduler", "operation": "Update", "fieldsV1": {"f:status": {"f:allocation": {}}}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid(number),
            "resourceVersion": str(1000 + number),
            "managedFields": [managed] * 4,
        },
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": DRIVER, "count": 1}}]}},
        "status": {
            "allocation": {"devices": {"results": [result]}},
            "reservedFor": [{"resource": "pods", "name": "p"}],
        },
    }


class Connection(asyncio.Protocol):
    """One kept-alive connection."""

    devices: ClassVar[int] = 128
    counts: ClassVar[Counter[str]] = Counter()
    slices: ClassVar[dict[str, dict[str, object]]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url = url.decode()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        method = self.parser.get_method().decode()
        body, self.body = self.body, b""
        status, document = self.answer(method, urlsplit(self.url), body)
        if document is None:  # a watch that stays open and has no news
            head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            self.transport.write(head.encode())
            return
        content = json.dumps(document).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        self.transport.write(head.encode() + content)

    def answer(self, method: str, url: SplitResult, body: bytes) -> tuple[int, dict[str, object] | None]:
        parts = url.path.strip("/").split("/")
        if url.path == "/counts":
            return 200, dict(self.counts)
        if url.path == "/version":
            return 200, {"major": "1", "minor": "36"}
        kind = parts[5] if len(parts) > 5 else parts[2] if parts[0] == "api" else parts[3]
        watching = "watch=true" in url.query
        self.counts[f"{'WATCH' if watching else method} {kind}"] += 1
        if kind == "resourceclaims":
            return 200, claim(parts[4], parts[6], self.devices)
        if kind == "nodes":
            return 200, {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": parts[-1], "uid": uid(7), "resourceVersion": "1"},
            }
        if watching:
            return 200, None
        if method == "GET":
            selector = parse_qs(url.query).get("fieldSelector", [""])[0]
            shared = selector.endswith("spec.nodeName=")  # those that are bound to no node: there are none
            return 200, {
                "metadata": {"resourceVersion": str(sum(self.counts.values()))},
                "items": [] if shared else list(self.slices.values()),
            }
        document = json.loads(body)
        metadata = document["metadata"]
        metadata.setdefault("name", f"{metadata.get('generateName', '')}{len(self.slices)}")
        metadata |= {"uid": uid(len(self.slices)), "resourceVersion": str(sum(self.counts.values()))}
        self.slices[metadata["name"]] = document
        return (201 if method == "POST" else 200), document


async def main() -> None:
    """Serve until killed; the port that was taken is the first line of output."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=128, help="claim N is for device N modulo this")
    Connection.devices = parser.parse_args().devices
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
