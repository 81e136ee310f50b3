"""Two agents of one DaemonSet at once, as a rolling update has them, while pods start throughout."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from drakit.testing import PROFILES, FakeKubelet
from drakit.testing.kubelet import Prepared
from drakit.testing.kubelet.connection import Connection
from drakit.testing.kubelet.rules import read_prepared, read_unprepared

DRIVER = "a.example.com"
EACH = 60
"""How many devices each of three threads has to give to pods."""
BACKENDS = """
- plugin: mock
  driver: a.example.com
  options: {inline: {devices: [{name: "dev-{index}", count: 180}]}}
"""
OLD, NEW = ("0f6a5d7c-9a4e-4d8f-8f0c-0d6a5b1c2e3f", "7b1d2c3e-1f2a-4b3c-9d4e-5f6a7b8c9d0e")


class Agents:
    """The agents of one node, by the uid of their pod."""

    def __init__(self, node: Any, kubelet: FakeKubelet) -> None:
        self._node = node
        self._kubelet = kubelet
        self._running: dict[str, Any] = {}

    def start(self, pod_uid: str, driver: str = DRIVER, backends: str = BACKENDS) -> Path:
        """Start one and wait until the kubelet has registered it; returns the endpoint of its driver."""
        before = len(self._kubelet.history)
        self._running[pod_uid] = self._node.start(backends, podUid=pod_uid)
        self._node.agent = None
        self._kubelet.wait_until(lambda: len(self._kubelet.history) > before, f"agent {pod_uid}", 30)
        return self._kubelet.wait_for(driver).endpoint

    def end(self, pod_uid: str, with_signal: int = signal.SIGTERM) -> int:
        agent = self._running.pop(pod_uid)
        agent.send_signal(with_signal)
        return int(agent.wait(30))

    def end_all(self) -> None:
        for pod_uid in list(self._running):
            self.end(pod_uid, signal.SIGKILL)


@pytest.fixture
def agents(node, kubelet) -> Iterator[Agents]:
    node.root.mkdir()
    found = Agents(node, kubelet)
    yield found
    found.end_all()


class Pods(threading.Thread):
    """Starts pods without a pause, each with a device of this thread's own, and ends the oldest when these are used up.

    `prepare` and `unprepare` take a claim; `new_claim` makes one that is allocated.
    """

    def __init__(self, number: int, new_claim: Any, prepare: Any, unprepare: Any) -> None:
        super().__init__(daemon=True)
        self._number = number
        self._new_claim = new_claim
        self._prepare = prepare
        self._unprepare = unprepare
        self._enough = threading.Event()
        self.started = 0
        self.running: dict[Any, Any] = {}
        """The answer for each claim of a pod that runs."""
        self.failures: list[str] = []

    def run(self) -> None:
        try:
            while not self._enough.is_set() and not self.failures:
                self._start_one()
        except Exception as error:  # a call that fails is a pod that fails
            self.failures.append(repr(error))

    def _start_one(self) -> None:
        if len(self.running) == EACH:
            oldest = next(iter(self.running))
            if error := self._unprepare(oldest):
                self.failures.append(error)
            del self.running[oldest]
        device = f"dev-{self._number * EACH + self.started % EACH}"
        claim = self._new_claim(f"pod-{self._number}-{self.started}", {DRIVER: ("x", [device])})
        answer = self.running[claim] = self._prepare(claim)
        self.started += 1
        if [handle.device.name for handle in answer.devices] != [device]:
            self.failures.append(answer.error or f"{claim} was to have {device} and has {answer.devices}")

    def finish(self) -> None:
        self._enough.set()
        self.join()


def at(endpoint: Path) -> tuple[Any, Any]:
    """Prepare and Unprepare at this instance, whichever the kubelet would choose."""

    def call(method: str, claim: Any) -> Any:
        with Connection(endpoint) as connection:
            return connection.call_claims("v1.DRAPlugin", method, [claim], 45)

    def prepare(claim: Any) -> Prepared:
        return read_prepared(DRIVER, [claim], call("NodePrepareResources", claim))[claim.uid]

    def unprepare(claim: Any) -> str:
        return read_unprepared(DRIVER, [claim], call("NodeUnprepareResources", claim))[claim.uid]

    return prepare, unprepare


def writes(api: Any) -> int:
    return sum(method != "GET" for method, _ in api.requests)


@pytest.mark.reliability(
    fault="The agent is updated (rolling update with maxSurge) while pods start and end",
    injected="two real agents with uids of their own are called throughout, and the old one ends",
    promise="no pod fails, no device is given twice, what one prepared the other releases, no slice is written",
)
def test_pods_start_throughout_a_rolling_update_and_none_fails(agents, node, kubelet, api, new_claim, until):
    old = agents.start(OLD)
    slices = api.wait_for(lambda server: len(found := server.list("ResourceSlice")) == 2 and found)
    api.wait_for(lambda _: writes(api) == 2)  # a request is counted when it has been answered

    def by_kubelet(claim: Any) -> Prepared:
        return kubelet.prepare([claim], DRIVER)[claim.uid]

    def end_by_kubelet(claim: Any) -> str:
        return kubelet.unprepare([claim], DRIVER)[claim.uid]

    usual = Pods(0, new_claim, by_kubelet, end_by_kubelet)
    usual.start()
    until(lambda: usual.started > 10 or usual.failures, "pods to start at the old agent")
    new = agents.start(NEW)
    assert new != old
    # One begins at the old agent what it ends at the new one, another does it the other way round.
    crossed = Pods(1, new_claim, at(old)[0], at(new)[1]), Pods(2, new_claim, at(new)[0], at(old)[1])
    for pods in crossed:
        pods.start()
    until(lambda: all(pods.started > 2 * EACH or pods.failures for pods in crossed), "pods to start at both agents")
    for pods in crossed:  # from now on the kubelet has no reason to ask the old one
        pods.finish()
    assert agents.end(OLD) == 0
    until(lambda: len(kubelet.registered(DRIVER)) == 1, "the old agent to be deregistered")
    started = usual.started
    until(lambda: usual.started > started + 10 or usual.failures, "pods to start at the new agent")
    usual.finish()

    assert [pods.failures for pods in (usual, *crossed)] == [[], [], []]
    running = usual.running | crossed[0].running | crossed[1].running
    assert len(node.files()) == len(running)
    # What either of them prepared, the one that is left knows, answers the same, and releases.
    assert kubelet.prepare(list(running), DRIVER) == {claim.uid: answer for claim, answer in running.items()}
    assert set(kubelet.unprepare(list(running), DRIVER).values()) == {""}
    assert node.files() == {}
    assert api.list("ResourceSlice") == slices
    assert writes(api) == 2
    assert not old.exists()
    assert kubelet.problems == []


def test_a_device_held_through_one_agent_is_refused_by_the_other(agents, kubelet, new_claim):
    holder, late = (new_claim(name, {DRIVER: ("x", ["dev-0"])}) for name in ("holder", "late"))
    old, new = at(agents.start(OLD))[0], at(agents.start(NEW))[0]
    assert not old(holder).error
    assert "held by claim default/holder" in new(late).error
    assert kubelet.unprepare([holder], DRIVER) == {holder.uid: ""}  # by the new one
    assert not old(late).error


@pytest.mark.reliability(
    fault="An agent is killed in a rolling update and its pod is gone: its sockets stay",
    injected="SIGKILL to one of two agents, or to the only one before its successor starts",
    promise="the one that lives removes the sockets of the dead one, and no others; pods go on",
)
@pytest.mark.parametrize("driver", [DRIVER, "a-driver-with-a-name-as-long-as-they-come.drivers.example.com"])
def test_the_sockets_of_a_killed_agent_go_when_its_successor_comes(agents, node, kubelet, new_claim, until, driver):
    backends = BACKENDS.replace(DRIVER, driver)
    claim = new_claim("worker", {driver: ("x", ["dev-0"])})
    old = agents.start(OLD, driver, backends)
    answer = kubelet.prepare([claim], driver)
    agents.end(OLD, signal.SIGKILL)
    assert old.exists()
    new = agents.start(NEW, driver, backends)
    until(lambda: not old.exists(), "the dead agent's endpoint to be removed")
    until(lambda: [one.endpoint for one in kubelet.registered(driver)] == [new], "the kubelet to forget the dead one")
    assert len(list(node.registry.glob("*.sock"))) == 1
    assert [path.name for path in new.parent.glob("*.sock.lock")] == [f"{new.name}.lock"]
    assert kubelet.prepare([claim], driver) == answer
    assert agents.end(NEW) == 0
    assert not list(node.registry.iterdir())
    assert not list(new.parent.glob("*.sock*"))


ANOTHER = "[{plugin: mock, driver: b.example.com, options: {inline: {devices: [{name: dev-0}]}}}]"


@pytest.mark.reliability(
    fault="A plugin is taken out of the configuration, or fails to load, while claims of its driver are prepared",
    injected="a real agent without the backend, beside an agent that has it, and then alone",
    promise="its slices go, so that no more pods are sent, but not under an agent that still has the backend",
)
def test_a_driver_that_has_lost_its_backend_withdraws_its_slices(agents, kubelet, api, new_claim):
    def published(server: Any) -> set[str]:
        return {document["spec"]["driver"] for document in server.list("ResourceSlice")}

    claim = new_claim("worker", {DRIVER: ("x", ["dev-0"])})
    agents.start(OLD)
    assert not kubelet.prepare([claim], DRIVER)[claim.uid].error
    api.wait_for(lambda server: published(server) == {DRIVER}, 30)
    agents.start(NEW, backends=ANOTHER)
    kubelet.wait_until(lambda: len(kubelet.registered(DRIVER)) == 2, "both agents to serve the driver", 30)
    api.wait_for(lambda server: published(server) == {DRIVER, "b.example.com"}, 30)
    assert agents.end(OLD) == 0
    api.wait_for(lambda server: published(server) == {"b.example.com"}, 30)
    assert kubelet.unprepare([claim], DRIVER) == {claim.uid: ""}


@pytest.mark.reliability(
    fault="The kubelet is updated or set back to another release while claims are prepared",
    injected="kubelets of 1.34 to 1.37, speaking v1 and v1beta1, prepare one claim at a real agent in turn",
    promise="each of them registers the driver and is answered the same devices and CDI ids",
)
def test_a_claim_is_answered_the_same_to_every_kubelet_over_both_versions(node, new_claim):
    node.root.mkdir()
    node.start(BACKENDS)
    claim = new_claim("worker", {DRIVER: ("x/first", ["dev-0", "dev-1"])})
    answers = []
    for profile, service in itertools.product(PROFILES.values(), ("v1.DRAPlugin", "v1beta1.DRAPlugin")):
        with FakeKubelet(node.registry, profile=evolve(profile, dra_services=(service,))) as kubelet:
            assert kubelet.wait_for(DRIVER, 30).service == service
            answers.append(kubelet.prepare([claim], DRIVER)[claim.uid])
            assert kubelet.prepare([], DRIVER) == {}
            assert kubelet.problems == []
    assert answers == [answers[0]] * 8
    assert {handle.request for handle in answers[0].devices} == {"x"}
    first_ids = [handle.cdi_ids[0] for handle in answers[0].devices]
    assert len(set(first_ids)) == 2
