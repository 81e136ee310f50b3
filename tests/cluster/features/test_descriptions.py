"""What is told of devices that were prepared: to containers in files, to everybody in the claim's status."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from realkube.api import Api, Refused
from realkube.cluster import Cluster
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import DESCRIPTIONS, Workspace, allocated, claim, claim_spec, pod

pytestmark = pytest.mark.cluster

FEATURES, PARTITION = "features.example.com", "part.example.com"
LINKS = 'device.attributes["features.example.com"].feature == "status"'
OTHERS = {"link": "up"}
"""What somebody else has to say of a device."""


def published(cluster: Cluster, driver: str) -> dict[str, Mapping[str, Any]]:
    """Device -> its attributes, as published."""
    slices = [it for it in cluster.api.list("ResourceSlice") if it["spec"]["driver"] == driver]
    return {device["name"]: device["attributes"] for it in slices for device in it["spec"].get("devices") or ()}


def of_classes(*classes: str) -> dict[str, Any]:
    """The spec of a claim for one device of each class, in requests of their names' first parts."""
    requests = [{"name": name.partition(".")[0], "exactly": {"deviceClassName": name}} for name in classes]
    return {"devices": {"requests": requests}}


def said_of(document: Mapping[str, Any], driver: str) -> list[Mapping[str, Any]]:
    """What the status of a claim has on the devices of a driver."""
    return [it for it in document["status"].get("devices") or () if it["driver"] == driver]


def saying(document: Mapping[str, Any], driver: str) -> dict[str, Any]:
    """A claim's status as somebody applies it who has something to say of its device of a driver."""
    (result,) = (it for it in document["status"]["allocation"]["devices"]["results"] if it["driver"] == driver)
    about = {key: result[key] for key in ("driver", "pool", "device")}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {key: document["metadata"][key] for key in ("name", "namespace")},
        "status": {"devices": [{**about, "data": OTHERS}]},
    }


@pytest.mark.feature("device metadata files")
def test_a_container_reads_of_its_own_devices_what_is_published_of_them_and_the_one_beside_it_nothing(
    featured: Cluster, workspace: Workspace, example: Callable[[str], dict[str, Any]]
):
    given = example("status")
    given["spec"]["containers"].append({"name": "beside", "image": "any"})
    named = claim("mine", claim_spec(FEATURES, selector=LINKS))
    workspace.submit(given, named, pod("named", {"resourceClaimName": "mine"}))
    for name, place in {"status": "resourceclaimtemplates/status/device", "named": "resourceclaims/mine/some"}.items():
        workspace.running(name)
        files = workspace.seen(name).files
        assert list(files) == [f"{DESCRIPTIONS}/{place}/{FEATURES}-metadata.json"]
        documents = [json.loads(line) for line in files[f"{DESCRIPTIONS}/{place}/{FEATURES}-metadata.json"]]
        versions = [document.pop("apiVersion") for document in documents]
        assert versions == ["metadata.resource.k8s.io/v1beta1", "metadata.resource.k8s.io/v1alpha1"]
        assert documents[0] == documents[1]
        held = workspace.claim_of(name) if name == "status" else workspace.claim("mine")
        assert documents[0]["metadata"]["uid"] == held["metadata"]["uid"]
        ((device,),) = (request["devices"] for request in documents[0]["requests"])
        assert [device["name"]] == allocated(held, FEATURES)
        assert device["attributes"] == published(featured, FEATURES)[device["name"]]
        assert device["networkData"]["interfaceName"] == device["name"].replace("link-", "mock")
    assert workspace.seen("status", "beside").files == {}


@pytest.mark.feature("status.devices of claims")
def test_the_status_of_a_claim_says_of_our_devices_what_we_know_and_of_others_what_others_said(
    workspace: Workspace, node: Node
):
    workspace.submit(claim("both", of_classes(FEATURES, "partition")))
    held = workspace.allocate("both", node.name, (FEATURES, "link-0"), (PARTITION, "gpu-0"))
    workspace.api.apply(saying(held, PARTITION), subresource="status", manager="somebody")
    workspace.submit(pod("worker", {"resourceClaimName": "both"}))
    workspace.running("worker")
    (ours,) = until("our part of the status", lambda: said_of(workspace.claim("both"), FEATURES))
    assert (ours["device"], ours["pool"]) == ("link-0", node.name)
    assert ours["data"] == {"port": "0", "vlan": 7}
    assert ours["networkData"]["ips"] == ["192.0.2.10/24"]
    assert [(it["type"], it["status"]) for it in ours["conditions"]] == [("features.example.com/LinkUp", "True")]
    (theirs,) = said_of(workspace.claim("both"), PARTITION)
    assert theirs["data"] == OTHERS


@pytest.mark.feature("permission for status.devices by driver", since="1.36")
def test_the_agent_may_say_something_of_devices_of_its_drivers_alone(workspace: Workspace, node: Node, agent: Api):
    workspace.submit(claim("both", of_classes(FEATURES, "partition")))
    held = workspace.allocate("both", node.name, (FEATURES, "link-0"), (PARTITION, "gpu-0"))
    assert said_of(agent.apply(saying(held, FEATURES), subresource="status", manager="ours"), FEATURES)
    with pytest.raises(Refused, match=PARTITION) as refused:
        agent.apply(saying(held, PARTITION), subresource="status", manager="theirs")
    assert refused.value.status == 422, "a matter of validation, for the server looks at each device"


def lists(cluster: Cluster) -> set[str]:
    """The devices with attributes that are lists, as published."""
    return {
        device
        for device, attributes in published(cluster, FEATURES).items()
        if any(kind in value for value in attributes.values() for kind in ("ints", "bools", "strings", "versions"))
    }


def test_lists_are_published_where_the_agent_is_told_to_and_left_out_with_a_word_elsewhere(
    featured: Cluster, node: Node
):
    taken = featured.kubernetes.minor >= (1, 36)
    assert lists(featured) == ({"socketed-0", "socketed-1"} if taken else set())
    assert node.running.processes["drakit"].said("listAttributes") is not taken


@pytest.mark.feature("list attributes", since="1.36")
def test_a_selector_looks_into_a_list(workspace: Workspace):
    its = f'device.attributes["{FEATURES}"]'
    only = f'{its}.feature == "listed" && {its}.fabrics.includes("b")'
    workspace.submit(claim("b", claim_spec(FEATURES, selector=only)), pod("one", {"resourceClaimName": "b"}))
    workspace.running("one")
    assert allocated(workspace.claim("b"), FEATURES) == ["socketed-1"]


# The scheduler of 1.36.3 does not tell its allocator of the feature: there no constraint holds on a list.
@pytest.mark.feature("constraints on list attributes", since="1.37")
def test_devices_match_by_one_value_that_both_have_in_a_list(
    workspace: Workspace, example: Callable[[str], dict[str, Any]]
):
    workspace.submit(example("listed"))
    workspace.running("listed")
    assert set(allocated(workspace.claim_of("listed"), FEATURES)) == {"socketed-0", "socketed-1"}
