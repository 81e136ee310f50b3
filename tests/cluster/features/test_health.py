"""What devices that fail come to in the cluster: a word in the pod's status, an eviction, and a way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from realkube.cluster import Cluster
from realkube.waiting import until
from realkube.workspace import Workspace, allocated, claim_spec, pod, template

pytestmark = pytest.mark.cluster

GPU = "gpu.example.com"
KEY = "gpu.example.com/broken"


def taints(cluster: Cluster) -> dict[str, list[str]]:
    """Device -> the effects of its taints, as published."""
    return {
        device["name"]: [taint["effect"] for taint in device["taints"]]
        for it in cluster.api.list("ResourceSlice")
        for device in it["spec"].get("devices") or ()
        if it["spec"]["driver"] == GPU and device.get("taints")
    }


def broken(effect: str) -> dict[str, Any]:
    """A report on a device that keeps, or drives, pods away."""
    return {"status": "Unhealthy", "message": "fell off the bus", "taint": {"key": KEY, "effect": effect}}


def health_of(workspace: Workspace, name: str) -> dict[str, tuple[str, str]]:
    """Resource -> the health of its devices, and what is said of it, as the pod's status has it."""
    (container,) = workspace.pod(name)["status"]["containerStatuses"]
    return {
        status["name"]: (resource["health"], resource.get("message", ""))
        for status in container.get("allocatedResourcesStatus") or ()
        for resource in status["resources"]
    }


@pytest.fixture
def submit(workspace: Workspace) -> Callable[[str], str]:
    """Run a pod with one GPU; returns which."""
    workspace.submit(template("one", claim_spec("gpu")))

    def submit(name: str) -> str:
        workspace.submit(pod(name, {"resourceClaimTemplateName": "one"}))
        workspace.running(name)
        (device,) = allocated(workspace.claim_of(name), GPU)
        return device

    return submit


def until_healthy(workspace: Workspace, name: str) -> None:
    """Wait until the devices of a pod are called healthy."""
    until(
        "a healthy device",
        lambda: {health for health, _ in health_of(workspace, name).values()} == {"Healthy"},
        seen=lambda: workspace.pod(name)["status"],
    )


@pytest.mark.feature("health in the pod's status", since="1.35")  # the alpha kubelet of 1.34 says nothing of it
def test_the_health_of_its_device_is_in_the_status_of_a_pod(
    featured: Cluster, workspace: Workspace, gpus: Callable[..., None], submit: Callable[[str], str]
):
    device = submit("worker")
    until_healthy(workspace, "worker")
    gpus(health={device: {"status": "Unhealthy", "message": "fell off the bus"}})
    message = "fell off the bus" if featured.kubernetes.minor >= (1, 36) else ""
    until(
        "an unhealthy device",
        lambda: set(health_of(workspace, "worker").values()) == {("Unhealthy", message)},
        seen=lambda: workspace.pod("worker")["status"],
    )
    gpus()
    until_healthy(workspace, "worker")


@pytest.mark.feature("device taints")
def test_a_tainted_device_is_given_to_nobody_until_its_fault_is_gone(
    featured: Cluster, workspace: Workspace, gpus: Callable[..., None], submit: Callable[[str], str]
):
    gpus(health={f"gpu-{index}": broken("NoSchedule") for index in range(3)})
    until("three taints", lambda: len(taints(featured)) == 3)
    assert submit("first") == "gpu-3"
    workspace.submit(pod("second", {"resourceClaimTemplateName": "one"}))
    workspace.unschedulable("second")
    gpus()
    until("the taints to be gone", lambda: not taints(featured))
    workspace.running("second")


@pytest.mark.feature("device taints")
def test_a_device_that_breaks_drives_its_pod_away_and_the_next_one_gets_another(
    featured: Cluster, workspace: Workspace, gpus: Callable[..., None], submit: Callable[[str], str]
):
    device = submit("worker")
    gpus(health={device: broken("NoExecute")})
    until("the pod to be evicted", lambda: not workspace.pods(), seen=workspace.stories)
    assert submit("next") != device
    gpus()
    until("the taint to be gone", lambda: not taints(featured))
