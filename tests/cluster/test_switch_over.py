"""drakit takes a node over from another driver of the same name, and gives it back; no pod notices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from realkube.api import Api, Document
from realkube.cluster import Cluster
from realkube.machine import Process
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace, allocated, claim, claim_spec, pod

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.usefixtures("own_cluster")]

DRIVER = "gpu.example.com"
FOREIGN = Path(__file__).with_name("foreign.py")
MODEL = "Another make"
"""What the slices of the other driver say its devices are."""


@pytest.fixture
def node(cluster: Cluster) -> Node:
    """The one node, whose agent runs."""
    return cluster.nodes[0]


def end_agent(node: Node) -> None:
    """Take drakit off the node, as an operator does who deletes its DaemonSet."""
    assert node.running.processes["drakit"].end() == 0


def start_foreign(node: Node) -> Process:
    """Start the other driver; returns when the kubelet knows it."""
    process = node.start_script("foreign", FOREIGN, DRIVER)
    until("the other driver to register", lambda: process.said("registered"), seen=process.tail)
    return process


def publish_foreign(api: Api, node: Node) -> None:
    """Make the slices of the driver what the other one would have published."""
    for it in slices(api):
        api.delete("ResourceSlice", it["metadata"]["name"])
    devices = [{"name": f"gpu-{index}", "attributes": {"model": {"string": MODEL}}} for index in range(8)]
    about = api.get("Node", node.name)["metadata"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": about["uid"], "controller": True}
    api.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": "another-make-x7k2p", "ownerReferences": [owner]},
            "spec": {
                "driver": DRIVER,
                "nodeName": node.name,
                "pool": {"name": node.name, "generation": 3, "resourceSliceCount": 1},
                "devices": devices,
            },
        }
    )


def slices(api: Api) -> list[Document]:
    """The slices of the driver."""
    return [it for it in api.list("ResourceSlice") if it["spec"]["driver"] == DRIVER]


def models(slices: Sequence[Mapping[str, Any]]) -> set[str]:
    """What the devices in slices are said to be."""
    devices = [device for it in slices for device in it["spec"].get("devices") or ()]
    return {device["attributes"]["model"]["string"] for device in devices}


def moments(api: Api, before: Sequence[Document], since: str) -> Iterator[list[Document]]:
    """The slices of the driver after each change of one, in order."""
    there = {it["metadata"]["name"]: it for it in before}
    for kind, changed in api.history("ResourceSlice", since):
        if changed["spec"]["driver"] == DRIVER:
            there.pop(changed["metadata"]["name"], None)
            if kind != "DELETED":
                there[changed["metadata"]["name"]] = changed
            yield list(there.values())


def live(slices: Sequence[Document]) -> list[Document]:
    """Of slices those that a scheduler goes by: the newest generation of each pool."""
    newest: dict[str, int] = {}
    for it in slices:
        pool = it["spec"]["pool"]
        newest[pool["name"]] = max(pool["generation"], newest.get(pool["name"], 0))
    return [it for it in slices if it["spec"]["pool"]["generation"] == newest[it["spec"]["pool"]["name"]]]


def restarts(workspace: Workspace, name: str) -> int:
    """How often the container of a running pod was started again; -1 while it does not run."""
    (container,) = workspace.pod(name)["status"]["containerStatuses"]
    return int(container["restartCount"]) if "running" in container["state"] else -1


def restart_container(node: Node, workspace: Workspace, name: str) -> None:
    """End the container of a pod, and wait until the kubelet has started it again."""
    before = restarts(workspace, name)
    (container,) = workspace.pod(name)["status"]["containerStatuses"]
    node.kill_container(container)
    until(
        "the container to be started again",
        lambda: restarts(workspace, name) > before,
        seen=lambda: workspace.story(name),
    )


def start_worker(workspace: Workspace) -> str:
    """Run a pod with one GPU whose container is started again when it ends; returns its device."""
    document = pod("worker", {"resourceClaimName": "mine"})
    document["spec"]["restartPolicy"] = "Always"
    workspace.submit(claim("mine", claim_spec(DRIVER)), document)
    workspace.running("worker")
    (device,) = allocated(workspace.claim("mine"), DRIVER)
    return device


@pytest.mark.feature("switch-over from another driver")
@pytest.mark.reliability(
    fault="drakit replaces another driver of the same name under running pods",
    injected="a driver of another make is stopped on a node, and drakit started there",
    promise="pods run, restart and end; their devices are refused to others meanwhile; no two pools at a time",
)
def test_drakit_takes_over_what_another_driver_has_prepared(cluster: Cluster, node: Node, workspace: Workspace):
    end_agent(node)
    foreign = start_foreign(node)
    publish_foreign(cluster.api, node)
    device = start_worker(workspace)
    assert workspace.seen("worker").environment["FOREIGN"] == device
    files, before, since = node.cdi_files(), slices(cluster.api), cluster.api.version("ResourceSlice")
    assert foreign.end() == 0
    node.start_agent()
    until("drakit's slices", lambda: MODEL not in models(slices(cluster.api)))

    restart_container(node, workspace, "worker")
    workspace.submit(claim("other", claim_spec(DRIVER)))
    workspace.allocate("other", node.name, (DRIVER, device))
    workspace.submit(pod("late", {"resourceClaimName": "other"}))
    workspace.event("late", f"is held by claim {workspace.namespace}/mine")
    assert node.cdi_files() == files, "what the other driver wrote is its own"
    assert restarts(workspace, "worker") == 1

    workspace.delete("worker")
    workspace.running("late")
    assert workspace.seen("late").environment["MOCK_DEVICE_" + device.upper().replace("-", "_")].endswith(device)
    workspace.delete("late")
    assert node.cdi_files() == files
    history = list(moments(cluster.api, before, since))
    assert history
    for there in history:
        assert len({it["spec"]["pool"]["name"] for it in there}) <= 1
        assert len(models(live(there))) <= 1, "the devices of one driver at a time"
    (published,) = slices(cluster.api)
    assert len(published["spec"]["devices"]) == 8


@pytest.mark.feature("switch-over to another driver")
@pytest.mark.reliability(
    fault="drakit is replaced by another driver of the same name under running pods",
    injected="drakit is stopped on a node, and a driver of another make started there",
    promise="pods keep running, their containers can restart, and they end",
)
def test_another_driver_takes_over_what_drakit_has_prepared(cluster: Cluster, node: Node, workspace: Workspace):
    device = start_worker(workspace)
    files = node.cdi_files()
    end_agent(node)
    assert node.cdi_files() == files
    start_foreign(node)
    publish_foreign(cluster.api, node)
    restart_container(node, workspace, "worker")
    workspace.delete("worker")
    workspace.submit(claim("next", claim_spec(DRIVER)), pod("next", {"resourceClaimName": "next"}))
    workspace.running("next")
    assert workspace.seen("next").environment["FOREIGN"] == device
    workspace.delete("next")
