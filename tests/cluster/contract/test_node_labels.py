"""What the API server lets an agent do to Nodes where the chart lets it label them: label its own, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from realkube.api import APPLY, Api, Refused
from realkube.cluster import Cluster
from realkube.helm import NAMESPACE
from realkube.node import ACCOUNT
from realkube.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane, pytest.mark.contract]

OWN, OTHER = "n1", "n2"
MODE = "neuron.amazonaws.com/ultraserver-mode"
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def agent(bare_cluster: Cluster) -> Iterator[Api]:
    """The API server as the agent of the first node sees it, once the policy is in force."""
    admin = bare_cluster.api
    labels = {"example.com/theirs": "x", MODE: "old"}
    for name in (OWN, OTHER):
        admin.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
    bare_cluster.deploy({"config": {"backends": [{"plugin": "neuron", "nodeLabels": True}]}})
    token = admin.token_for(ACCOUNT, NAMESPACE, admin.get("Node", OWN))
    agent = bare_cluster.control_plane.api_as(token)

    def forbidden() -> str:
        return refusal(lambda: patch(agent, {"labels": {MODE: "1"}}, OTHER))

    until("the policy to be in force", lambda: "may not write node" in forbidden(), seconds=20, seen=forbidden)
    yield agent
    for name in (OWN, OTHER):
        admin.delete("Node", name)


def refusal(call: Callable[[], Any]) -> str:
    """Why a call is refused; empty if it is not."""
    try:
        call()
    except Refused as refused:
        return refused.message
    return ""


def patch(agent: Api, metadata: dict[str, Any], node: str = OWN, **more: Any) -> dict[str, Any]:
    """Change a Node, as far as it would be: nothing is stored."""
    path = f"/api/v1/nodes/{node}?dryRun=All"
    answer: dict[str, Any] = agent.call("PATCH", path, {"metadata": metadata, **more}, content_type=MERGE)
    return answer


def apply(agent: Api, manager: str = "drakit-neuron.aws.com", **metadata: Any) -> dict[str, Any]:
    """Apply labels to the own Node, as the agent does."""
    document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": OWN, **metadata}}
    path = f"/api/v1/nodes/{OWN}?fieldManager={manager}"
    answer: dict[str, Any] = agent.call("PATCH", path, document, content_type=APPLY)
    return answer


def test_the_own_labels_are_applied_and_taken_away(agent: Api):
    server = "neuron.amazonaws.com/ultraserver-server-id-2"
    uid = agent.get("Node", OWN)["metadata"]["uid"]
    applied = apply(agent, uid=uid, labels={server: "abc"})["metadata"]["labels"]
    assert applied[server] == "abc"
    assert applied["example.com/theirs"] == "x"
    assert server not in apply(agent, uid=uid)["metadata"]["labels"]


def test_what_somebody_else_has_set_is_a_conflict(agent: Api):
    with pytest.raises(Refused) as refused:
        apply(agent, labels={MODE: "1_2_4"})
    assert refused.value.status == 409


@pytest.mark.parametrize(
    ("metadata", "more", "said"),
    [
        ({"labels": {"example.com/new": "x"}}, {}, "only these labels"),
        ({"labels": {"example.com/theirs": "y"}}, {}, "only these labels"),
        ({"labels": {"example.com/theirs": None}}, {}, "only these labels"),
        ({"labels": {"node-role.kubernetes.io/control-plane": ""}}, {}, "only these labels"),
        ({"annotations": {"example.com/a": "x"}}, {}, "and nothing else"),
        ({"finalizers": ["example.com/a"]}, {}, "and nothing else"),
        ({}, {"spec": {"unschedulable": True}}, "and nothing else"),
        ({}, {"spec": {"taints": [{"key": "example.com/a", "effect": "NoExecute"}]}}, "and nothing else"),
    ],
)
def test_nothing_else_of_the_own_node_is_changed(agent: Api, metadata: dict[str, Any], more: dict[str, Any], said: str):
    with pytest.raises(Refused, match=said):
        patch(agent, metadata, **more)
    with pytest.raises(Refused, match=said):
        patch(agent, {**metadata, "labels": {**metadata.get("labels", {}), MODE: "1"}}, **more)


def test_another_node_is_not_labelled(agent: Api):
    with pytest.raises(Refused, match=f"the agent of node {OWN} may not write node {OTHER}"):
        patch(agent, {"labels": {MODE: "1"}}, OTHER)


def test_a_node_is_neither_made_nor_deleted_nor_is_its_status_written(agent: Api):
    document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n3", "labels": {MODE: "1"}}}
    for method, path in (
        ("PATCH", "/api/v1/nodes/n3?fieldManager=drakit"),
        ("DELETE", f"/api/v1/nodes/{OWN}"),
        ("PATCH", f"/api/v1/nodes/{OWN}/status?fieldManager=drakit"),
    ):
        with pytest.raises(Refused) as refused:
            agent.call(method, path, document, content_type=APPLY)
        assert refused.value.status == 403


def test_others_are_not_bound_by_the_policy(bare_cluster: Cluster, agent: Api):
    assert patch(bare_cluster.api, {"labels": {"example.com/new": "x"}})["metadata"]["name"] == OWN
