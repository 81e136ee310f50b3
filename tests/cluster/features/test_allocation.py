"""What the scheduler gives beyond whole devices: admin access, alternatives, partitions, shares, extended resources."""

from __future__ import annotations

from typing import Any

import pytest
from drakit import Quantity
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace, allocated, claim, claim_spec, pod, template

pytestmark = pytest.mark.cluster

GPU, PARTITION, SHARED = "gpu.example.com", "part.example.com", "nic.example.com"


def of_requests(*requests: dict[str, Any]) -> dict[str, Any]:
    """The spec of a claim with these requests."""
    return {"devices": {"requests": list(requests)}}


def mock_devices(environment: Any) -> set[str]:
    """The mock devices that a container was given, by name."""
    return {value.rpartition("/")[2] for name, value in environment.items() if name.startswith("MOCK_DEVICE_")}


@pytest.mark.feature("admin access")
def test_admin_access_reaches_devices_that_are_in_use(workspace: Workspace):
    workspace.submit(
        claim("all", claim_spec("gpu", 4)),
        claim(
            "monitor",
            of_requests(
                {
                    "name": "some",
                    "exactly": {"deviceClassName": "gpu", "allocationMode": "All", "adminAccess": True},
                }
            ),
        ),
        pod("user", {"resourceClaimName": "all"}),
    )
    workspace.running("user")
    workspace.submit(pod("admin", {"resourceClaimName": "monitor"}))
    workspace.running("admin")
    everything = {f"gpu-{index}" for index in range(4)}
    assert mock_devices(workspace.seen("user").environment) == everything
    assert mock_devices(workspace.seen("admin").environment) == everything


@pytest.mark.feature("prioritized lists")
def test_the_first_alternative_that_fits_is_prepared_under_the_name_of_its_request(workspace: Workspace):
    alternatives = [
        {"name": "many", "deviceClassName": "gpu", "count": 9},
        {"name": "few", "deviceClassName": "gpu", "count": 2},
    ]
    document = pod("worker", {"resourceClaimTemplateName": "either"})
    document["spec"]["containers"][0]["resources"]["claims"][0]["request"] = "some"
    workspace.submit(template("either", of_requests({"name": "some", "firstAvailable": alternatives})), document)
    workspace.running("worker")
    (held,) = workspace.claims()
    results = held["status"]["allocation"]["devices"]["results"]
    assert {result["request"] for result in results} == {"some/few"}
    assert mock_devices(workspace.seen("worker").environment) == set(allocated(held, GPU))


@pytest.mark.feature("partitionable devices")
def test_partitions_of_one_device_never_add_up_to_more_than_it_has(workspace: Workspace):
    whole = claim_spec("partition", 3, selector='device.attributes["part.example.com"].partition == "full"')
    half = claim_spec("partition", selector='device.attributes["part.example.com"].partition == "half"')
    workspace.submit(template("whole", whole), template("half", half))
    workspace.submit(pod("three", {"resourceClaimTemplateName": "whole"}))
    workspace.running("three")
    for name in ("left", "right"):
        workspace.submit(pod(name, {"resourceClaimTemplateName": "half"}))
        workspace.running(name)
    halves = [mock_devices(workspace.seen(name).environment) for name in ("left", "right")]
    assert len(halves[0] | halves[1]) == 2
    assert {device.partition("-half-")[0] for devices in halves for device in devices} == {"gpu-3"}
    workspace.submit(pod("late", {"resourceClaimTemplateName": "half"}))
    assert "cannot allocate all claims" in workspace.unschedulable("late")
    workspace.delete("left")
    workspace.running("late")


@pytest.mark.feature("consumable capacity")
def test_two_claims_share_one_device_each_with_a_capacity_of_its_own(workspace: Workspace):
    names = ["one", "two"]
    for name in (*names, "three"):
        request = {
            "name": "some",
            "exactly": {
                "deviceClassName": "shared-nic",
                "capacity": {"requests": {"bandwidth": "40G"}},
                "selectors": [{"cel": {"expression": 'device.attributes["nic.example.com"].index == 0'}}],
            },
        }
        workspace.submit(claim(name, of_requests(request)))
    for name in names:
        workspace.submit(pod(name, {"resourceClaimName": name}))
        workspace.running(name)
    held = [workspace.api.get("ResourceClaim", name, workspace.namespace) for name in names]
    results = [result for it in held for result in it["status"]["allocation"]["devices"]["results"]]
    assert [result["device"] for result in results] == ["nic-0", "nic-0"]
    assert len({result["shareID"] for result in results}) == 2
    for name in names:
        assert Quantity(workspace.seen(name).environment["MOCK_CAPACITY_NIC_0_BANDWIDTH"]) == Quantity("40G")
    workspace.submit(pod("three", {"resourceClaimName": "three"}))
    assert "cannot allocate all claims" in workspace.unschedulable("three")
    workspace.delete("one")
    workspace.running("three")


@pytest.mark.feature("opaque configuration")
def test_what_a_claim_says_goes_over_what_its_class_says(workspace: Workspace):
    mine = {
        "apiVersion": "mock.drakit/v1alpha1",
        "kind": "MockConfig",
        "env": {"OF_BOTH": "claim", "OF_CLAIM": "claim"},
    }
    spec = claim_spec("shared-nic", config=[{"opaque": {"driver": SHARED, "parameters": mine}}])
    workspace.submit(template("configured", spec), pod("worker", {"resourceClaimTemplateName": "configured"}))
    workspace.running("worker")
    environment = workspace.seen("worker").environment
    assert [environment[name] for name in ("OF_CLASS", "OF_BOTH", "OF_CLAIM")] == ["class", "claim", "claim"]


@pytest.mark.feature("extended resources")
def test_a_pod_that_asks_for_an_extended_resource_gets_a_device(workspace: Workspace, node: Node):
    document = pod("worker", {})
    document["spec"] |= {"resourceClaims": []}
    (container,) = document["spec"]["containers"]
    container["resources"] = {"limits": {"example.com/mock-gpu": "1"}}
    workspace.submit(document)
    workspace.running("worker")
    (held,) = workspace.claims()
    assert mock_devices(workspace.seen("worker").environment) == set(allocated(held, GPU))
    assert len(node.cdi_files()) == 1
    workspace.delete("worker")
    until("the claim of the extended resource to be gone", lambda: not workspace.claims())
