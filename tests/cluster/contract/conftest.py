"""A real API server in the place of the in-memory one, under the fixtures of the tests in tests/apiserver."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import define
from drakit.testing import Refusal
from realkube.api import Refused
from realkube.borrowed import borrow
from realkube.cluster import Cluster
from realkube.controlplane import PORT
from realkube.debian import Debian
from realkube.kubernetes import Kubernetes
from realkube.network import CONTROL_PLANE, inside
from realkube.waiting import until

_fixtures = borrow("apiserver/conftest.py")
a_slice, a_claim, allocation, watch = _fixtures.a_slice, _fixtures.a_claim, _fixtures.allocation, _fixtures.watch
a_node, apply_labels, update_labels = _fixtures.a_node, _fixtures.apply_labels, _fixtures.update_labels
NEWEST = (1, 37)
"""The release that the in-memory server behaves as, unless it is told otherwise."""
_NAMESPACES = ("one", "two")
_OF_CONTROLLERS = "node.alpha.kubernetes.io/ttl"
"""What the controller manager writes on every new node, some time after it was created."""


class RealServer:
    """What the tests ask of a server directly, for a real one."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.api = cluster.api

    @property
    def resource_version(self) -> str:
        """The version of the newest object."""
        listed = self.api.call("GET", "/apis/resource.k8s.io/v1/resourceslices")
        return str(listed["metadata"]["resourceVersion"])

    def create(self, document: dict[str, Any]) -> dict[str, Any]:
        """Create an object, with its status."""
        created = self._refusing(self.api.create, document)
        if document["kind"] == "Node":
            return until("its controllers to know the node", lambda: self._annotated(document["metadata"]["name"]))
        return self._with_status(created, document)

    def _annotated(self, node: str) -> dict[str, Any] | None:
        found = self.api.get("Node", node)
        return found if _OF_CONTROLLERS in found["metadata"].get("annotations", {}) else None

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """One object."""
        return self.api.get(kind, name, namespace)

    def list(self, kind: str, namespace: str = "") -> list[dict[str, Any]]:
        """All objects of a kind."""
        return self.api.list(kind, namespace)

    def replace(self, document: dict[str, Any]) -> dict[str, Any]:
        """Replace an object, with its status."""
        replaced = self._refusing(self.api.replace, document)
        return self._with_status(replaced, document)

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        """Delete an object."""
        self.api.delete(kind, name, namespace)

    def clear(self) -> None:
        """Delete everything that a test has made."""
        for kind in ("ResourceSlice", "DeviceClass", "ResourceClaim", "ResourceClaimTemplate"):
            for document in self.api.list(kind, ""):
                if document["metadata"].pop("finalizers", None):
                    self.api.replace({**document, "kind": kind, "apiVersion": "resource.k8s.io/v1"})
                self.api.delete(kind, document["metadata"]["name"], document["metadata"].get("namespace", ""))
        self.api.delete("Node", "n1")

    def _with_status(self, stored: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
        if document["kind"] != "ResourceClaim" or stored.get("status", {}) == document.get("status", {}):
            return stored
        return self._refusing(self._replace_status, {**stored, "status": document.get("status", {})})

    def _replace_status(self, document: dict[str, Any]) -> dict[str, Any]:
        return self.api.replace(document, "status")

    def _refusing(self, call: Any, document: dict[str, Any]) -> dict[str, Any]:
        """Raise what the in-memory server raises."""
        try:
            answer: dict[str, Any] = call(document)
        except Refused as refused:
            raise _refusal(refused) from refused
        return answer


def _refusal(refused: Refused) -> Exception:
    return Refusal(refused.status, refused.reason, refused.message)


class _Connection(http.client.HTTPSConnection):
    """One that comes with a token, whatever is sent over it."""

    token = ""

    def putrequest(self, *arguments: Any, **options: Any) -> None:
        super().putrequest(*arguments, **options)
        self.putheader("Authorization", f"Bearer {self.token}")


@define
class RealClient(_fixtures.Client):
    """The tests' own client, which reaches a server in another network."""

    def connect(self) -> http.client.HTTPConnection:
        cluster: Cluster = self.server.cluster
        trust = ssl.create_default_context(cafile=cluster.control_plane.authority)
        connection = _Connection(CONTROL_PLANE, PORT, timeout=10, context=trust)
        connection.token = cluster.api.token
        with inside(cluster.control_plane.machine.network):
            connection.connect()
        return connection


@pytest.fixture(scope="module")
def bare_cluster(components: tuple[Kubernetes, Debian]) -> Iterator[Cluster]:
    """A control plane without nodes."""
    with Cluster(*components, nodes=0) as cluster:
        for name in _NAMESPACES:
            cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield cluster


@pytest.fixture
def server(components: tuple[Kubernetes, Debian], request: pytest.FixtureRequest) -> Iterator[RealServer]:
    """A real API server, as the tests of the in-memory one expect it: empty, and of the newest release."""
    if components[0].minor < NEWEST:
        pytest.skip(f"in {components[0].release} some features of 1.37 are off, which these tests use")
    bare_cluster = request.getfixturevalue("bare_cluster")
    server = RealServer(bare_cluster)
    yield server
    server.clear()


@pytest.fixture
def client(server: RealServer) -> RealClient:
    """A client of it."""
    return RealClient(server)
