"""A job over two real nodes of one UltraServer: what its pods are told, and what happens where a node must refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from drakit_neuron.plugin import NeuronPlugin
from realkube.cluster import Cluster
from realkube.waiting import until
from realkube.workspace import Workspace, worker

pytestmark = [pytest.mark.cluster, pytest.mark.node]

TEMPLATE = NeuronPlugin.data / "templates" / "us-2-node-config.yaml"
NO_SERVER = "0000000000000000\n"
PREFIX = "NEURON_RT_ULTRASERVER_"


@pytest.fixture
def members(neuron: Callable[..., Any]) -> tuple[Any, Any]:
    """The first two nodes of an UltraServer, each with an agent that taints what is faulty."""
    types = ("trn2u.48xlarge", "trn2u.48xlarge@node-1")
    first, second = (neuron(node_type, {"taints": {}}, number=number) for number, node_type in enumerate(types))
    return first, second


@pytest.fixture
def submit(workspace: Workspace) -> Callable[..., None]:
    """Submit the published template, and a pod for each of these nodes by its name."""
    given, its_pod = yaml.safe_load_all(TEMPLATE.read_text())
    workspace.submit(given)

    def submit(**pods: str) -> None:
        for name, node in pods.items():
            workspace.api.create(worker({**its_pod, "metadata": {"name": name}}, node=node), workspace.namespace)

    return submit


def told(workspace: Workspace, name: str) -> dict[str, str]:
    """What a pod's container is told of its server, by the last part of the variable."""
    environment = workspace.seen(name).environment
    return {key.removeprefix(PREFIX): value for key, value in environment.items() if key.startswith(PREFIX)}


def test_the_pods_of_a_job_are_told_their_common_server_and_have_all_devices_of_their_nodes(
    bare: Cluster, workspace: Workspace, members: tuple[Any, Any], submit: Callable[..., None]
):
    names = {member.name for member in members}
    submit(one="", two="")
    assert {workspace.running(name)["spec"]["nodeName"] for name in ("one", "two")} == names
    server = members[0].neuron("server_id_2").read_text().strip()
    seen = [told(workspace, name) for name in ("one", "two")]
    assert {frozenset(it.items()) for it in seen} == {
        frozenset({"MODE": "2", "SERVER_ID": server, "NODE_ID": rank}.items()) for rank in ("0", "1")
    }
    assert {f"/dev/neuron{number}" for number in range(16)} <= workspace.seen("one").devices


@pytest.mark.reliability(
    fault="One of the two nodes of a job over an UltraServer has lost its links to the other",
    injected="The kernel module of one of two nodes shows no server id, under real kubelets and a real scheduler",
    promise="Its pod is told why and is evicted by a taint; the other pod runs on; the node serves when links are back",
)
def test_a_node_that_has_no_server_refuses_its_pod_which_is_evicted_and_the_other_pod_runs_on(
    bare: Cluster, workspace: Workspace, neuron: Callable[..., Any], submit: Callable[..., None]
):
    good = neuron("trn2u.48xlarge", {"taints": {}})
    bad = neuron("trn2u.48xlarge@node-1", {"taints": {}}, number=1, faultSteadySeconds=1)
    place = bad.neuron("server_id_2")
    server = place.read_text()
    submit(well=good.name)
    workspace.running("well")
    uid = workspace.pod("well")["metadata"]["uid"]
    place.write_text(NO_SERVER)
    submit(ill=bad.name)
    said = workspace.event("ill", "ultraserverMode 2 is not possible on this node")
    assert "server_id_2 is 0000000000000000" in said
    workspace.gone("ill")
    assert workspace.pod("well")["metadata"]["uid"] == uid
    assert workspace.pod("well")["status"]["phase"] == "Running"
    assert good.taints() == {}
    place.write_text(server)
    until("the taint to be gone", lambda: not bad.taints(), seen=bad.agent.tail)
    submit(next=bad.name)
    workspace.running("next")
    assert told(workspace, "next")["NODE_ID"] == "1"
