"""Pods on real nodes: what containers get, what they do not, and that everything is given back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from realkube.cluster import Cluster
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace, allocated, claim, claim_spec, pod, template, worker

pytestmark = [pytest.mark.cluster, pytest.mark.node]

EXAMPLE = Path(__file__).parents[2] / "docs/examples/aligned-efa-neuron.yaml"
GROUPS = [
    ("13713e551cd37c19", (0, 1, 2, 3), {"c9-00", "b4-00", "b3-00", "ca-00"}),
    ("671622785349fddf", (4, 5, 6, 7), {"6c-00", "57-00", "56-00", "6d-00"}),
    ("237e3ef7b968b4d3", (8, 9, 10, 11), {"98-00", "83-00", "82-00", "99-00"}),
    ("b3d6ce1919d29f8f", (12, 13, 14, 15), {"f5-00", "e0-00", "df-00", "f6-00"}),
]
"""The groups of four of a trn2.48xlarge: id, Neuron devices, adapters."""
NO_DRIVER = "No such device or address"
DENIED = "Operation not permitted"


def example() -> tuple[dict[str, Any], dict[str, Any]]:
    """The published template, and its pod."""
    given, its_pod = yaml.safe_load_all(EXAMPLE.read_text())
    return given, its_pod


def named(document: dict[str, Any], name: str, node: Node | None = None) -> dict[str, Any]:
    """The same pod under another name, on a certain node."""
    return worker({**document, "metadata": {"name": name}}, node=node.name if node else "")


def verbs(node: Node, adapter: str) -> str:
    """The device node of an adapter, by its device's name, as the node's sysfs has it."""
    address = adapter.removeprefix("pci-").replace("-", ":", 2)[::-1].replace("-", ".", 1)[::-1]
    (entry,) = (node.hardware / f"sys/bus/pci/devices/{address}/infiniband_verbs").iterdir()
    return f"/dev/infiniband/{entry.name}"


def expected_devices(node: Node, document: dict[str, Any]) -> set[str]:
    """The device nodes that the devices of an allocated claim are."""
    neurons = [f"/dev/neuron{name.removeprefix('neuron-device-')}" for name in allocated(document, "neuron.aws.com")]
    return {*neurons, *(verbs(node, name) for name in allocated(document, "dra.net"))}


def node_of(cluster: Cluster, document: dict[str, Any]) -> Node:
    """The node that a pod runs on."""
    return next(node for node in cluster.nodes if node.name == document["spec"]["nodeName"])


def test_the_published_pod_gets_four_neurons_and_their_four_adapters_and_the_container_beside_it_nothing(
    cluster: Cluster, workspace: Workspace
):
    given, its_pod = example()
    beside = {"name": "beside", "image": "any", "resources": {}}
    its_pod["spec"]["containers"].append(beside)
    workspace.submit(given, its_pod)
    name = its_pod["metadata"]["name"]
    node = node_of(cluster, workspace.running(name))
    held = workspace.claim_of(name)
    group, neurons, adapters = GROUPS[0]
    assert allocated(held, "neuron.aws.com") == [f"neuron-device-{number}" for number in neurons], group
    assert {it.removeprefix("pci-0000-").removesuffix("-0") for it in allocated(held, "dra.net")} == adapters
    worker_sees, other_sees = workspace.seen(name), workspace.seen(name, "beside")
    wanted = expected_devices(node, held)
    assert len(wanted) == 8
    assert worker_sees.devices - other_sees.devices == wanted
    assert not other_sees.devices - worker_sees.devices
    assert worker_sees.environment == other_sees.environment, "the published claim sets no variable"
    # No hardware is behind the nodes, so opening one that is allowed finds no driver, and any other is refused.
    assert {worker_sees.opened[device].rpartition(": ")[2] for device in wanted if "neuron" in device} == {NO_DRIVER}
    assert not any(DENIED in worker_sees.opened[device] for device in wanted)
    assert DENIED in worker_sees.opened["other"]
    assert DENIED in other_sees.opened["other"]
    workspace.delete(name)
    until("the CDI files to be gone", lambda: not node.cdi_files())


def test_four_aligned_pods_fill_a_node_and_the_fifth_waits_for_one_to_end(cluster: Cluster, workspace: Workspace):
    node = cluster.nodes[0]
    given, its_pod = example()
    names = [f"worker-{number}" for number in range(5)]
    workspace.submit(given, *(named(its_pod, name, node) for name in names[:4]))
    claims = []
    for name in names[:4]:
        workspace.running(name)
        claims.append(workspace.claim_of(name))
    held = [set(allocated(it, "neuron.aws.com")) for it in claims]
    assert sorted(map(sorted, held)) == sorted(
        sorted(f"neuron-device-{number}" for number in neurons) for _, neurons, _ in GROUPS
    )
    assert len(set().union(*(expected_devices(node, it) for it in claims))) == 32
    workspace.submit(named(its_pod, names[4], node))
    assert "cannot allocate all claims" in workspace.unschedulable(names[4])
    workspace.delete(names[2])
    workspace.running(names[4])
    assert set(allocated(workspace.claim_of(names[4]), "neuron.aws.com")) == held[2]


def test_a_shared_claim_serves_two_pods_and_one_that_comes_late(cluster: Cluster, workspace: Workspace):
    shared = {"resourceClaimName": "shared"}
    workspace.submit(claim("shared", claim_spec("neuron.aws.com", 2)), pod("first", shared), pod("second", shared))
    node = node_of(cluster, workspace.running("first"))
    workspace.running("second")
    files = node.cdi_files()
    assert len(files) == 1
    workspace.delete("first")
    assert node.cdi_files() == files, "the claim is still in use"
    workspace.submit(pod("late", shared))
    workspace.running("late")
    assert node.cdi_files() == files
    devices = expected_devices(node, workspace.api.get("ResourceClaim", "shared", workspace.namespace))
    assert len(devices) == 2
    assert devices <= workspace.seen("second").devices
    assert devices <= workspace.seen("late").devices
    workspace.delete("second", "late")
    until("the CDI file to be gone", lambda: not node.cdi_files())


def test_what_a_claim_configures_is_in_the_environment_of_its_container(cluster: Cluster, workspace: Workspace):
    neuron = {"apiVersion": "neuron.aws.com/v1", "kind": "NeuronConfig", "logicalNeuronCore": 1}
    spec = claim_spec("neuron.aws.com", 1, config=[{"opaque": {"driver": "neuron.aws.com", "parameters": neuron}}])
    workspace.submit(template("configured", spec), pod("worker", {"resourceClaimTemplateName": "configured"}))
    workspace.running("worker")
    assert workspace.seen("worker").environment["NEURON_LOGICAL_NC_CONFIG"] == "1"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"apiVersion": "mock.drakit/v1alpha1", "kind": "MockConfig", "environment": {"A": "b"}}, "environment"),
        ({"apiVersion": "mock.drakit/v1alpha1", "kind": "Other"}, "Other"),
    ],
)
def test_a_wrong_configuration_is_an_event_of_its_pod_that_says_what_is_wrong(
    cluster: Cluster, workspace: Workspace, parameters: dict[str, Any], words: str
):
    config = [{"opaque": {"driver": "gpu.example.com", "parameters": parameters}}]
    workspace.submit(
        template("wrong", claim_spec("gpu.example.com", config=config)),
        pod("worker", {"resourceClaimTemplateName": "wrong"}),
    )
    message = workspace.event("worker", "gpu.example.com")
    assert words in message
    assert "MockConfig" in message
    assert "Traceback" not in message
    assert workspace.pod("worker")["status"]["phase"] == "Pending"


def test_a_job_over_two_nodes_gets_one_aligned_group_for_each_pod(cluster: Cluster, workspace: Workspace):
    given, its_pod = example()
    spec = worker(its_pod)["spec"]
    labels = {"app": "training"}
    apart = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "training"},
        "spec": {
            "completions": 2,
            "parallelism": 2,
            "completionMode": "Indexed",
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    workspace.api.create(given, workspace.namespace)
    workspace.api.create(job, workspace.namespace)
    names = until("two pods", lambda: [it["metadata"]["name"] for it in workspace.pods()][:2])
    until("two pods", lambda: len(workspace.pods()) == 2)
    names = [it["metadata"]["name"] for it in workspace.pods()]
    pods = [workspace.running(name) for name in names]
    assert {it["spec"]["nodeName"] for it in pods} == {node.name for node in cluster.nodes}
    for name, it in zip(names, pods, strict=True):
        node, held = node_of(cluster, it), workspace.claim_of(name)
        numbers = tuple(int(device.removeprefix("neuron-device-")) for device in allocated(held, "neuron.aws.com"))
        assert numbers in [neurons for _, neurons, _ in GROUPS]
        assert expected_devices(node, held) <= workspace.seen(name).devices
