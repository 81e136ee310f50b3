"""Faked hardware on real nodes, as on kind: installed, shown, broken and removed by the scripts of deploy/kind.

kubectl, helm, the image, kubelets and containerd are real. In the place of kind is a program that says that its cluster
is there: this one.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import frozen
from realkube import artifacts
from realkube.api import Document
from realkube.built import BuiltImage
from realkube.cluster import Cluster
from realkube.debian import KUBECTL, debian
from realkube.helm import helm
from realkube.image import BUSYBOX
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace, allocated, claim_spec, pod, template

pytestmark = [pytest.mark.cluster, pytest.mark.node]

CHECKOUT = Path(__file__).parents[3]
KIND = CHECKOUT / "deploy/kind"
EXAMPLE = CHECKOUT / "docs/examples/aligned-efa-neuron.yaml"
TYPES = ("trainium", "nvidia", "generic")
DRIVERS = {
    "trainium": {"neuron.aws.com": 16, "dra.net": 16},
    "nvidia": {"dra.net": 32, "gpu.nvidia.com": 8},
    "generic": {"gpu.example.com": 8, "nic.example.com": 8, "parts.example.com": 28, "shared.example.com": 2},
}
LABEL = "mock.drakit/node-type"
TREE = "lib/drakit/mock"


@frozen
class Desk:
    """Where somebody sits who looks after the cluster: kubectl, helm and the scripts."""

    cluster: Cluster
    directory: Path
    environment: Mapping[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        within = ["nsenter", f"--net={self.cluster.control_plane.machine.network}", *command]
        return subprocess.run(
            within, env=self.environment, capture_output=True, text=True, timeout=600, check=False, cwd=self.directory
        )

    def say(self, *command: str) -> str:
        done = self.run(*command)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def agent(self, node: str) -> str:
        """The pod of a node's agent."""
        pods = self.cluster.api.list("Pod", "drakit", labelSelector="app.kubernetes.io/name=drakit")
        running = [
            it for it in pods if it["spec"].get("nodeName") == node and not it["metadata"].get("deletionTimestamp")
        ]
        return str(running[0]["metadata"]["name"])

    def drakit(self, node: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run drakit in a node's agent."""
        return self.run("kubectl", "-n", "drakit", "exec", self.agent(node), "-c", "agent", "--", "drakit", *words)


@pytest.fixture(scope="module")
def desk(components, drakit_image: BuiltImage, tmp_path_factory, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Three nodes of the types of deploy/kind, on which install.sh has been run."""
    directory = tmp_path_factory.mktemp("desk")
    with Cluster(*components, nodes=3) as cluster, artifacts.kept_on_failure(cluster, request.session):
        cluster.start_nodes()
        for node, word in zip(cluster.nodes, TYPES, strict=True):
            node.load(drakit_image.archive)
            node.call(BUSYBOX, "docker.io/library/busybox:1.37")
            cluster.api.apply(
                {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name, "labels": {LABEL: word}}}
            )
        desk = Desk(cluster, directory, surroundings(cluster, directory))
        desk.say(str(KIND / "install.sh"), "--set", "config.drainSeconds=5")
        yield desk


def surroundings(cluster: Cluster, directory: Path) -> Mapping[str, str]:
    binaries = directory / "bin"
    binaries.mkdir()
    (binaries / "helm").symlink_to(helm().binary)
    (binaries / "kubectl").symlink_to(Path(debian(KUBECTL).root) / "usr/bin/kubectl")
    (binaries / "kind").write_text("#!/bin/sh\necho drakit\n")
    (binaries / "kind").chmod(0o755)
    config = json.loads(cluster.control_plane.kubeconfig("admin"))
    config["contexts"][0]["name"] = config["current-context"] = "kind-drakit"
    (directory / "kubeconfig").write_text(json.dumps(config))
    path = f"{binaries}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(directory), "KUBECONFIG": str(directory / "kubeconfig")}


@pytest.fixture
def cluster(desk: Desk) -> Cluster:
    return desk.cluster


@pytest.fixture
def trainium(cluster: Cluster) -> Node:
    return cluster.nodes[0]


@pytest.fixture
def generic(cluster: Cluster) -> Node:
    return cluster.nodes[2]


def devices(cluster: Cluster, node: Node) -> dict[str, list[dict[str, Any]]]:
    """What is published of a node, by driver."""
    found: dict[str, list[dict[str, Any]]] = {}
    for it in cluster.api.list("ResourceSlice"):
        if it["spec"].get("nodeName") == node.name:
            found.setdefault(it["spec"]["driver"], []).extend(it["spec"].get("devices", ()))
    return found


def publishes(cluster: Cluster, node: Node, word: str) -> None:
    """Wait until a node has just the devices of a type."""
    until(
        f"the devices of {word} on {node.name}",
        lambda: {driver: len(found) for driver, found in devices(cluster, node).items()} == DRIVERS[word],
        seen=lambda: {driver: len(found) for driver, found in devices(cluster, node).items()},
    )


def taints(cluster: Cluster, node: Node, driver: str, name: str) -> list[dict[str, Any]]:
    (device,) = (one for one in devices(cluster, node)[driver] if one["name"] == name)
    return device.get("taints", [])


def container(pod: Document) -> Document:
    (found,) = pod["status"]["containerStatuses"]
    return found


def test_each_node_has_the_devices_of_its_type_and_of_no_other(cluster: Cluster):
    for node, word in zip(cluster.nodes, TYPES, strict=True):
        publishes(cluster, node, word)


def test_the_published_template_runs_unchanged_and_its_device_nodes_reach_no_driver(
    desk: Desk, trainium: Node, workspace: Workspace
):
    workspace.submit(*yaml.safe_load_all(EXAMPLE.read_text()))
    name = "neuron-inference-worker"
    workspace.running(name)
    seen, claim = workspace.seen(name), workspace.claim_of(name)
    given = {it.removeprefix("neuron-device-") for it in allocated(claim, "neuron.aws.com")}
    assert {it.removeprefix("/dev/neuron") for it in seen.devices if "neuron" in it} == given
    assert len([it for it in seen.devices if "uverbs" in it]) == len(allocated(claim, "dra.net")) == 4
    assert {said for path, said in seen.opened.items() if path != "other"} == {
        f"head: {path}: No such device or address" for path in seen.opened if path != "other"
    }


def test_the_agent_has_no_capability_and_the_init_container_only_the_one_it_needs(desk: Desk, trainium: Node):
    agent = desk.cluster.api.get("Pod", desk.agent(trainium.name), "drakit")
    (mock,) = agent["spec"]["initContainers"]
    assert mock["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["MKNOD"]}
    said = desk.cluster.api.log(agent["metadata"]["name"], "drakit", "mock")
    assert "a faked trn2.48xlarge" in said
    assert "Warning" not in said


def test_every_demo_runs_and_says_what_to_look_at(desk: Desk):
    said = desk.say(str(KIND / "demo.sh"))
    assert "/dev/neuron0" in said
    assert "/dev/infiniband/uverbs" in said
    assert "MOCK_DEVICE_GPU_0_HALF_0=parts.example.com/" in said
    assert "FI_EFA_IFACE=" in said
    assert "neuron.aws.com/unhealthy=" in said
    assert "is sound again" in said
    kept = {
        it["metadata"]["name"] for it in desk.cluster.api.list("Namespace") if it["metadata"]["name"][:5] == "demo-"
    }
    until("the namespaces of the demos to go", lambda: not kept & names(desk.cluster, "Namespace"))


def names(cluster: Cluster, kind: str) -> set[str]:
    return {it["metadata"]["name"] for it in cluster.api.list(kind)}


def test_a_mock_device_is_broken_listed_and_mended_by_kubectl_exec(desk: Desk, generic: Node):
    words = ("gpu-3", "unhealthy", "--message", "fan stopped", "--taint", "NoSchedule", "--driver", "gpu.example.com")
    assert desk.drakit(generic.name, "mock", "fault", *words).returncode == 0
    until("the taint", lambda: taints(desk.cluster, generic, "gpu.example.com", "gpu-3"))
    assert "gpu-3" in desk.drakit(generic.name, "mock", "fault", "list").stdout
    unknown = desk.drakit(generic.name, "mock", "fault", "gpu-9", "unhealthy")
    assert (unknown.returncode, "gpu-9" in unknown.stderr) == (2, True)
    assert "ended" in desk.drakit(generic.name, "mock", "fault", "clear").stdout
    until("no taint", lambda: not taints(desk.cluster, generic, "gpu.example.com", "gpu-3"))
    assert desk.drakit(generic.name, "mock", "fault", "list").stdout == "nothing is injected\n"


def test_faked_hardware_vanishes_comes_back_and_is_numbered_anew_by_kubectl_exec(desk: Desk, trainium: Node):
    fault = ("mock", "fault")
    assert desk.drakit(trainium.name, *fault, "neuron-device-7", "vanish").returncode == 0
    assert not (trainium.state / TREE / "node/dev/neuron7").exists()
    assert desk.drakit(trainium.name, *fault, "neuron-device-7", "return").returncode == 0
    before = (trainium.state / TREE / "node/dev/neuron7").stat().st_rdev
    renumbered = desk.drakit(trainium.name, *fault, "renumber")
    assert (renumbered.returncode, "is now" in renumbered.stdout) == (0, True), renumbered.stderr
    assert (trainium.state / TREE / "node/dev/neuron7").stat().st_rdev != before
    reloaded = desk.drakit(trainium.name, *fault, "reload")
    assert (reloaded.returncode, "neuron was loaded anew" in reloaded.stdout) == (0, True), reloaded.stderr
    publishes(desk.cluster, trainium, "trainium")


def test_what_is_prepared_and_what_is_injected_outlast_a_restart_of_all_agents(
    desk: Desk, trainium: Node, workspace: Workspace
):
    holder = pod("holder", {"resourceClaimTemplateName": "one"})
    holder["spec"]["restartPolicy"] = "Always"
    workspace.submit(template("one", claim_spec("neuron.aws.com")), holder)
    workspace.running("holder")
    held = allocated(workspace.claim_of("holder"), "neuron.aws.com")
    assert desk.drakit(trainium.name, "mock", "fault", "neuron-device-15", "corrected-ecc").returncode == 0
    tree, agent = os.readlink(trainium.state / TREE / "node"), desk.agent(trainium.name)
    desk.say(str(KIND / "install.sh"), "--set", "config.drainSeconds=5")
    assert desk.agent(trainium.name) != agent
    assert os.readlink(trainium.state / TREE / "node") == tree
    assert "neuron-device-15: corrected-ecc" in desk.drakit(trainium.name, "mock", "fault", "list").stdout
    first = container(workspace.pod("holder"))
    trainium.kill_container(first)
    until("another container", lambda: is_another(workspace, "holder", first))
    assert [it for it in workspace.seen("holder").devices if "neuron" in it] == [
        f"/dev/neuron{name.removeprefix('neuron-device-')}" for name in held
    ]
    assert desk.drakit(trainium.name, "mock", "fault", "clear").returncode == 0


def is_another(workspace: Workspace, name: str, first: Document) -> bool:
    now = container(workspace.pod(name))
    return bool(now["containerID"] != first["containerID"] and now["state"].get("running"))


def test_a_node_that_is_labelled_anew_gets_other_hardware_and_what_was_prepared_ends_as_ever(
    desk: Desk, generic: Node, workspace: Workspace
):
    holder = pod("holder", {"resourceClaimTemplateName": "one"})
    workspace.submit(template("one", claim_spec("gpu.example.com")), holder)
    workspace.running("holder")
    desk.say("kubectl", "label", "node", generic.name, f"{LABEL}=nvidia", "--overwrite")
    publishes(desk.cluster, generic, "nvidia")
    assert workspace.pod("holder")["status"]["phase"] == "Running"
    workspace.delete("holder")
    until("its CDI file to go", lambda: not generic.cdi_files(), seen=generic.cdi_files)


def test_nothing_of_it_is_in_the_cluster_once_it_is_uninstalled(desk: Desk):
    """Runs last. The trees stay on the nodes."""
    desk.say("helm", "uninstall", "drakit", "--namespace", "drakit", "--wait")
    until("the agents to end", lambda: not desk.cluster.api.list("Pod", "drakit"))
    # The kubelet withdraws them half a minute after the last agent of a driver has gone.
    until("no slices", lambda: not desk.cluster.api.list("ResourceSlice"))
    for kind in ("DeviceClass", "ValidatingAdmissionPolicy"):
        assert names(desk.cluster, kind) == set()
    assert "drakit" not in names(desk.cluster, "ClusterRole")
    for node in desk.cluster.nodes:
        assert node.sockets() == []
        assert node.cdi_files() == {}
        assert (node.state / TREE / "node").is_symlink()
