"""What a user is told who looks where users look: the Events of claims and of the node."""

from __future__ import annotations

import pytest
from realkube.cluster import Cluster
from realkube.waiting import until
from realkube.workspace import Workspace, claim_spec, pod, template

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.usefixtures("own_cluster")]

DRIVER = "gpu.example.com"


@pytest.mark.feature("Events about claims and nodes")
@pytest.mark.reliability(
    fault="the record of a claim is damaged, and a plugin cannot be loaded",
    injected="the journal overwritten and a plugin enabled that is not installed, while no agent runs",
    promise="Events of the claim and of the node say so; the pod runs on and ends, and new ones start",
)
def test_damage_and_a_plugin_that_is_missing_are_events_of_the_claim_and_of_the_node(
    cluster: Cluster, workspace: Workspace
):
    (node,) = cluster.nodes
    workspace.submit(template("gpu", claim_spec(DRIVER)), pod("worker", {"resourceClaimTemplateName": "gpu"}))
    workspace.running("worker")
    held = workspace.claim_of("worker")["metadata"]["name"]
    assert node.running.processes["drakit"].end() == 0
    journal = node.state / "lib/kubelet/plugins" / DRIVER / "drakit.journal"
    journal.write_bytes(b"0" * 8 + journal.read_bytes()[8:])
    node.start_agent([*node.backends, {"plugin": "missing", "driver": "missing.example.com"}])

    of_claim = workspace.event(held, "was damaged")
    assert "delete the pod and its claim" in of_claim
    of_node = {"fieldSelector": f"involvedObject.kind=Node,involvedObject.name={node.name},reason=DriverNotServed"}
    (told,) = until("an event of the node", lambda: cluster.api.list("Event", "default", **of_node))
    assert (told["type"], told["source"].get("component") or told["reportingComponent"]) == ("Warning", "drakit")
    assert "missing.example.com" in told["message"]

    workspace.submit(pod("next", {"resourceClaimTemplateName": "gpu"}))
    workspace.running("next")
    workspace.delete("worker", "next")
    assert node.cdi_files() == {}
