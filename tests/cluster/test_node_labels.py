"""The agent labels its own node of a real cluster, with what the chart allows where a backend has `nodeLabels`."""

from __future__ import annotations

import shutil

import pytest
from realkube.cluster import Cluster
from realkube.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.usefixtures("own_cluster")]

PREFIX = "neuron.amazonaws.com/ultraserver-"


def test_a_node_of_an_ultraserver_is_labelled_for_as_long_as_that_is_enabled(cluster: Cluster):
    api, (node,) = cluster.api, cluster.nodes

    def labels() -> dict[str, str]:
        found = api.get("Node", node.name)["metadata"]["labels"]
        return {key.removeprefix(PREFIX): value for key, value in found.items() if key.startswith(PREFIX)}

    node.running.processes["drakit"].end()
    shutil.rmtree(node.hardware)
    node.lay_out("trn2u.48xlarge")
    agent = node.start_agent([{"plugin": "neuron", "nodeLabels": True}], discoverySeconds=1)
    until("the agent to be refused", lambda: agent.said("allow it with the Helm chart"), seen=agent.tail)
    cluster.deploy({"config": {"backends": [{"plugin": "neuron", "nodeLabels": True}]}})
    written = until("the labels", labels, seen=agent.tail)
    assert {"mode", "server-id-2", "server-id-4", "node-id-2", "node-id-4"} >= written.keys() >= {"mode", "server-id-4"}
    mine = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name, "labels": {f"{PREFIX}mode": "mine"}}}
    api.apply(mine, manager="somebody")
    agent.end()
    assert labels() == written | {"mode": "mine"}
    agent = node.start_agent(name="second", discoverySeconds=1)
    until("the conflict to be told", lambda: agent.said("for it belongs to somebody"), seen=agent.tail)
    agent.end()
    agent = node.start_agent([{"plugin": "neuron"}], name="third", discoverySeconds=1)
    until("the labels to be taken away", lambda: labels() == {"mode": "mine"}, seen=agent.tail)
