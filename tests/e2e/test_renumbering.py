"""Kernel modules that are loaded anew under a running agent: no two claims ever get one device node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from drakit_mock.rehearsal import Rehearsal

EFA = "dra.net"


def node_of(root: Path, device: str) -> str:
    """The verbs node that an adapter has now."""
    domain, bus, slot, function = device.removeprefix("pci-").split("-")
    address = f"{domain}:{bus}:{slot}.{function}"
    (node,) = (root / "sys/bus/pci/devices" / address / "infiniband_verbs").iterdir()
    return f"/dev/infiniband/{node.name}"


def nodes(node: Any, claim: Any) -> list[str]:
    """The device nodes that the claim's containers would get from the CDI file as it is."""
    (content,) = [content for name, content in node.files().items() if claim.uid in name]
    devices = json.loads(content)["devices"]
    return [one["path"] for device in devices for one in device["containerEdits"]["deviceNodes"]]


def by_node(node: Any, api: Any) -> dict[str, str]:
    """The published adapters by the verbs node that each has now."""
    (efa,) = [one["spec"] for one in api.list("ResourceSlice") if one["spec"]["driver"] == EFA]
    return {node_of(node.root, device["name"]): device["name"] for device in efa["devices"]}


@pytest.fixture
def agent(request, trn2, kubelet, api):
    trn2.start("[{plugin: efa}]", discoverySeconds=getattr(request, "param", 3600))
    kubelet.wait_for(EFA, 30)
    api.wait_for(lambda server: server.list("ResourceSlice"), 30)
    return trn2


@pytest.mark.reliability(
    fault="Kernel modules are loaded anew and number devices otherwise, while claims are prepared",
    injected="`drakit mock fault renumber` under a real agent, between the Prepare of two claims",
    promise="Before the next claim is answered, files of all others name the nodes of now, under the same ids",
)
def test_a_claim_prepared_after_a_renumbering_shares_no_node_with_one_from_before(agent, kubelet, api, new_claim):
    adapters = by_node(agent, api)
    one = new_claim("one", {EFA: ("nic", [adapters["/dev/infiniband/uverbs0"]])})
    answer = kubelet.prepare([one], EFA)
    assert nodes(agent, one) == ["/dev/infiniband/uverbs0"]
    Rehearsal(root=agent.root).renumber()
    two = new_claim("two", {EFA: ("nic", [by_node(agent, api)["/dev/infiniband/uverbs0"]])})
    assert not kubelet.prepare([two], EFA)[two.uid].error
    assert nodes(agent, two) == ["/dev/infiniband/uverbs0"]
    assert nodes(agent, one) == [node_of(agent.root, adapters["/dev/infiniband/uverbs0"])]
    assert nodes(agent, one) != nodes(agent, two)
    before = agent.files()
    assert kubelet.prepare([one], EFA) == answer
    assert agent.files() == before
    assert kubelet.unprepare([one, two], EFA) == {one.uid: "", two.uid: ""}
    assert agent.files() == {}


@pytest.mark.parametrize("agent", [0.1], indirect=True, ids=["that looks often"])
def test_a_renumbering_that_discovery_notices_reaches_the_files_without_any_call(agent, kubelet, api, new_claim, until):
    adapters = by_node(agent, api)
    claims = [new_claim(f"claim-{index}", {EFA: ("nic", [name])}) for index, name in enumerate(adapters.values())]
    assert not any(answer.error for answer in kubelet.prepare(claims, EFA).values())
    Rehearsal(root=agent.root).renumber()
    expected = [[node_of(agent.root, name)] for name in adapters.values()]
    until(lambda: [nodes(agent, claim) for claim in claims] == expected, "the files to name the nodes of now")
