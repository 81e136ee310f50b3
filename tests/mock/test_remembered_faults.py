"""Rehearsed faults that the core remembers: from the command line to taints and refusals, over restarts."""

from __future__ import annotations

import uuid

import pytest
from drakit import DeviceRef, HealthStatus
from drakit.testing import Stage
from drakit_mock.rehearsal import Rehearsal

GPU = "gpu.example.com"
BOUND_SECONDS = 30.0
SETTINGS = {"healthSeconds": 0.1, "faultSteadySeconds": 0.5}


@pytest.fixture(scope="module")
def running():
    backends = [{"plugin": "mock", "driver": GPU, "options": {"profile": "generic-gpu"}, "taints": {}}]
    with Stage("generic-gpu-nic", backends, settings=SETTINGS) as stage:
        yield stage


class Node:
    """A stage, and what a test does to it."""

    def __init__(self, stage):
        self.stage = stage
        self.rehearsal = Rehearsal(config=stage.directory / "agent.yaml")

    def taints(self):
        """By device, the value and effect of its taints."""
        devices = [device for one in self.stage.slices()[GPU] for device in one["spec"]["devices"]]
        return {
            device["name"]: [(taint["value"], taint["effect"]) for taint in device["taints"]]
            for device in devices
            if device.get("taints")
        }

    def until(self, taints):
        self.stage.server.wait_for(lambda _: self.taints() == taints, BOUND_SECONDS)

    def until_healthy(self, device, status):
        ref = DeviceRef(GPU, self.stage.node, device)
        self.stage.kubelet.wait_until(
            lambda: self.stage.kubelet.health(ref).status is status, f"{device}: {status}", BOUND_SECONDS
        )

    def prepare(self, device):
        """What the driver answers for a claim that the device was allocated to."""
        result = {"request": "any", "driver": GPU, "pool": self.stage.node, "device": device}
        claim = self.stage.server.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": {"name": f"claim-{uuid.uuid4().hex[:8]}", "namespace": "default"},
                "spec": {"devices": {"requests": [{"name": "any", "exactly": {"deviceClassName": GPU}}]}},
                "status": {"allocation": {"devices": {"results": [result]}}},
            }
        )
        ((answer),) = self.stage.prepare(claim).values()
        self.stage.unprepare(claim)
        return answer.error


@pytest.fixture
def node(running):
    node = Node(running)
    yield node
    node.rehearsal.clear()
    for device in node.taints():
        node.rehearsal.do(device, "reset")
    node.until({})


@pytest.mark.reliability(
    fault="a device had an error that only a reset ends",
    injected="drakit mock fault DEVICE faulty --end cleared, then heal, a restart of the agent, and reset",
    promise="its taint stays, and claims for it are refused, until the reset; a restart forgets nothing",
)
def test_a_fault_that_calls_for_a_reset_outlasts_its_report_and_the_agent(node):
    node.rehearsal.do("gpu-3", "faulty", name="ecc", end="cleared", count=1, message="memory lost data")
    node.until({"gpu-3": [("ecc", "NoSchedule")]})
    node.until_healthy("gpu-3", HealthStatus.UNHEALTHY)
    node.rehearsal.do("gpu-3", "faulty", name="fan", end="gone")
    node.rehearsal.do("gpu-3", "heal")
    node.stage.stop_agent()
    node.stage.kubelet.wait_until_gone(GPU, BOUND_SECONDS)
    node.stage.start_agent()
    node.until({"gpu-3": [("ecc", "NoSchedule")]})
    assert "memory lost data" in node.prepare("gpu-3")
    assert node.prepare("gpu-4") == ""
    node.rehearsal.do("gpu-3", "reset")
    node.until({})
    node.until_healthy("gpu-3", HealthStatus.HEALTHY)
    assert node.prepare("gpu-3") == ""


def test_a_fault_that_must_stay_away_for_a_time_ends_by_itself(node):
    node.rehearsal.do("gpu-1", "faulty", name="link", end="steady")
    node.until({"gpu-1": [("link", "NoSchedule")]})
    node.rehearsal.do("gpu-1", "heal")
    node.until({})


def test_a_count_below_its_threshold_is_no_fault(node):
    node.rehearsal.do("gpu-1", "faulty", name="ecc", count=4, threshold=5)
    node.rehearsal.do("gpu-2", "faulty", name="ecc", count=5, threshold=5)
    node.until({"gpu-2": [("ecc", "NoSchedule")]})


@pytest.mark.reliability(
    fault="a device turns out at Prepare to be unfit for its claim",
    injected="drakit mock fault DEVICE unfit",
    promise="the claim is refused with the reason, and the device tainted so that its pod is placed anew",
)
def test_a_lasting_refusal_taints_the_device_so_that_its_pod_is_placed_anew(node):
    node.rehearsal.do("gpu-5", "unfit", name="link", message="gpu-5 is not linked to its neighbour")
    assert "gpu-5 is not linked to its neighbour" in node.prepare("gpu-5")
    node.until({"gpu-5": [("link", "NoExecute")]})
    node.rehearsal.do("gpu-5", "heal")
    node.until({})
