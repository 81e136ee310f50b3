"""EFA adapters through a real agent: shared by claims, by pods of one claim, and told of where users look."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drakit.documents import claim_ref
from drakit.model import ClaimRef
from drakit.testing import lay_out
from drakit.testing.runtime import container_edits

DRIVER, SHARES = "dra.net", "efa.drakit/shares"
FIRST, FIRST_NODE = "pci-0000-10-1b-0", "/dev/infiniband/uverbs0"
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
BOUND_SECONDS = 30.0
SHARED = "[{plugin: efa, deviceMetadata: true, options: {sharing: {shares: 4}}}]"


@pytest.fixture
def agent(node: Any, kubelet: Any) -> Any:
    """A node with four adapters, each of four shares, whose agent describes devices to containers."""
    lay_out("p4d.24xlarge", node.root)
    node.start(SHARED)
    kubelet.wait_for(DRIVER)
    return node


def result(device: str = FIRST, **more: Any) -> dict[str, Any]:
    return {"request": "efa", "driver": DRIVER, "pool": "node-1", "device": device, **more}


def share(shares: int) -> dict[str, Any]:
    amounts = {SHARES: str(shares), "efa.drakit/bandwidth": "25G"}
    return result(shareID=str(uuid.uuid4()), consumedCapacity=amounts)


@pytest.fixture
def allocated(api: Any, agent: Any) -> Callable[..., ClaimRef]:
    """A claim that the scheduler gave these results."""

    def create(name: str, *results: dict[str, Any], **config: Any) -> ClaimRef:
        requests = [{"name": "efa", "exactly": {"deviceClassName": "efa.networking.k8s.aws"}}]
        opaque = [{"source": "FromClaim", "opaque": {"driver": DRIVER, "parameters": config}}] if config else []
        document = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"devices": {"requests": requests}},
            "status": {"allocation": {"devices": {"results": list(results), "config": opaque}}},
        }
        return claim_ref(api.create(document))

    return create


@pytest.fixture
def prepared(agent: Any, kubelet: Any) -> Callable[[ClaimRef], tuple[str, ...]]:
    """Prepare a claim; its CDI ids, which a runtime can resolve."""

    def prepare(ref: ClaimRef) -> tuple[str, ...]:
        assert kubelet.prepare([ref], DRIVER)[ref.uid].error == ""
        container_edits(agent.cdi, kubelet.cdi_ids(ref.uid))
        return kubelet.cdi_ids(ref.uid)

    return prepare


def nodes(agent: Any, ids: tuple[str, ...]) -> list[str]:
    return [node["path"] for node in container_edits(agent.cdi, ids).device_nodes]


def said(api: Any, ref: ClaimRef) -> dict[str, Any]:
    """What the claim says of its one device, once it says something."""

    def devices(server: Any) -> Any:
        return server.get("ResourceClaim", ref.name)["status"].get("devices")

    (entry,) = api.wait_for(devices, BOUND_SECONDS)
    return entry


def test_an_adapter_is_published_to_be_allocated_by_shares(api, agent):
    (found,) = api.wait_for(lambda it: it.list("ResourceSlice"), BOUND_SECONDS)
    assert len(found["spec"]["devices"]) == 4
    for device in found["spec"]["devices"]:
        assert device["allowMultipleAllocations"] is True
        assert device["capacity"][SHARES] == {
            "value": "4",
            "requestPolicy": {"default": "4", "validRange": {"min": "1", "step": "1"}},
        }
        assert device["capacity"]["efa.drakit/bandwidth"]["requestPolicy"]["default"] == "25G"


def test_two_claims_on_one_adapter_are_apart_and_the_end_of_one_is_nothing_to_the_other(
    agent, kubelet, allocated, prepared
):
    one, two = allocated("one", share(1)), allocated("two", share(3))
    ids = [prepared(one), prepared(two)]
    assert set(ids[0]).isdisjoint(ids[1])
    assert [nodes(agent, own) for own in ids] == [[FIRST_NODE], [FIRST_NODE]]
    late = allocated("late", share(1))
    refused = kubelet.prepare([late], DRIVER)[late.uid].error
    for part in ("claim default/one has 1", "claim default/two has 3", "0 of 4 free"):
        assert part in refused
    files = {name: content for name, content in agent.files().items() if two.uid in name}
    assert len(files) == 1
    assert kubelet.unprepare([one], DRIVER) == {one.uid: ""}
    assert agent.files() == files
    assert nodes(agent, prepared(late)) == [FIRST_NODE]


@pytest.mark.reliability(
    fault="The agent restarts while two claims share an EFA adapter",
    injected="the agent is ended and started anew, CDI files removed in between, and a third claim comes",
    promise="both keep their CDI ids and files, and what they hold still counts",
)
def test_shares_outlive_the_agent(agent, kubelet, allocated, prepared):
    one, two = allocated("one", share(1)), allocated("two", share(3))
    ids = {ref.uid: prepared(ref) for ref in (one, two)}
    agent.end()
    kubelet.wait_until_gone(DRIVER)
    for path in agent.cdi.glob("*.json"):
        path.unlink()
    agent.start(SHARED)
    kubelet.wait_for(DRIVER)
    assert {ref.uid: prepared(ref) for ref in (one, two)} == ids
    late = allocated("late", share(1))
    assert "claim default/two has 3" in kubelet.prepare([late], DRIVER)[late.uid].error


def test_a_pod_that_comes_later_to_a_claim_has_the_same_and_the_last_one_ends_it(agent, kubelet, allocated, prepared):
    claim = allocated("shared-efa", result(), result("pci-0000-20-1b-0"))
    first = prepared(claim)
    before = agent.files()
    kubelet.forget(claim.uid)  # as a kubelet that was restarted between the two pods, and asks again
    assert prepared(claim) == first
    assert agent.files() == before
    assert nodes(agent, first) == [FIRST_NODE, "/dev/infiniband/uverbs1"]
    assert kubelet.unprepare([claim], DRIVER) == {claim.uid: ""}
    assert agent.files() == {}


def test_the_claim_says_which_adapter_it_has_how_much_of_it_and_that_it_is_ready(api, allocated, prepared):
    claim = allocated("told", share(2))
    prepared(claim)
    entry = said(api, claim)
    assert entry["data"] == {
        "rdmaDevice": "rdmap16s27",
        "verbsNode": FIRST_NODE,
        "pciAddress": "0000:10:1b.0",
        "shares": "2",
    }
    assert entry["networkData"] == {"hardwareAddress": "02:00:00:10:1b:00"}
    assert [(one["type"], one["status"], one["reason"]) for one in entry["conditions"]] == [
        ("Ready", "True", "RDMAOnlyDeviceReady")
    ]
    assert entry["shareID"]


def test_a_container_finds_the_attributes_and_the_address_of_its_adapter(agent, kubelet, allocated, prepared):
    (mount,) = container_edits(agent.cdi, prepared(allocated("described", result()))).mounts
    assert mount["containerPath"].endswith(f"/resourceclaims/described/efa/{DRIVER}-metadata.json")
    document = json.loads(Path(mount["hostPath"]).read_text().splitlines()[0])
    (device,) = document["requests"][0]["devices"]
    assert device["attributes"]["dra.net/rdmaDevice"] == {"string": "rdmap16s27"}
    assert device["attributes"]["resource.kubernetes.io/pciBusID"] == {"string": "0000:10:1b.0"}
    assert device["networkData"] == {"hardwareAddress": "02:00:00:10:1b:00"}


def test_configuration_reaches_the_container_and_dranets_own_is_answered(agent, kubelet, allocated, prepared):
    config = {"apiVersion": "efa.drakit/v1", "kind": "EfaConfig", "provider": True, "deviceListVariable": "MY_EFAS"}
    ids = prepared(allocated("configured", result(), **config))
    assert set(container_edits(agent.cdi, ids).env) == {"FI_PROVIDER=efa", "MY_EFAS=rdmap16s27"}
    prepared(allocated("of-dranet", result("pci-0000-20-1b-0"), interface={}))
    refused = allocated("for-an-interface", result("pci-0000-90-1b-0"), interface={"mtu": 9001})
    error = kubelet.prepare([refused], DRIVER)[refused.uid].error
    assert "request 'efa', driver dra.net" in error
    assert "interface.mtu cannot be applied: an EFA adapter has no network interface" in error
