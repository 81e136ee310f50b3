"""Cores of one Neuron device for several claims: published, prepared and told, by a real agent."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from drakit.documents import claim_ref
from drakit.model import ClaimRef
from drakit.testing import lay_out
from drakit.testing.runtime import container_edits

DRIVER, CORES = "neuron.aws.com", "neuron.drakit/cores"
BOUND_SECONDS = 30.0


@pytest.fixture
def agent(node: Any, kubelet: Any) -> Any:
    """A node with one device of eight cores, whose agent shares them."""
    lay_out("trn2.3xlarge", node.root)
    boot(node)
    kubelet.wait_for(DRIVER)
    return node


def boot(node: Any) -> None:
    boot_id = node.root / "proc/sys/kernel/random/boot_id"
    boot_id.parent.mkdir(parents=True, exist_ok=True)
    boot_id.write_text(f"{uuid.uuid4()}\n")
    node.start("[{plugin: neuron, options: {coreSharing: true}}]")


@pytest.fixture
def share(api: Any, agent: Any) -> Callable[[str, int], ClaimRef]:
    """A claim that the scheduler gave so many cores of the device."""

    def create(name: str, cores: int) -> ClaimRef:
        result = {"request": "neurons", "driver": DRIVER, "pool": "node-1", "device": "neuron-device-0"}
        shared = {"shareID": str(uuid.uuid4()), "consumedCapacity": {CORES: str(cores)}}
        request = {"name": "neurons", "exactly": {"deviceClassName": DRIVER}}
        document = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"devices": {"requests": [request]}},
            "status": {"allocation": {"devices": {"results": [result | shared]}}},
        }
        return claim_ref(api.create(document))

    return create


@pytest.fixture
def told(agent: Any, kubelet: Any) -> Callable[[ClaimRef], dict[str, str]]:
    """Prepare a claim, in a container of its own; the environment of that."""

    def prepare(ref: ClaimRef) -> dict[str, str]:
        kubelet.pods.put_in(f"pod-of-{ref.name}", [ref])
        assert kubelet.prepare([ref], DRIVER)[ref.uid].error == ""
        return dict(entry.split("=", 1) for entry in container_edits(agent.cdi, kubelet.cdi_ids(ref.uid)).env)

    return prepare


def refused(kubelet: Any, *refs: ClaimRef) -> str:
    (said,) = [answer.error for answer in kubelet.prepare(refs, DRIVER).values() if answer.error]
    return said


def test_the_device_is_published_to_be_allocated_by_cores(api, agent):
    (found,) = api.wait_for(lambda it: it.list("ResourceSlice"), BOUND_SECONDS)
    (device,) = found["spec"]["devices"]
    assert device["allowMultipleAllocations"] is True
    assert device["capacity"][CORES]["value"] == "8"
    policy = device["capacity"][CORES]["requestPolicy"]
    assert (policy["default"], policy["validRange"]["min"], policy["validRange"]["step"]) == ("8", "1", "1")


def test_claims_share_a_device_and_the_cores_of_one_that_has_ended_are_free(share, told, kubelet):
    first, second, late, third = (share(name, 4) for name in ("first", "second", "late", "third"))
    seen = [told(first), told(second)]
    assert [env["NEURON_RT_VISIBLE_CORES"] for env in seen] == ["0-1", "2-3"]
    assert [env["DRAKIT_NEURON_CORES"] for env in seen] == ["neuron-device-0:0-3", "neuron-device-0:4-7"]
    said = refused(kubelet, late)
    for part in ("all 8 are held", "claim default/first has 0-3", "claim default/second has 4-7"):
        assert part in said
    assert kubelet.unprepare([first], DRIVER) == {first.uid: ""}
    assert told(third)["DRAKIT_NEURON_CORES"] == "neuron-device-0:0-3"


@pytest.mark.reliability(
    fault="A node reboots while a claim has some cores of a device, and lower ones are free by then",
    injected="the agent is started anew with another boot id, and the claim prepared again",
    promise="the claim has the same cores again",
)
def test_a_share_keeps_its_cores_through_a_reboot(share, told, agent, kubelet):
    first, second = share("first", 2), share("second", 2)
    told(first)
    before = told(second)
    assert kubelet.unprepare([first], DRIVER) == {first.uid: ""}
    agent.end()
    kubelet.wait_until_gone(DRIVER)
    boot(agent)
    kubelet.wait_for(DRIVER)
    assert told(second) == before


@pytest.mark.reliability(
    fault="One container is given two shares of devices, of which the runtime would use one",
    injected="the kubelet names a container with two claims for some cores each",
    promise="the second is refused before the pod starts, with both claims and what they set",
)
def test_two_shares_for_one_container_are_refused(share, kubelet):
    refs = [share("first", 2), share("second", 2)]
    kubelet.pods.put_in("pod", refs)
    said = refused(kubelet, *refs)
    for part in ("default/first", "default/second", "one container has both", "CORES"):
        assert part in said
