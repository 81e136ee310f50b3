"""A rolling update of the agent under load: the new one serves before the old one goes, and no pod notices."""

from __future__ import annotations

import pytest
from realkube.cluster import Cluster
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace, claim_spec, pod, template

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.usefixtures("own_cluster")]

UPDATES = 3
PODS = 24
"""How many pods come and go meanwhile, two at a time."""


@pytest.fixture
def node(cluster: Cluster) -> Node:
    """The one node, with an agent that has a pod's uid, as one of a DaemonSet has."""
    (node,) = cluster.nodes
    node.running.processes["drakit"].end()
    node.start_agent(name="drakit-0", podUid="00000000-0000-4000-8000-000000000000")
    until("the agent to register", lambda: _registered(node, "drakit-0"))
    return node


def _registered(node: Node, agent: str) -> bool:
    return node.running.processes[agent].said("registered driver neuron.aws.com")


@pytest.mark.feature("rolling update of the agent")
@pytest.mark.reliability(
    fault="the agent is updated while pods start",
    injected="three updates with maxSurge, SIGTERM to each old agent, 24 pods coming and going meanwhile",
    promise="every pod starts and ends, no event says that a preparation failed, no slice is missing",
)
def test_pods_start_and_end_throughout_and_none_fails(cluster: Cluster, node: Node, workspace: Workspace):
    workspace.submit(template("neurons", claim_spec("neuron.aws.com", 2)))
    names = [f"pod-{number}" for number in range(PODS)]
    workspace.submit(*(pod(name, {"resourceClaimTemplateName": "neurons"}) for name in names[:2]))
    per_update = PODS // (UPDATES + 1)
    for number, name in enumerate(names):
        workspace.running(name)
        if number + 2 < PODS:
            workspace.submit(pod(names[number + 2], {"resourceClaimTemplateName": "neurons"}))
        workspace.api.delete("Pod", name, workspace.namespace)
        update, step = divmod(number, per_update)
        if 1 <= update <= UPDATES and step == 0:
            node.start_agent(name=f"drakit-{update}", podUid=f"{update:08d}-0000-4000-8000-000000000000")
        if 1 <= update <= UPDATES and step == per_update // 2:
            until("the new agent to register", lambda update=update: _registered(node, f"drakit-{update}"))
            assert node.running.processes[f"drakit-{update - 1}"].end() == 0
    workspace.gone(*names)
    assert node.cdi_files() == {}
    failures = [
        message for name in names for message in workspace.events(name) if "Fail" in message or "fail" in message
    ]
    assert failures == []
    assert {it["spec"]["driver"] for it in cluster.api.list("ResourceSlice")} >= {"neuron.aws.com", "dra.net"}
    assert len({it["metadata"]["name"] for it in cluster.api.list("ResourceSlice")}) == 3
