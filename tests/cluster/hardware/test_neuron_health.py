"""A Neuron device that loses data: in its pod's status, evicted from by a taint, kept from others, and cleared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from realkube.waiting import until
from realkube.workspace import Workspace, claim_spec, pod, template

pytestmark = [pytest.mark.cluster, pytest.mark.node]

CLASS = "neuron.aws.com"
COUNTER = "neuron0/stats/hardware/mem_ecc_uncorrected"


def health(workspace: Workspace, name: str) -> dict[str, str]:
    """Health -> what is said of it, of the devices of a pod that has one container, as the pod's status has it."""
    (container,) = workspace.pod(name)["status"]["containerStatuses"]
    return {
        resource["health"]: resource.get("message", "")
        for status in container.get("allocatedResourcesStatus") or ()
        for resource in status["resources"]
    }


@pytest.mark.reliability(
    fault="The memory of a device that a pod uses loses data, on a node of a real cluster",
    injected="The kernel module's counter of uncorrected errors goes up, with taints of effect NoExecute",
    promise="It is in the pod's status, the pod is evicted, no other gets the device until an operator has cleared it",
)
def test_a_device_that_loses_data_evicts_its_pod_and_is_given_again_once_it_was_cleared(
    workspace: Workspace, neuron: Callable[..., Any]
):
    one = neuron("trn2.3xlarge", {"taints": {"effect": "NoSchedule"}})
    workspace.submit(template("one", claim_spec(CLASS)), pod("worker", {"resourceClaimTemplateName": "one"}))
    workspace.running("worker")
    until("a healthy device", lambda: set(health(workspace, "worker")) == {"Healthy"}, seen=one.agent.tail)
    one.neuron(COUNTER).write_text("1\n")
    until("an unhealthy device", lambda: set(health(workspace, "worker")) == {"Unhealthy"}, seen=one.agent.tail)
    assert "errors of the device's memory that lost data" in health(workspace, "worker")["Unhealthy"]
    fault = ("mem_ecc_uncorrected", "NoSchedule")
    until("the taint", lambda: one.taints() == {"neuron-device-0": fault}, seen=one.agent.tail)
    assert workspace.pod("worker")["status"]["phase"] == "Running", "NoSchedule evicts nobody"
    one.agent.end()
    agent = one.node.start_agent([{"plugin": "neuron", "taints": {"effect": "NoExecute"}}], healthSeconds=0.5)
    workspace.gone("worker")
    workspace.submit(pod("next", {"resourceClaimTemplateName": "one"}))
    workspace.unschedulable("next")
    said = one.node.drakit("device", "clear", CLASS, "neuron-device-0")
    assert "mem_ecc_uncorrected" in said
    workspace.running("next")
    until("the taint to be gone", lambda: not one.taints(), seen=agent.tail)
    until("a healthy device", lambda: set(health(workspace, "next")) == {"Healthy"}, seen=agent.tail)
