"""What a driver meets in a kubelet: the same checks with FakeKubelet and with the real one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from drakit.errors import ClaimError
from drakit.kubelet import HealthBoard, KubeletPaths, KubeletServer
from drakit.model import DeviceHandle, DeviceRef, Health, HealthStatus
from drakit.testing import FakeKubelet
from realkube.api import Document
from realkube.borrowed import borrow
from realkube.cluster import Cluster
from realkube.debian import Debian
from realkube.kubernetes import Kubernetes
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace, claim, claim_spec, pod

pytestmark = [pytest.mark.cluster, pytest.mark.node, pytest.mark.contract]

_fixtures = borrow("kubelet/conftest.py")
loop = _fixtures.loop
DRIVER, POOL, REQUEST = _fixtures.DRIVER, "node-1", "some"
DEVICE = DeviceRef(DRIVER, POOL, "gpu-0")


class Kubelet(Protocol):
    """What the checks ask of either kubelet."""

    paths: KubeletPaths

    def restart(self) -> None:
        """End it, and start it again."""

    def start_pod(self) -> str:
        """Start a pod with a claim for the driver's device; returns what failed, once it has, else "" when it runs."""

    def end_pod(self) -> None:
        """End that pod."""

    def health(self) -> str:
        """The device's health, as the pod shows it."""

    def clean(self) -> None:
        """Remove what a check has left; the driver is still served."""


class Fake:
    """FakeKubelet."""

    def __init__(self, root: Path) -> None:
        self.paths = KubeletPaths(registry=root / "registry", plugins=root / "plugins")
        self.paths.registry.mkdir()
        self.paths.plugins.mkdir()
        self._claim = _fixtures.claim("one")
        self._kubelet = FakeKubelet(self.paths.registry, retry_seconds=0.05, health_reconnect_seconds=0.05)
        self._kubelet.start()

    def restart(self) -> None:
        self._kubelet.restart()

    def start_pod(self) -> str:
        self._kubelet.wait_for(DRIVER)
        return self._kubelet.prepare([self._claim], DRIVER)[self._claim.uid].error

    def end_pod(self) -> None:
        self._kubelet.unprepare([self._claim], DRIVER)

    def health(self) -> str:
        return self._kubelet.health(DEVICE).status.value

    def clean(self) -> None:
        self._kubelet.close()


class Real:
    """The kubelet of a node; the driver is served by the test, into the kubelet's own directories."""

    def __init__(self, cluster: Cluster) -> None:
        (self.node,) = cluster.nodes
        kubelet = self.node.state / "lib/kubelet"
        self.paths = KubeletPaths(registry=kubelet / "plugins_registry", plugins=kubelet / "plugins")
        self._name = f"one-{uuid.uuid4().hex[:8]}"  # a pod's events outlive it
        self._api = cluster.api
        self._workspace = Workspace(cluster.api, "default")

    def restart(self) -> None:
        self.node.kill("kubelet")
        self.node.start_kubelet()

    def start_pod(self) -> str:
        until("the node to be ready", lambda: self.node.is_ready(self._api.get("Node", self.node.name)))
        self._api.apply(_slice(self.node))
        self._api.apply(_CLASS)
        self._workspace.submit(
            claim(self._name, claim_spec(DRIVER)), pod(self._name, {"resourceClaimName": self._name})
        )
        return until("the pod to run or to fail", self._outcome, seen=lambda: self._workspace.story(self._name))[0]

    def end_pod(self) -> None:
        self._workspace.delete(self._name)

    def health(self) -> str:
        (container,) = self._workspace.pod(self._name)["status"]["containerStatuses"]
        (entry,) = container["allocatedResourcesStatus"]
        (resource,) = entry["resources"]
        return str(resource["health"])

    def clean(self) -> None:
        self._workspace.delete(self._name)
        self._api.delete("ResourceClaim", self._name)

    def _outcome(self) -> list[str] | None:
        failed = [it for it in self._workspace.events(self._name) if "Failed to prepare" in it]
        running = self._workspace.pod(self._name)["status"].get("phase") == "Running"
        return failed[:1] or ([""] if running else None)


_CLASS: Document = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceClass",
    "metadata": {"name": DRIVER},
    "spec": {"selectors": [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}]},
}


def _slice(node: Node) -> Document:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": "contract"},
        "spec": {
            "driver": DRIVER,
            "nodeName": node.name,
            "pool": {"name": POOL, "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": DEVICE.name}],
        },
    }


@pytest.fixture(scope="module")
def bare_node(components: tuple[Kubernetes, Debian]) -> Iterator[Cluster]:
    """A cluster with one node, and no driver on it."""
    with Cluster(*components) as cluster:
        cluster.start_nodes()
        yield cluster


@pytest.fixture(params=["fake", "real"])
def kubelet(request: pytest.FixtureRequest) -> Kubelet:
    """Either kubelet."""
    if request.param == "fake":
        return Fake(request.getfixturevalue("short_path"))
    return Real(request.getfixturevalue("bare_node"))


class Claims(_fixtures.Claims):  # type: ignore[name-defined,misc]
    """Gives every claim the device, without anything for its containers."""

    async def prepare(self, claim: Any, together: frozenset[str]) -> Any:
        await super().prepare(claim, together)
        return [DeviceHandle(REQUEST, DEVICE, (), None)]


@pytest.fixture
def claims() -> Claims:
    """What the driver is asked, and what it answers."""
    return Claims()


@pytest.fixture
def heard() -> list[tuple[bool, str]]:
    """What the kubelet told the driver of its registration."""
    return []


@pytest.fixture
def serve(
    kubelet: Kubelet, loop: Any, claims: Claims, heard: list[tuple[bool, str]]
) -> Iterator[Callable[..., KubeletServer]]:
    """Serve the driver, and wait until the kubelet has registered it."""
    served = []

    def serve(**options: Any) -> KubeletServer:
        server = KubeletServer(kubelet.paths, DRIVER, claims, on_registered=lambda *it: heard.append(it), **options)
        served.append(server)
        before = len(heard)
        loop.run(server.start())
        until("the registration", lambda: len(heard) > before)
        return server

    yield serve
    kubelet.clean()
    for server in served:
        loop.run(server.stop(0))


def test_a_driver_is_registered_and_told_so(heard: list[tuple[bool, str]], serve: Callable[..., KubeletServer]):
    server = serve()
    assert heard == [(True, "")]
    assert server.registered.is_set()


def test_a_restarted_kubelet_registers_the_driver_again(
    kubelet: Kubelet, heard: list[tuple[bool, str]], serve: Callable[..., KubeletServer]
):
    serve()
    kubelet.restart()
    until("the second registration", lambda: len(heard) > 1)
    assert heard == [(True, "")] * 2


def test_a_driver_that_comes_back_is_registered_again(
    heard: list[tuple[bool, str]], serve: Callable[..., KubeletServer], loop: Any
):
    first = serve()
    loop.run(first.stop(0))
    serve()
    assert heard == [(True, "")] * 2


def test_a_pod_has_its_claim_prepared_once_and_unprepared(
    kubelet: Kubelet, claims: Claims, serve: Callable[..., KubeletServer]
):
    serve()
    assert kubelet.start_pod() == ""
    (prepared,) = claims.prepared
    assert (prepared.namespace, bool(prepared.uid)) == ("default", True)
    assert claims.unprepared == []
    kubelet.end_pod()
    assert [it.uid for it in claims.unprepared] == [prepared.uid]


def test_a_claim_that_could_not_be_prepared_is_said_and_unprepared_nevertheless(
    kubelet: Kubelet, claims: Claims, serve: Callable[..., KubeletServer]
):
    async def refuse(_claim: Any, _together: frozenset[str]) -> Any:
        raise ClaimError("the device is on fire; take it out")

    claims.prepare = refuse  # type: ignore[method-assign]
    serve()
    assert "the device is on fire; take it out" in kubelet.start_pod()
    kubelet.end_pod()
    assert len({it.uid for it in claims.unprepared}) == 1


def test_the_health_of_a_device_is_the_pods_to_show(
    components: tuple[Kubernetes, Debian], kubelet: Kubelet, serve: Callable[..., KubeletServer], loop: Any
):
    if components[0].minor < (1, 36):
        pytest.skip(f"the kubelet of {components[0].release} asks for health only if it is told to")
    board = HealthBoard()
    serve(health=board)
    assert kubelet.start_pod() == ""
    for status in (HealthStatus.HEALTHY, HealthStatus.UNHEALTHY):
        loop.call(board.update, [Health(DEVICE, status, "as the test wants")])
        until(f"the device to be {status}", lambda status=status: kubelet.health() == status.value)
    kubelet.end_pod()
