"""A whole agent against an API server in every kind of trouble: what is prepared is served, the rest catches up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drakit.documents import claim_ref
from drakit.kube.credentials import Credentials
from drakit.model import ClaimRef
from drakit.settings import BackendSettings, Settings
from drakit.testing import FakeKubelet, InMemoryApiServer
from drakit.testing.agents import AgentThread
from drakit.testing.apiserver import Refusal

DRIVER, NODE = "a.example.com", "node-1"
PROFILE = """
apiVersion: mock.drakit/v1alpha1
kind: MockProfile
devices: [{name: "dev-{index}", count: COUNT, status: {data: {firmware: "1.2"}}}]
"""


class Cluster:
    """An API server and a node on which an agent runs, in threads of this process."""

    def __init__(self, directory: Path, stack: contextlib.ExitStack) -> None:
        self.directory = directory
        self._stack = stack
        for name in ("root", "reg", "plugins", "cdi"):
            (directory / name).mkdir()
        self.plug(2)

    def serve_api(self, **options: Any) -> InMemoryApiServer:
        self.api = self._stack.enter_context(InMemoryApiServer(**options))
        self.api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        return self.api

    def start(self, refusal: str = "", **credentials: Any) -> FakeKubelet:
        """Start the agent, and a kubelet that registers it, or refuses to."""
        self.start_agent(**credentials)
        kubelet = self._stack.enter_context(FakeKubelet(self.directory / "reg", retry_seconds=0.05))
        if refusal:
            kubelet.refuse(DRIVER, refusal)
            kubelet.wait_until(lambda: any(refusal in problem for problem in kubelet.problems), "the refusal", 30)
        else:
            kubelet.wait_for(DRIVER, 30)
        return kubelet

    def start_agent(self, **credentials: Any) -> AgentThread:
        options = {"profile": str(self.directory / "profile.yaml")}
        settings = Settings(
            node_name=NODE,
            root=self.directory / "root",
            cdi_root=self.directory / "cdi",
            kubelet_registrar_directory_path=self.directory / "reg",
            kubelet_plugins_directory_path=self.directory / "plugins",
            backends=[BackendSettings(plugin="mock", driver=DRIVER, options=options)],
            discovery_seconds=0.1,
            health_seconds=0.1,
            drain_seconds=5,
        )
        agent = AgentThread(settings, Credentials(server=self.api.url, **credentials))
        agent.start()
        self._stack.callback(agent.stop)
        return agent

    def plug(self, count: int) -> None:
        """Have so many devices from now on."""
        (self.directory / "next").write_text(PROFILE.replace("COUNT", str(count)))
        (self.directory / "next").replace(self.directory / "profile.yaml")

    def claim(self, name: str, device: str = "dev-0") -> ClaimRef:
        """Create a claim that is allocated this device."""
        results = [{"request": "x", "driver": DRIVER, "pool": NODE, "device": device}]
        spec = {"devices": {"requests": [{"name": "x", "exactly": {"deviceClassName": "any"}}]}}
        document = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
            "status": {"allocation": {"devices": {"results": results}}},
        }
        return claim_ref(self.api.create(document))

    def patched(self, claim: str) -> int:
        """How often the status of a claim was sent so far."""
        return sum(method == "PATCH" and f"/{claim}/status" in path for method, path in self.api.requests)

    def published(self) -> int | None:
        """How many devices there are for the scheduler; None while the pool is not complete."""
        specs = [document["spec"] for document in self.api.list("ResourceSlice")]
        newest = max((spec["pool"]["generation"] for spec in specs), default=0)
        specs = [spec for spec in specs if spec["pool"]["generation"] == newest]
        whole = specs and all(spec["pool"]["resourceSliceCount"] == len(specs) for spec in specs)
        return sum(len(spec["devices"]) for spec in specs) if whole else None

    def await_devices(self, count: int) -> None:
        self.api.wait_for(lambda _: self.published() == count and self._current(), 30)

    def _current(self) -> bool:
        """Whether nothing is left of older generations."""
        return len({document["spec"]["pool"]["generation"] for document in self.api.list("ResourceSlice")}) == 1


@pytest.fixture
def cluster(short_path: Path) -> Iterator[Cluster]:
    with contextlib.ExitStack() as stack:
        yield Cluster(short_path, stack)


def refuse(api: InMemoryApiServer) -> None:
    api.pause()


def answer(status: int) -> Any:
    return lambda api: api.fail(next=1_000_000, status=status)


def garble(api: InMemoryApiServer) -> None:
    api.garble(next=1_000_000)


def cut(api: InMemoryApiServer) -> None:
    api.cut(next=1_000_000)


TROUBLE = {
    "refused": refuse,
    "429": answer(429),
    "500": answer(500),
    "503": answer(503),
    "401": answer(401),
    "garbage": garble,
    "resets": cut,
}


@pytest.mark.reliability(
    fault="The API server is in trouble of any kind, for however long, while pods start and end",
    injected="it refuses connections; answers 401, 429, 500, 503 or garbage; resets every connection",
    promise="what is prepared is answered and released; a new claim is told why it must wait; then all catches up",
)
@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
def test_through_an_outage_what_is_prepared_is_served_and_afterwards_all_is_caught_up(cluster, trouble):
    api = cluster.serve_api()
    kubelet = cluster.start()
    cluster.await_devices(2)
    held, new = cluster.claim("held"), cluster.claim("new", "dev-1")
    prepared = kubelet.prepare([held], DRIVER)
    assert not prepared[held.uid].error

    trouble(api)
    assert kubelet.prepare([held], DRIVER) == prepared
    assert "could not be read" in kubelet.prepare([new], DRIVER)[new.uid].error
    cluster.plug(200)
    assert kubelet.unprepare([held], DRIVER) == {held.uid: ""}
    requests = len(api.requests)
    if trouble is not refuse:
        api.wait_for(lambda server: len(server.requests) > requests, 30)

    api.recover()
    cluster.await_devices(200)
    kubelet.wait_until(lambda: not kubelet.prepare([new], DRIVER)[new.uid].error, "the new claim to be prepared", 30)
    assert kubelet.problems == []


@pytest.mark.reliability(
    fault="The agent starts while the API server is away",
    injected="connections are refused until a kubelet has registered the driver and has asked for a claim",
    promise="the driver registers and answers; slices are published when the server is there",
)
def test_an_agent_that_starts_in_an_outage_serves_and_publishes_afterwards(cluster):
    api = cluster.serve_api()
    claim = cluster.claim("held")
    api.pause()
    kubelet = cluster.start()
    assert "cannot be reached" in kubelet.prepare([claim], DRIVER)[claim.uid].error
    api.resume()
    cluster.await_devices(2)
    assert not kubelet.prepare([claim], DRIVER)[claim.uid].error


@pytest.mark.reliability(
    fault="The service account's token expires during an outage",
    injected="the API server comes back with another token, which is in the file by then or a while later",
    promise="the agent goes on with the new token without a restart, whichever comes first",
)
@pytest.mark.parametrize("late", [False, True])
def test_a_token_that_expired_during_an_outage_is_replaced_by_its_file(cluster, late):
    token = cluster.directory / "token"
    token.write_text("first")
    api = cluster.serve_api(token="first")
    kubelet = cluster.start(token_file=token)
    cluster.await_devices(2)
    api.pause()
    cluster.plug(3)
    api.token = "second"
    if not late:
        token.write_text("second")
    api.resume()
    if late:
        requests = len(api.requests)
        api.wait_for(lambda server: len(server.requests) > requests + 2, 30)
        token.write_text("second")
    cluster.await_devices(3)
    claim = cluster.claim("new")
    assert not kubelet.prepare([claim], DRIVER)[claim.uid].error


@pytest.mark.reliability(
    fault="etcd is restored from a backup while the agent runs",
    injected="the in-memory API server is set back: resource versions, slices and claims are those of before",
    promise="slices are put right at once; prepared claims that came later are answered as gone, and released",
)
def test_a_cluster_restored_from_a_backup_gets_the_slices_of_now(cluster):
    api = cluster.serve_api()
    kubelet = cluster.start()
    cluster.plug(300)
    cluster.await_devices(300)
    backup = api.backup()
    cluster.plug(3)
    cluster.await_devices(3)
    later = cluster.claim("later")
    assert not kubelet.prepare([later], DRIVER)[later.uid].error
    api.restore(backup)
    assert cluster.published() == 300
    cluster.await_devices(3)
    assert "was deleted" in kubelet.prepare([later], DRIVER)[later.uid].error
    assert kubelet.unprepare([later], DRIVER) == {later.uid: ""}


@pytest.mark.reliability(
    fault="The kubelet restarts and deletes the node's slices, or somebody else deletes them",
    injected="every ResourceSlice is deleted, before and after the registration of a restarted kubelet",
    promise="they are published again at once",
)
def test_slices_that_a_restarted_kubelet_deletes_are_back_at_once(cluster):
    api = cluster.serve_api()
    kubelet = cluster.start()
    cluster.plug(200)
    cluster.await_devices(200)
    for wipe_first in (True, False):
        if wipe_first:
            wipe(api)
        kubelet.restart()
        kubelet.wait_for(DRIVER)
        if not wipe_first:
            wipe(api)
        cluster.await_devices(200)


def wipe(api: InMemoryApiServer) -> None:
    for document in api.list("ResourceSlice"):
        with contextlib.suppress(Refusal):
            api.delete("ResourceSlice", document["metadata"]["name"])


@pytest.mark.reliability(
    fault="The kubelet refuses the driver, or is not there yet",
    injected="a kubelet that refuses the registration, and accepts it later",
    promise="no device is published before the driver is registered: no pod is sent where it could not start",
)
def test_nothing_is_published_before_the_kubelet_has_registered_the_driver(cluster):
    api = cluster.serve_api()
    kubelet = cluster.start(refusal="not on this node")
    assert [method for method, _ in api.requests if method != "GET"] == []
    assert not any("resourceslices" in path for _, path in api.requests)
    kubelet.accept(DRIVER)
    cluster.await_devices(2)


@pytest.mark.reliability(
    fault="The agent ends before the status of a device is written",
    injected="every patch is left without an answer until the agent has stopped; the kubelet asks for nothing again",
    promise="the next start writes it, once, and then lets it be",
)
def test_a_status_that_was_not_written_is_written_by_the_next_start(cluster, monkeypatch):
    monkeypatch.setattr("drakit.driver.STATUS_SECONDS", 0.0)
    api = cluster.serve_api()
    agent = cluster.start_agent()
    with FakeKubelet(cluster.directory / "reg", retry_seconds=0.05) as kubelet:
        kubelet.wait_for(DRIVER, 30)
        cluster.await_devices(2)
        held, ended = cluster.claim("held"), cluster.claim("ended", "dev-1")
        api.hang(next=1000, method="PATCH")
        for claim in (held, ended):
            assert not kubelet.prepare([claim], DRIVER)[claim.uid].error
        api.wait_for(lambda _: cluster.patched("held") == 1)
        assert kubelet.unprepare([ended], DRIVER) == {ended.uid: ""}
        agent.stop()
    api.drop_connections()
    api.recover()
    cluster.start_agent()
    (entry,) = api.wait_for(lambda server: server.get("ResourceClaim", "held")["status"].get("devices"), 30)
    assert entry["data"] == {"firmware": "1.2"}
    assert (cluster.patched("held"), cluster.patched("ended")) == (2, 0)
