"""What an operator sees of the agent over HTTP: readiness with its reasons, metrics, and what they join with."""

from __future__ import annotations

import re
from collections.abc import Callable

import grpc
import pytest
from drakit.kubelet.proto import podresources_v1_pb2
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace, claim_spec, pod, template

pytestmark = pytest.mark.cluster

GPU, PROBES = "gpu.example.com", 8080
Device = tuple[str, str, str]
SERIES = re.compile(r'drakit_device_allocated{device="(.*)",driver="(.*)",pool="(.*)"} 1\.0')


def held_by_metrics(node: Node) -> set[Device]:
    """The devices that the agent says are held: driver, pool, device."""
    status, text = node.get(PROBES, "/metrics")
    assert status == 200
    return {(driver, pool, device) for device, driver, pool in SERIES.findall(text)}


def held_by_pods(node: Node) -> set[Device]:
    """The devices that the kubelet says containers have."""
    socket = node.path("/var/lib/kubelet/pod-resources/kubelet.sock")
    with grpc.insecure_channel(f"unix:{socket}", options=[("grpc.default_authority", "localhost")]) as channel:
        ask = channel.unary_unary(
            "/v1.PodResourcesLister/List",
            request_serializer=podresources_v1_pb2.ListPodResourcesRequest.SerializeToString,
            response_deserializer=podresources_v1_pb2.ListPodResourcesResponse.FromString,
        )
        answer = ask(podresources_v1_pb2.ListPodResourcesRequest(), timeout=10)
    return {
        (device.driver_name, device.pool_name, device.device_name)
        for one in answer.pod_resources
        for container in one.containers
        for resource in container.dynamic_resources
        for device in resource.claim_resources
    }


@pytest.mark.feature("device metrics join with PodResources")
def test_the_devices_in_the_metrics_are_those_that_the_kubelet_says_pods_have(workspace: Workspace, node: Node):
    assert held_by_metrics(node) == set()
    workspace.submit(
        template("two", claim_spec("gpu", 2)),
        template("half", claim_spec("partition")),
        pod("gpus", {"resourceClaimTemplateName": "two"}),
        pod("partition", {"resourceClaimTemplateName": "half"}),
    )
    for name in ("gpus", "partition"):
        workspace.running(name)
    assert len(held_by_pods(node)) == 3
    assert held_by_metrics(node) == held_by_pods(node)
    workspace.delete("gpus", "partition")
    assert held_by_metrics(node) == set()


@pytest.mark.feature("readiness of a stuck driver")
@pytest.mark.reliability(
    fault="a hook of one plugin hangs while it prepares a pod's device",
    injected="the mock's fault `hang`, under a real kubelet",
    promise="readiness names the driver, the agent lives, other drivers' pods start, its own when the hook returns",
)
def test_a_stuck_driver_is_unready_and_costs_no_other_driver_its_pods(
    workspace: Workspace, node: Node, fault: Callable[..., None]
):
    assert node.get(PROBES, "/readyz")[0] == 200
    fault("gpu-0", "hang", f"--driver={GPU}")
    first = claim_spec("gpu", selector=f'device.attributes["{GPU}"].index == 0')
    workspace.submit(template("first", first), pod("stuck", {"resourceClaimTemplateName": "first"}))
    text = until("the agent to be unready", lambda: unready(node), seen=lambda: workspace.story("stuck"))
    reasons = dict(line.split(": ", 1) for line in text.splitlines())
    assert {name for name, reason in reasons.items() if reason != "ready"} == {GPU}
    assert "prepare" in reasons[GPU]
    assert node.get(PROBES, "/livez")[0] == 200
    workspace.submit(template("half", claim_spec("partition")), pod("other", {"resourceClaimTemplateName": "half"}))
    workspace.running("other")
    fault("gpu-0", "heal")
    until("the agent to be ready", lambda: node.get(PROBES, "/readyz")[0] == 200)
    workspace.running("stuck")


def unready(node: Node) -> str:
    """What it says if it is not ready."""
    status, text = node.get(PROBES, "/readyz")
    return "" if status == 200 else text
