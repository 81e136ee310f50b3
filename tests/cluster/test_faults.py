"""What a node goes through: processes killed, slices wiped, the API server away, a reboot, drakit taken off."""

from __future__ import annotations

import signal

import pytest
from realkube.cluster import Cluster
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace, allocated, claim_spec, pod, template

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.usefixtures("own_cluster")]

NEURONS = template("neurons", claim_spec("neuron.aws.com", 2))
REMOVED_SECONDS = 60.0
"""Within this, nothing of drakit is left on a node that it was taken off."""


@pytest.fixture
def node(cluster: Cluster) -> Node:
    return cluster.nodes[0]


@pytest.fixture
def submit(workspace: Workspace):
    """Submit pods with two Neuron devices each."""
    workspace.submit(NEURONS)

    def submit(*names: str) -> None:
        workspace.submit(*(pod(name, {"resourceClaimTemplateName": "neurons"}) for name in names))

    return submit


def slices(cluster: Cluster) -> dict[str, tuple[str, int]]:
    """Driver -> the identity of its slice, and how many devices it has."""
    found = cluster.api.list("ResourceSlice")
    return {it["spec"]["driver"]: (it["metadata"]["uid"], len(it["spec"].get("devices") or ())) for it in found}


def devices_of(workspace: Workspace, name: str) -> set[str]:
    """The device nodes that a pod should have."""
    names = allocated(workspace.claim_of(name), "neuron.aws.com")
    return {f"/dev/neuron{it.removeprefix('neuron-device-')}" for it in names}


def is_untouched(workspace: Workspace, name: str) -> bool:
    """Whether a pod's container runs and has never been started again."""
    (container,) = workspace.pod(name)["status"]["containerStatuses"]
    return "running" in container["state"] and container["restartCount"] == 0


def wait_for_failed_unprepare(node: Node) -> None:
    """Wait until the kubelet has found that it cannot end a pod; it tells nobody but its log."""
    kubelet = node.running.processes["kubelet"]
    until("the kubelet to fail to unprepare", lambda: kubelet.said("unprepare dynamic resources"), seen=kubelet.tail)


@pytest.mark.reliability(
    fault="the agent dies while pods start",
    injected="SIGKILL once the first of four pods is prepared, then another agent",
    promise="all four start, and no device is given out twice",
)
def test_pods_start_although_the_agent_is_killed_meanwhile(node: Node, workspace: Workspace, submit):
    names = ["first", "second", "third", "fourth"]
    submit(*names)
    until("a claim to be prepared", node.cdi_files)
    node.kill("drakit")
    node.start_agent()
    held: set[str] = set()
    for name in names:
        workspace.running(name)
        own = devices_of(workspace, name)
        assert own <= workspace.seen(name).devices
        assert not own & held, "no device is given out twice"
        held |= own
    assert len(held) == 8


def test_pods_that_were_submitted_without_an_agent_start_when_it_is_back(node: Node, workspace: Workspace, submit):
    node.kill("drakit")
    submit("early")
    until("the pod to be placed", lambda: workspace.pod("early")["spec"].get("nodeName"))
    node.start_agent()
    workspace.running("early")


@pytest.mark.reliability(
    fault="the agent is away when pods end",
    injected="SIGKILL, pods deleted, the kubelet fails to unprepare, then another agent",
    promise="the pods end, and nothing is left on the node",
)
def test_pods_end_when_an_agent_is_back_that_was_killed_while_they_ended(node: Node, workspace: Workspace, submit):
    submit("first", "second")
    for name in ("first", "second"):
        workspace.running(name)
    node.kill("drakit")
    for name in ("first", "second"):
        workspace.api.delete("Pod", name, workspace.namespace)
    wait_for_failed_unprepare(node)
    assert len(workspace.pods()) == 2
    node.start_agent()
    workspace.gone("first", "second")
    assert node.cdi_files() == {}


@pytest.mark.reliability(
    fault="the kubelet restarts, and wipes the node's slices",
    injected="SIGKILL of the kubelet under a running pod, then another kubelet",
    promise="the driver registers and publishes again; the pod runs on, and new ones start",
)
def test_a_restarted_kubelet_finds_the_driver_and_its_slices_again(
    cluster: Cluster, node: Node, workspace: Workspace, submit
):
    submit("before")
    workspace.running("before")
    published, files = slices(cluster), node.cdi_files()
    node.kill("kubelet")
    node.start_kubelet()
    until(
        "the slices that the kubelet wiped to be published anew",
        lambda: len(now := slices(cluster)) == len(published) and not set(now.values()) & set(published.values()),
    )
    assert {driver: count for driver, (_, count) in slices(cluster).items()} == {
        driver: count for driver, (_, count) in published.items()
    }
    submit("after")
    workspace.running("after")
    assert is_untouched(workspace, "before")
    assert files.items() <= node.cdi_files().items()
    workspace.delete("before", "after")
    assert node.cdi_files() == {}


@pytest.mark.reliability(
    fault="the container runtime restarts",
    injected="SIGKILL of containerd under a running pod, then another one",
    promise="the pod runs on, and new ones get their devices",
)
def test_a_restarted_containerd_keeps_containers_and_takes_new_ones(node: Node, workspace: Workspace, submit):
    submit("before")
    workspace.running("before")
    node.kill("containerd")
    node.start_containerd()
    submit("after")
    workspace.running("after")
    assert devices_of(workspace, "after") <= workspace.seen("after").devices
    assert is_untouched(workspace, "before")
    workspace.delete("before", "after")


@pytest.mark.reliability(
    fault="somebody deletes the slices",
    injected="all slices of the node deleted by the administrator",
    promise="they are back within seconds, and pods start",
)
def test_slices_that_anybody_deletes_are_back_at_once(cluster: Cluster, workspace: Workspace, submit):
    published = slices(cluster)
    for it in cluster.api.list("ResourceSlice"):
        cluster.api.delete("ResourceSlice", it["metadata"]["name"])
    until("the slices to be back", lambda: len(slices(cluster)) == len(published), seconds=15)
    submit("worker")
    workspace.running("worker")


@pytest.mark.reliability(
    fault="the API server is away while the agent starts",
    injected="SIGKILL of kube-apiserver and of the agent; the API server comes back last",
    promise="the driver is served, pods run on, and new ones start when it is back",
)
def test_an_outage_of_the_api_server_costs_no_running_pod(cluster: Cluster, node: Node, workspace: Workspace, submit):
    submit("before")
    workspace.running("before")
    published, files = slices(cluster), node.cdi_files()
    cluster.control_plane.machine.processes["kube-apiserver"].end(signal.SIGKILL)
    node.kill("drakit")
    node.start_agent(token=False)
    until("the driver to serve without an API server", lambda: "dra.sock" in node.sockets())
    assert node.cdi_files() == files
    cluster.control_plane.start_api_server()
    submit("after")
    workspace.running("after")
    assert is_untouched(workspace, "before")
    assert slices(cluster).keys() == published.keys()
    workspace.delete("before", "after")


@pytest.mark.reliability(
    fault="a node reboots",
    injected="all its processes ended, /run emptied, another boot id",
    promise="pods get the same devices again, and end without a trace",
)
def test_after_a_reboot_a_pod_gets_the_same_devices_again(cluster: Cluster, node: Node, workspace: Workspace, submit):
    document = pod("worker", {"resourceClaimTemplateName": "neurons"})
    document["spec"]["restartPolicy"] = "Always"
    workspace.submit(document)
    workspace.running("worker")
    devices, files = devices_of(workspace, "worker"), node.cdi_files()
    node.reboot()
    assert node.cdi_files() == {}, "/run is empty after a reboot"
    node.start_agent()
    until("the container to be started again", lambda: _restarts(workspace, "worker"))
    assert devices <= workspace.seen("worker").devices
    assert node.cdi_files().keys() == files.keys()
    workspace.delete("worker")
    assert node.cdi_files() == {}


def _restarts(workspace: Workspace, name: str) -> bool:
    (container,) = workspace.pod(name)["status"]["containerStatuses"]
    return "running" in container["state"] and container["restartCount"] > 0


@pytest.mark.reliability(
    fault="drakit is taken off a node",
    injected="SIGTERM to the agent when no claim is prepared",
    promise="no socket, CDI file or slice is left",
)
def test_taken_off_a_node_without_prepared_claims_nothing_is_left(
    cluster: Cluster, node: Node, workspace: Workspace, submit
):
    submit("worker")
    workspace.running("worker")
    workspace.delete("worker")
    assert node.running.processes["drakit"].end() == 0
    assert node.sockets() == []
    assert node.cdi_files() == {}
    until("the slices to be gone", lambda: not slices(cluster), seconds=REMOVED_SECONDS)


@pytest.mark.reliability(
    fault="drakit is taken off a node under running pods",
    injected="SIGTERM to the agent, the pod deleted, then the agent again",
    promise="pods keep their devices, and end when it is back",
)
def test_taken_off_under_running_pods_they_keep_running_and_end_when_it_is_back(
    node: Node, workspace: Workspace, submit
):
    submit("worker")
    workspace.running("worker")
    files = node.cdi_files()
    node.running.processes["drakit"].end()
    assert node.cdi_files() == files
    assert is_untouched(workspace, "worker")
    assert devices_of(workspace, "worker") <= workspace.seen("worker").devices
    workspace.api.delete("Pod", "worker", workspace.namespace)
    wait_for_failed_unprepare(node)
    assert node.cdi_files() == files, "the claim is still prepared"
    node.start_agent()
    workspace.gone("worker")
    assert node.cdi_files() == {}


@pytest.mark.feature("the kubelet's retries")
@pytest.mark.reliability(
    fault="a device cannot be prepared for a while",
    injected="the mock's fault `fail-prepare`, ended after the kubelet has been refused twice",
    promise="the pod's events say why, in the plugin's words; it starts by itself when the fault is gone",
)
def test_a_pod_whose_preparation_fails_twice_starts_without_any_help(node: Node, workspace: Workspace):
    words, log = "the cable is not plugged in", node.running.processes["drakit"].log
    for index in range(8):
        node.fault(f"gpu-{index}", "fail-prepare", f"--message={words}")
    document = pod("worker", {"resourceClaimTemplateName": "gpu"})
    workspace.submit(template("gpu", claim_spec("gpu.example.com")), document)
    assert "Traceback" not in workspace.event("worker", words)
    until("a second refusal", lambda: log.read_text().count(words) >= 2, seen=lambda: workspace.story("worker"))
    assert workspace.pod("worker")["status"]["phase"] == "Pending"
    node.fault("clear")
    workspace.running("worker")
    workspace.delete("worker")
    assert node.cdi_files() == {}
