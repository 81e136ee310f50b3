"""A job over two nodes of one UltraServer: an agent on each, one API server, and a node that must refuse."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from drakit.decoding import read_yaml
from drakit.documents import Document, claim_ref
from drakit.testing import FakeKubelet, InMemoryApiServer, lay_out
from drakit.testing.controlplane import ControlPlane, Unschedulable
from drakit.testing.manifests import Item, read_manifest
from drakit.testing.runtime import container_edits
from drakit_neuron.plugin import NeuronPlugin

DRIVER = "neuron.aws.com"
JOB = NeuronPlugin.data / "templates" / "us-2-node-config.yaml"
CLASS = NeuronPlugin.data / "deviceclasses" / "neuron.aws.com.yaml"
NODE_TYPES = ("trn2u.48xlarge", "trn2u.48xlarge@node-1")
NO_SERVER = "0000000000000000"
LABEL = "neuron.amazonaws.com/ultraserver-server-id-2"
"""What the example's LeaderWorkerSet names: the pods of a group come to nodes on which its value is the same."""
BOUND_SECONDS = 30.0


@frozen
class Member:
    """One node of the UltraServer, with a kubelet of its own."""

    name: str
    node: Any
    kubelet: FakeKubelet
    plane: ControlPlane

    def place(self, file: str) -> Path:
        """A file in which the kernel module tells the node's place in its server."""
        return self.node.root / "sys/class/neuron_device" / file

    def schedule(self, pod: Document) -> Document:
        (claim,) = self.plane.schedule(pod, self.plane.make_claims(pod))
        return claim

    def prepare(self, claim: Document) -> str:
        """The driver's error, empty for none."""
        ref = claim_ref(claim)
        return self.kubelet.prepare([ref], DRIVER)[ref.uid].error

    def end(self, pod: Document, claim: Document) -> None:
        ref = claim_ref(claim)
        assert self.kubelet.unprepare([ref], DRIVER) == {ref.uid: ""}
        self.plane.finish(pod, [claim])
        assert self.node.files() == {}

    def environment(self, claim: Document) -> dict[str, str]:
        edits = container_edits(self.node.cdi, self.kubelet.cdi_ids(claim_ref(claim).uid))
        return dict(entry.split("=", 1) for entry in edits.env)


@pytest.fixture
def members(api: InMemoryApiServer, node: Any, kubelet: FakeKubelet) -> Iterator[list[Member]]:
    """Two nodes of one UltraServer, both set up for jobs over two; no agent runs yet."""
    api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-2", "labels": {}}})
    with tempfile.TemporaryDirectory(prefix="dk-") as directory:
        second = type(node)(Path(directory), api, node.launcher)
        with FakeKubelet(second.registry, retry_seconds=0.05, pod_resources=second.pod_resources) as its_kubelet:
            both = [
                Member("node-1", node, kubelet, ControlPlane(api, "node-1")),
                Member("node-2", second, its_kubelet, ControlPlane(api, "node-2")),
            ]
            for member, node_type in zip(both, NODE_TYPES, strict=True):
                lay_out(node_type, member.node.root)
            yield both
            if second.agent is not None:
                second.end(signal.SIGKILL)


@pytest.fixture
def job(api: InMemoryApiServer, members: list[Member]) -> Callable[..., list[Document]]:
    """Start both agents and submit the published template: `(backend=..., **settings)`, gives a pod for each node."""

    def start(backend: str = "plugin: neuron", **settings: object) -> list[Document]:
        for member in members:
            member.node.start(f"[{{{backend}}}]", nodeName=member.name, **settings)
        names = {member.name for member in members}
        api.wait_for(lambda it: {one["spec"]["nodeName"] for one in it.list("ResourceSlice")} == names, BOUND_SECONDS)
        manifest = read_manifest(JOB)
        (pod,) = manifest.of("Pod")
        pods = [Item(pod.place, pod.document | {"metadata": {"name": f"job-{rank}"}}) for rank in range(3)]
        (device_class,) = read_yaml(CLASS)
        items = [Item(str(CLASS), device_class), *manifest.of("ResourceClaimTemplate"), *pods]
        return members[0].plane.submit(evolve(manifest, items=items))

    return start


def taints(api: InMemoryApiServer, node: str) -> list[Document]:
    slices = [one["spec"] for one in api.list("ResourceSlice") if one["spec"]["nodeName"] == node]
    return [taint for spec in slices for device in spec.get("devices") or () for taint in device.get("taints") or ()]


def test_the_pods_of_a_job_learn_their_common_server_and_which_node_of_it_they_are_on(members, job):
    pods = job()
    servers = {member.place("server_id_2").read_text().strip() for member in members}
    assert len(servers) == 1
    claims = [member.schedule(pod) for member, pod in zip(members, pods, strict=False)]
    assert [member.prepare(claim) for member, claim in zip(members, claims, strict=True)] == ["", ""]
    seen = [member.environment(claim) for member, claim in zip(members, claims, strict=True)]
    common = {"NEURON_RT_ULTRASERVER_MODE": "2", "NEURON_RT_ULTRASERVER_SERVER_ID": servers.pop()}
    assert seen == [common | {"NEURON_RT_ULTRASERVER_NODE_ID": rank} for rank in ("0", "1")]
    for member, pod, claim in zip(members, pods, claims, strict=False):
        member.end(pod, claim)


@pytest.mark.reliability(
    fault="One node of an UltraServer job has lost its links to the others, or was never set up for that size",
    injected="of two faked nodes with an agent each, one shows no server id, or does not offer the mode",
    promise="it refuses before any container starts, saying why; the other pod's node is not touched",
)
@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("server_id_2", NO_SERVER, "server_id_2 is 0000000000000000"),
        ("ultraserver_mode", "1,4", "its links allow jobs over 1 or 4 nodes only"),
    ],
)
def test_a_node_that_cannot_take_part_refuses_its_pod_and_the_other_node_is_left_alone(
    members, job, file, text, reason
):
    pods = job()
    good, bad = members
    claims = [member.schedule(pod) for member, pod in zip(members, pods, strict=False)]
    bad.place(file).write_text(f"{text}\n")
    said = bad.prepare(claims[1])
    assert "ultraserverMode 2 is not possible on this node" in said
    assert reason in said
    assert "delete the pod to have it placed anew" in said
    assert bad.node.files() == {}
    assert good.prepare(claims[0]) == ""
    assert good.environment(claims[0])["NEURON_RT_ULTRASERVER_NODE_ID"] == "0"
    for member, pod, claim in zip(members, pods, claims, strict=False):
        member.end(pod, claim)


@pytest.mark.reliability(
    fault="The scheduler would send a job's next pod to the same node that refused the last one",
    injected="a node refuses with `taints` on, and another pod of the job is to be scheduled there",
    promise="its device has a NoExecute taint, which evicts the pod; no other one is scheduled to it",
)
def test_a_node_that_refused_is_tainted_so_that_the_jobs_next_pod_goes_elsewhere(api, members, job):
    members[1].place("server_id_2").write_text(NO_SERVER)
    pods = job("plugin: neuron, taints: {}")
    good, bad = members
    claim = bad.schedule(pods[1])
    assert "ultraserverMode 2 is not possible" in bad.prepare(claim)
    (taint,) = api.wait_for(lambda it: taints(it, "node-2"), BOUND_SECONDS)
    assert (taint["effect"], taint["value"]) == ("NoExecute", "ultraserver-mode")
    bad.end(pods[1], claim)
    with pytest.raises(Unschedulable, match="0 of them usable"):
        bad.schedule(pods[2])
    assert taints(api, "node-1") == []
    assert good.prepare(good.schedule(pods[0])) == ""


def test_a_pod_that_waits_on_a_node_that_refused_starts_once_its_links_are_back(members, job, until):
    bad = members[1]
    place = bad.place("server_id_2")
    server = place.read_text()
    place.write_text(NO_SERVER)
    claim = bad.schedule(job(faultSteadySeconds=0.2, healthSeconds=0.05)[1])
    assert "ultraserverMode 2 is not possible" in bad.prepare(claim)
    place.write_text(server)
    until(lambda: bad.prepare(claim) == "", "the node to take part again")
    assert bad.environment(claim)["NEURON_RT_ULTRASERVER_NODE_ID"] == "1"


def test_nodes_of_one_server_have_the_label_that_jobs_are_placed_by_and_one_that_left_it_has_none(api, members, job):
    def labels(server):
        return [server.get("Node", member.name)["metadata"].get("labels", {}).get(LABEL, "") for member in members]

    job("plugin: neuron, nodeLabels: true", discoverySeconds=0.2)
    server = members[0].place("server_id_2").read_text().strip()
    api.wait_for(lambda it: labels(it) == [server, server], BOUND_SECONDS)
    members[1].place("server_id_2").write_text(NO_SERVER)
    api.wait_for(lambda it: labels(it) == [server, ""], BOUND_SECONDS)
