"""A driver beside a device plugin of the same hardware, as a real kubelet runs and tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from realkube.api import Document
from realkube.cluster import Cluster
from realkube.waiting import until
from realkube.workspace import Workspace

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.usefixtures("own_cluster")]

DRIVER, BESIDE, RESOURCE = "neuron.aws.com", "dra.net", "aws.amazon.com/neuron"
PLUGIN = Path(__file__).with_name("deviceplugin.py")


def pod_of_plugin(name: str) -> Document:
    """A pod that has one device of the device plugin."""
    container = {"name": "worker", "resources": {"limits": {RESOURCE: "1"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


@pytest.mark.reliability(
    fault="A device plugin for a driver's hardware comes to a node, is killed, and its pods run on",
    injected="A device plugin registers with a real kubelet and is killed; a pod has one of its devices",
    promise="The driver's slices are withdrawn until the pod has ended, those of other drivers stay",
)
def test_a_driver_gives_way_to_a_device_plugin_and_to_its_pods(cluster: Cluster, workspace: Workspace):
    api, (node,) = cluster.api, cluster.nodes
    node.running.processes["drakit"].end()
    agent = node.start_agent(discoverySeconds=1)

    def drivers() -> set[str]:
        return {it["spec"]["driver"] for it in api.list("ResourceSlice")}

    def allocatable() -> str:
        return str(api.get("Node", node.name)["status"]["allocatable"].get(RESOURCE))

    until("the agent to publish", lambda: agent.said("publishes pools") and {DRIVER, BESIDE} <= drivers())
    plugin = node.start_script("deviceplugin", PLUGIN, RESOURCE, "2")
    until("the device plugin to be known", lambda: allocatable() == "2", seen=plugin.tail)
    until("the slices to be withdrawn", lambda: DRIVER not in drivers(), seen=agent.tail)
    workspace.submit(pod_of_plugin("plugged"))
    workspace.running("plugged")
    node.kill("deviceplugin")
    until("the node to offer nothing", lambda: allocatable() == "0")
    until("the pod to be seen", lambda: agent.said("pods on this node still have the hardware"), seen=agent.tail)
    assert DRIVER not in drivers()
    workspace.delete("plugged")
    until("the slices to be back", lambda: DRIVER in drivers(), seen=agent.tail)
    assert BESIDE in drivers()
