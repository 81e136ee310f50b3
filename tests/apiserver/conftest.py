"""A plain HTTP client, and the documents the tests of the API server write with it."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import define, field, frozen
from drakit.testing import InMemoryApiServer

BOUND_SECONDS = 10
_NODE = "/api/v1/nodes/n1"


@frozen
class Answer:
    code: int
    document: Any
    headers: dict[str, str]


@define
class Stream:
    """A watch that is being read."""

    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse

    def next(self) -> tuple[str, dict[str, Any]]:
        line = self.response.readline()
        assert line, "the watch is over"
        event = json.loads(line)
        return event["type"], event["object"]

    def rest(self) -> list[tuple[str, dict[str, Any]]]:
        events = [json.loads(line) for line in self.response.read().splitlines()]
        return [(event["type"], event["object"]) for event in events]

    def close(self) -> None:
        self.response.close()
        self.connection.close()


@define
class Client:
    server: InMemoryApiServer
    context: ssl.SSLContext | None = None
    headers: dict[str, str] = field(factory=dict)

    def connect(self) -> http.client.HTTPConnection:
        host = self.server.url.partition("://")[2]
        if self.context is not None:
            return http.client.HTTPSConnection(host, timeout=BOUND_SECONDS, context=self.context)
        return http.client.HTTPConnection(host, timeout=BOUND_SECONDS)

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Answer:
        connection = self.connect()
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": content_type} | self.headers)
            response = connection.getresponse()
            text = response.read()
            is_json = response.headers["Content-Type"] == "application/json"
            return Answer(response.status, json.loads(text) if is_json else text.decode(), dict(response.headers))
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def watch(self, path: str) -> Stream:
        connection = self.connect()
        connection.request("GET", f"{path}{'&' if '?' in path else '?'}watch=1", headers=self.headers)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return Stream(connection, response)


@pytest.fixture
def server() -> Iterator[InMemoryApiServer]:
    with InMemoryApiServer() as running:
        yield running


@pytest.fixture
def client(server: InMemoryApiServer) -> Client:
    return Client(server)


@pytest.fixture
def make_client() -> type[Client]:
    return Client


@pytest.fixture
def watch(client: Client) -> Iterator[Callable[[str], Stream]]:
    streams = []

    def start(path: str) -> Stream:
        streams.append(client.watch(path))
        return streams[-1]

    yield start
    for stream in streams:
        stream.close()


@pytest.fixture
def a_slice() -> Callable[..., dict[str, Any]]:
    def build(name: str = "slice-a", driver: str = "gpu.example.com", node: str = "n1", **spec: Any) -> dict[str, Any]:
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": name},
            "spec": {
                "driver": driver,
                "nodeName": node,
                "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": "gpu-0", "attributes": {"index": {"int": 0}}}],
            }
            | spec,
        }

    return build


@pytest.fixture
def a_claim() -> Callable[..., dict[str, Any]]:
    def build(name: str = "claim-a", **metadata: Any) -> dict[str, Any]:
        request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name} | metadata,
            "spec": {"devices": {"requests": [request]}},
        }

    return build


@pytest.fixture
def allocation() -> dict[str, Any]:
    result = {"request": "gpu", "driver": "gpu.example.com", "pool": "n1", "device": "gpu-0"}
    return {"devices": {"results": [result]}}


@pytest.fixture
def a_node(server: InMemoryApiServer) -> dict[str, Any]:
    """A Node with a label of somebody else."""
    metadata = {"name": "n1", "labels": {"example.com/other": "theirs"}}
    return server.create({"apiVersion": "v1", "kind": "Node", "metadata": metadata})


@pytest.fixture
def apply_labels(client: Client, a_node: dict[str, Any]) -> Callable[..., Answer]:
    """`apply_labels(manager, force=False, **metadata)`: apply labels by `labels={...}`."""

    def request(manager: str, *, force: bool = False, **metadata: Any) -> Answer:
        patch = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", **metadata}}
        query = f"fieldManager={manager}{'&force=true' if force else ''}"
        return client.request("PATCH", f"{_NODE}?{query}", patch, "application/apply-patch+yaml")

    return request


@pytest.fixture
def update_labels(client: Client, a_node: dict[str, Any]) -> Callable[..., Answer]:
    """`update_labels(manager, labels)`: as `kubectl label` does, None takes a label away."""

    def request(manager: str, labels: dict[str, str | None]) -> Answer:
        patch = {"metadata": {"labels": labels}}
        return client.request("PATCH", f"{_NODE}?fieldManager={manager}", patch, "application/merge-patch+json")

    return request
