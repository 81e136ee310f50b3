"""The runbook of docs/migration.md on a real node: a label brings the chart's agent, and takes it away again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from realkube import artifacts
from realkube.built import BuiltImage
from realkube.cluster import Cluster
from realkube.daemonset import agents, install, prepare, told, values_for
from realkube.machine import Process
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace, claim, claim_spec, pod, template

from tests.cluster.deploy.before import check_cluster, document

pytestmark = [pytest.mark.cluster, pytest.mark.node]

DRIVER = "neuron.aws.com"
FOREIGN = Path(__file__).parents[1] / "foreign.py"
LABEL = "drakit/node"


@pytest.fixture
def cluster(components, drakit_image: BuiltImage, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A trn2.48xlarge node with a driver of another make, and the chart, which waits for a label."""
    with Cluster(*components) as cluster, artifacts.kept_on_failure(cluster, request.session):
        (node,) = cluster.nodes
        node.lay_out("trn2.48xlarge")
        cluster.start_nodes()
        prepare(node, drakit_image)
        cluster.make_namespace()
        selectors = [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}]
        cluster.api.create(document("DeviceClass", DRIVER, {"selectors": selectors}))
        values = values_for(
            drakit_image,
            config={"backends": [{"plugin": "neuron"}]},
            agent={"nodeSelector": {LABEL: "true"}},
            deviceClasses={"create": False},
        )
        install(cluster, values, wait=False)
        yield cluster


@pytest.fixture
def node(cluster: Cluster) -> Node:
    (node,) = cluster.nodes
    node._write_service_account()
    return node


def start_other(cluster: Cluster, node: Node) -> Process:
    """Start the other driver and publish its devices, under the name that AWS's driver writes by."""
    process = node.start_script("other", FOREIGN, DRIVER)
    until("the other driver to register", lambda: process.said("registered"), seen=process.tail)
    for it in cluster.api.list("ResourceSlice"):
        cluster.api.delete("ResourceSlice", it["metadata"]["name"])
    about = cluster.api.get("Node", node.name)["metadata"]
    spec = {
        "driver": DRIVER,
        "nodeName": node.name,
        "pool": {"name": node.name, "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": f"neuron-device-{index}"} for index in range(16)],
    }
    owner = {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": about["uid"], "controller": True}
    slice_ = document("ResourceSlice", "other-x7k2p", spec)
    slice_["metadata"]["ownerReferences"] = [owner]
    path = "/apis/resource.k8s.io/v1/resourceslices?fieldManager=k8s-neuron-dra-driver"
    cluster.api.call("POST", path, slice_)
    return process


def label(cluster: Cluster, node: Node, value: str | None) -> None:
    """What `kubectl label node` does."""
    body = {"metadata": {"labels": {LABEL: value}}}
    cluster.api.call("PATCH", f"/api/v1/nodes/{node.name}", body, content_type="application/merge-patch+json")


def restart_container(node: Node, workspace: Workspace, name: str) -> None:
    """End the container of a pod, and wait until the kubelet has started it again."""
    (before,) = workspace.pod(name)["status"]["containerStatuses"]
    node.kill_container(before)

    def again() -> bool:
        (now,) = workspace.pod(name)["status"]["containerStatuses"]
        return bool(now["restartCount"] > before["restartCount"] and "running" in now["state"])

    until("the container to be started again", again, seen=lambda: workspace.story(name))


def test_a_label_takes_a_node_over_and_gives_it_back_under_a_running_pod(
    cluster: Cluster, node: Node, workspace: Workspace, tmp_path: Path
):
    def looked(code: int) -> Any:
        (found,) = json.loads(check_cluster(cluster, tmp_path, "-o", "json", code=code))["nodes"]
        return found

    other = start_other(cluster, node)
    worker = pod("worker", {"resourceClaimName": "mine"})
    worker["spec"]["restartPolicy"] = "Always"
    workspace.submit(claim("mine", claim_spec(DRIVER)), worker, template("one", claim_spec(DRIVER)))
    workspace.running("worker")
    before = looked(1)
    assert before["verdict"] == "ready to switch"
    assert before["served"][0]["by"] == "AWS's Neuron DRA driver"
    assert f"kubectl label node {node.name} {LABEL}=true" in before["commands"]
    assert agents(cluster) == [], "no node has the label yet"

    label(cluster, node, "true")
    assert other.end() == 0
    until("drakit's slices", lambda: _by(cluster) == {"drakit"}, seen=lambda: told(cluster))
    assert looked(0)["verdict"] == "nothing to do"
    restart_container(node, workspace, "worker")
    workspace.submit(pod("new", {"resourceClaimTemplateName": "one"}))
    workspace.running("new")
    workspace.delete("new")

    label(cluster, node, None)
    until("the agent to be gone", lambda: not agents(cluster), seen=lambda: told(cluster))
    start_other(cluster, node)
    restart_container(node, workspace, "worker")
    workspace.submit(pod("other", {"resourceClaimTemplateName": "one"}))
    workspace.running("other")
    workspace.delete("other", "worker")
    assert looked(1)["verdict"] == "ready to switch"


def _by(cluster: Cluster) -> set[str]:
    """Who wrote the slices last."""
    managed = [it["metadata"]["managedFields"] for it in cluster.api.list("ResourceSlice")]
    return {max(entries, key=lambda entry: str(entry["time"]))["manager"] for entries in managed}
