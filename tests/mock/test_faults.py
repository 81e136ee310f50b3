"""Rehearsed failures of mock devices, from the command line to the kubelet and the API server, without a restart."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from drakit import DeviceRef, HealthStatus
from drakit.testing import Stage
from drakit_mock.rehearsal import Rehearsal

GPU, NIC = "gpu.example.com", "nic.example.com"
BOUND_SECONDS = 30.0
SETTINGS = {"healthSeconds": 0.1, "hookBoundSeconds": 3.0}


@pytest.fixture(scope="module")
def running():
    backends = [
        {"plugin": "mock", "driver": GPU, "options": {"profile": "generic-gpu"}},
        {"plugin": "mock", "driver": NIC, "options": {"profile": "generic-nic", "sideEffects": True}},
    ]
    with Stage("generic-gpu-nic", backends, settings=SETTINGS) as stage:
        yield stage


class Node:
    """A stage, and what a test does to it."""

    def __init__(self, stage):
        self.stage = stage
        self.rehearsal = Rehearsal(config=stage.directory / "agent.yaml")

    def devices(self, driver=GPU):
        return {device["name"]: device for one in self.stage.slices()[driver] for device in one["spec"]["devices"]}

    def until(self, condition):
        """Wait until what is published is so; the condition is given the GPUs."""
        self.stage.server.wait_for(lambda _: condition(self.devices()), BOUND_SECONDS)

    def claim(self, device, driver=GPU):
        """A claim that a device was allocated to."""
        result = {"request": "any", "driver": driver, "pool": self.stage.node, "device": device}
        return self.stage.server.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": {"name": f"claim-{uuid.uuid4().hex[:8]}", "namespace": "default"},
                "spec": {"devices": {"requests": [{"name": "any", "exactly": {"deviceClassName": driver}}]}},
                "status": {"allocation": {"devices": {"results": [result]}}},
            }
        )

    def prepare(self, claim):
        """What the only driver of a claim answers."""
        ((answer),) = self.stage.prepare(claim).values()
        return answer

    def unprepare(self, claim):
        assert set(self.stage.unprepare(claim).values()) == {""}

    def health(self, device, driver=GPU):
        return self.stage.kubelet.health(DeviceRef(driver, self.stage.node, device))

    def until_healthy(self, device, status):
        self.stage.kubelet.wait_until(
            lambda: self.health(device).status is status, f"{device}: {status}", BOUND_SECONDS
        )


@pytest.fixture
def node(running):
    node = Node(running)
    yield node
    node.rehearsal.clear()
    node.until(lambda gpus: len(gpus) == 8 and not any("taints" in gpu for gpu in gpus.values()))


@pytest.mark.reliability(
    fault="a device becomes unhealthy, and recovers",
    injected="drakit mock fault DEVICE unhealthy --taint NoSchedule, then heal",
    promise="health reaches the pod, the taint is published and goes again; no restart, no other device",
)
def test_an_unhealthy_device_is_reported_and_tainted_until_it_is_healed(node):
    node.rehearsal.do("gpu-3", "unhealthy", message="fan stopped", taint="NoSchedule")
    node.until(lambda gpus: "taints" in gpus["gpu-3"])
    (taint,) = node.devices()["gpu-3"]["taints"]
    assert (taint["key"], taint["effect"]) == (f"{GPU}/unhealthy", "NoSchedule")
    assert [name for name, gpu in node.devices().items() if "taints" in gpu] == ["gpu-3"]
    node.until_healthy("gpu-3", HealthStatus.UNHEALTHY)
    assert node.health("gpu-3").message == "fan stopped"
    node.rehearsal.do("gpu-3", "heal")
    node.until(lambda gpus: "taints" not in gpus["gpu-3"])
    node.until_healthy("gpu-3", HealthStatus.HEALTHY)


@pytest.mark.reliability(
    fault="a device vanishes while a pod uses it, and comes back",
    injected="drakit mock fault DEVICE vanish, then return",
    promise="it leaves the slices, its pod can still end, and it is published again without a restart",
)
def test_a_device_that_vanishes_can_be_unprepared_and_is_published_again_when_it_returns(node):
    claim = node.claim("gpu-1")
    assert not node.prepare(claim).error
    before = list(node.devices())
    node.rehearsal.do("gpu-1", "vanish")
    node.until(lambda gpus: "gpu-1" not in gpus)
    assert list(node.devices()) == [name for name in before if name != "gpu-1"]
    node.until_healthy("gpu-1", HealthStatus.UNHEALTHY)
    node.unprepare(claim)
    assert node.stage.cdi_files() == []
    refused = node.prepare(node.claim("gpu-1"))
    assert f"device {GPU}/node-1/gpu-1 is not on this node" in refused.error
    node.rehearsal.do("gpu-1", "return")
    node.until(lambda gpus: list(gpus) == before)
    again = node.claim("gpu-1")
    assert not node.prepare(again).error
    node.unprepare(again)


@pytest.mark.reliability(
    fault="a plugin's prepare takes long",
    injected="drakit mock fault DEVICE slow --hook prepare",
    promise="its claim is prepared when it returns; another driver's claim is prepared meanwhile",
)
def test_a_slow_device_takes_its_time_and_costs_no_other_driver_any(node):
    node.rehearsal.do("gpu-0", "slow", seconds=2.5)
    slow, quick = node.claim("gpu-0"), node.claim("nic-0", NIC)
    worker = node.stage.agent.agent.drivers[GPU].worker
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(node.prepare, slow)
        node.stage.kubelet.wait_until(lambda: worker.busy, "the slow one to be prepared", BOUND_SECONDS)
        assert not node.prepare(quick).error
        assert not waiting.done(), "the slow one was still being prepared"
        assert not waiting.result(BOUND_SECONDS).error
    for claim in (slow, quick):
        node.unprepare(claim)


def test_a_preparation_that_fails_tells_the_user_why_in_the_words_that_were_given(node):
    node.rehearsal.do("gpu-2", "fail-prepare", message="the card has no power; call the data centre")
    claim, other = node.claim("gpu-2"), node.claim("gpu-4")
    assert node.prepare(claim).error == "the card has no power; call the data centre"
    assert not node.prepare(other).error
    node.rehearsal.do("gpu-2", "heal")
    assert not node.prepare(claim).error
    for prepared in (claim, other):
        node.unprepare(prepared)


@pytest.mark.reliability(
    fault="preparing a device fails after the hardware was changed",
    injected="drakit mock fault DEVICE fail-prepare on a backend with side effects",
    promise="what was changed is undone before the answer; the device is free and the retry starts clean",
)
def test_what_a_failed_preparation_did_is_undone(node):
    node.rehearsal.do("nic-1", "fail-prepare")
    claim = node.claim("nic-1", NIC)
    assert "a fault that was injected" in node.prepare(claim).error
    effects = node.stage.root / "var/lib/drakit-mock/effects" / NIC
    assert list(effects.iterdir()) == []
    node.rehearsal.do("nic-1", "heal")
    assert not node.prepare(claim).error
    assert [path.name for path in (effects / claim["metadata"]["uid"]).iterdir()] == ["nic-1"]
    node.unprepare(claim)
    assert list(effects.iterdir()) == []


@pytest.mark.reliability(
    fault="a plugin's prepare does not return",
    injected="drakit mock fault DEVICE hang",
    promise="that driver says how long which claim takes; others answer as ever; it goes on when the hook returns",
)
def test_a_device_that_hangs_makes_its_driver_stuck_and_no_other(node):
    node.rehearsal.do("gpu-5", "hang")
    hanging, other, nic = node.claim("gpu-5"), node.claim("gpu-6"), node.claim("nic-2", NIC)
    stuck = node.prepare(hanging).error
    assert GPU in stuck
    assert node.stage.agent.agent.drivers[GPU].worker.stuck
    assert node.prepare(other).error
    assert not node.prepare(nic).error
    node.rehearsal.do("gpu-5", "heal")
    node.stage.kubelet.wait_until(lambda: not node.prepare(other).error, "the driver to go on", BOUND_SECONDS)
    assert not node.prepare(hanging).error
    for claim in (hanging, other, nic):
        node.unprepare(claim)


def test_a_discovery_that_hangs_keeps_what_is_published_and_pods_start(node):
    before = node.devices()
    node.rehearsal.do("gpu-7", "hang", hook="discover")
    agent = node.stage.agent.agent
    node.stage.kubelet.wait_until(lambda: GPU in agent.survey.failures, "the survey to go on without it", BOUND_SECONDS)
    assert node.devices() == before
    claim = node.claim("gpu-7")
    assert not node.prepare(claim).error
    node.unprepare(claim)
    node.rehearsal.do("gpu-7", "heal")
    node.stage.kubelet.wait_until(lambda: GPU not in agent.survey.failures, "discovery to return", BOUND_SECONDS)


def test_faults_outlast_a_restart_of_the_agent(node):
    node.rehearsal.do("gpu-2", "vanish")
    node.until(lambda gpus: "gpu-2" not in gpus)
    node.stage.stop_agent()
    node.stage.start_agent()
    assert "gpu-2" not in node.devices()
    node.rehearsal.do("gpu-2", "return")
    node.until(lambda gpus: "gpu-2" in gpus)
