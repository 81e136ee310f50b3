"""What the API server and the scheduler make of drakit: its slices, its permissions, its manifests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from realkube.api import APPLY, Api, Refused
from realkube.cluster import Cluster
from realkube.helm import NAMESPACE
from realkube.node import ACCOUNT
from realkube.waiting import until
from realkube.workspace import Workspace, claim, claim_spec, pod, template

RBAC = "rbac.authorization.k8s.io/v1"
pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]


@pytest.fixture(scope="module")
def agent(shared_cluster: Cluster) -> Api:
    """The API server as the agent of the first node sees it."""
    node = shared_cluster.api.get("Node", shared_cluster.nodes[0].name)
    return shared_cluster.control_plane.api_as(shared_cluster.api.token_for(ACCOUNT, NAMESPACE, node))


def a_slice(node: str | None, driver: str = "other.example.com") -> dict[str, Any]:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"of-{node or 'every'}"},
        "spec": {
            "driver": driver,
            **({"nodeName": node} if node else {"allNodes": True}),
            "pool": {"name": f"{node or 'every'}/other", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "device"}],
        },
    }


@pytest.mark.parametrize(("driver", "count"), [("neuron.aws.com", 16), ("dra.net", 16), ("gpu.example.com", 8)])
def test_the_api_server_keeps_every_attribute_of_every_device(cluster: Cluster, driver: str, count: int):
    for node in cluster.nodes:
        found = cluster.api.list("ResourceSlice", fieldSelector=f"spec.driver={driver},spec.nodeName={node.name}")
        stored = {device["name"]: device for it in found for device in it["spec"]["devices"]}
        assert len(stored) == count
        meant = {device["name"]: device for device in offline_devices(node.hardware, driver)}
        assert {name: sorted(device["attributes"]) for name, device in stored.items()} == {
            name: sorted(device["attributes"]) for name, device in meant.items()
        }
        owners = [owner for it in found for owner in it["metadata"]["ownerReferences"]]
        assert {owner["name"] for owner in owners} == {node.name}
        log = node.running.processes["drakit"].log.read_text()
        warnings = [line for line in log.splitlines() if " warning " in line and "cannot prepare claim" not in line]
        assert not warnings, "nothing was dropped, nothing was refused; claims of other tests are their own affair"


def offline_devices(root: Path, driver: str) -> list[dict[str, Any]]:
    """What `drakit slices` says of a driver, with the plugins that the agents run."""
    plugins = {
        "apiVersion": "drakit/v1alpha1",
        "kind": "AgentConfiguration",
        "backends": [
            {"plugin": "neuron"},
            {"plugin": "efa"},
            {"plugin": "mock", "driver": "gpu.example.com", "options": {"profile": "generic-gpu"}},
        ],
    }
    config = root.parent / "offline.yaml"
    config.write_text(yaml.safe_dump(plugins))
    command = [Path(sys.executable).with_name("drakit"), "slices", "--config", config, "--root", root, "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [
        device
        for document in json.loads(done.stdout)["items"]
        if document["spec"]["driver"] == driver
        for device in document["spec"]["devices"]
    ]


def test_the_agent_may_write_the_slices_of_its_own_node(agent: Api, cluster: Cluster):
    own = a_slice(cluster.nodes[0].name)
    created = agent.create(own)
    created["spec"]["devices"].append({"name": "another"})
    assert len(agent.replace(created)["spec"]["devices"]) == 2
    agent.delete("ResourceSlice", own["metadata"]["name"])


def test_the_agent_may_not_write_the_slices_of_another_node(agent: Api, cluster: Cluster):
    other = cluster.nodes[1].name
    with pytest.raises(Refused, match=f"may not write a slice of node {other}"):
        agent.create(a_slice(other))
    (published,) = cluster.api.list("ResourceSlice", fieldSelector=f"spec.nodeName={other},spec.driver=neuron.aws.com")
    with pytest.raises(Refused, match=f"may not write a slice of node {other}"):
        agent.delete("ResourceSlice", published["metadata"]["name"])


def test_the_agent_may_not_write_slices_of_its_own_node_into_the_pool_of_another(agent: Api, cluster: Cluster):
    own, other = cluster.nodes[0].name, cluster.nodes[1].name
    into = a_slice(own)
    for name in (other, f"{own}x", f"{other}/{own}"):
        into["spec"]["pool"]["name"] = name
        with pytest.raises(Refused, match=f"may not write a slice of pool {name}"):
            agent.create(into)


def test_the_agent_may_not_write_slices_that_are_bound_to_no_node(agent: Api):
    with pytest.raises(Refused, match="may not write a slice of no node in particular"):
        agent.create(a_slice(None))


def test_the_agent_may_not_write_the_slices_of_a_foreign_driver(agent: Api, cluster: Cluster):
    foreign = a_slice(cluster.nodes[0].name, "foreign.example.com")
    with pytest.raises(Refused, match=r"of driver foreign\.example\.com, but of neuron\.aws\.com, "):
        agent.create(foreign)
    cluster.api.create(foreign)
    with pytest.raises(Refused, match=r"may not write a slice of driver foreign\.example\.com"):
        agent.delete("ResourceSlice", foreign["metadata"]["name"])
    cluster.api.delete("ResourceSlice", foreign["metadata"]["name"])


def saying(held: dict[str, Any], driver: str) -> dict[str, Any]:
    """The status of a claim with one thing more to say of the device of a driver."""
    (result,) = (it for it in held["status"]["allocation"]["devices"]["results"] if it["driver"] == driver)
    device = {name: result[name] for name in ("driver", "pool", "device")} | {"data": {"said": "by a test"}}
    metadata = {name: held["metadata"][name] for name in ("name", "namespace")}
    return {key: held[key] for key in ("apiVersion", "kind")} | {"metadata": metadata, "status": {"devices": [device]}}


@pytest.fixture
def held(workspace: Workspace, cluster: Cluster) -> dict[str, Any]:
    """A claim with a device of a driver of the agent's and one of another driver, on the agent's node."""
    requests = [{"name": name, "exactly": {"deviceClassName": "neuron.aws.com"}} for name in ("ours", "theirs")]
    workspace.submit(claim("both", {"devices": {"requests": requests}}))
    devices = ("neuron.aws.com", "neurondevice0"), ("foreign.example.com", "device")
    return workspace.allocate("both", cluster.nodes[0].name, *devices)


@pytest.fixture
def unbounded(cluster: Cluster) -> Iterator[None]:
    """What RBAC bounds from 1.36 on is let be, as before: then the policy stands alone."""
    verbs = ["arbitrary-node:patch", "patch"]
    resources = ["resourceclaims/driver", "resourceclaims/binding"]
    role = {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": "test-unbounded"}}
    reference = {"apiGroup": RBAC.partition("/")[0], "kind": "ClusterRole", "name": "test-unbounded"}
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}
    cluster.api.create(role | {"rules": [{"apiGroups": ["resource.k8s.io"], "resources": resources, "verbs": verbs}]})
    cluster.api.create(role | {"kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject]})
    yield
    cluster.api.delete("ClusterRoleBinding", "test-unbounded")
    cluster.api.delete("ClusterRole", "test-unbounded")


@pytest.mark.usefixtures("unbounded")
def test_the_agent_may_say_nothing_of_the_devices_of_a_foreign_driver(agent: Api, cluster: Cluster, held):
    said = agent.apply(saying(held, "neuron.aws.com"), subresource="status", manager="ours")
    assert [it["driver"] for it in said["status"]["devices"]] == ["neuron.aws.com"]
    with pytest.raises(Refused, match=r"may not write status\.devices of driver foreign\.example\.com, but of neuron"):
        agent.apply(saying(held, "foreign.example.com"), subresource="status", manager="ours")
    cluster.api.apply(saying(held, "foreign.example.com"), subresource="status", manager="theirs")
    whole = cluster.api.get("ResourceClaim", "both", held["metadata"]["namespace"])
    for changed in ({"said": "by us"}, None):
        document = json.loads(json.dumps(whole))
        (theirs,) = (it for it in document["status"]["devices"] if it["driver"] == "foreign.example.com")
        if changed:
            theirs["data"] = changed
        else:
            document["status"]["devices"].remove(theirs)
        with pytest.raises(Refused, match=r"may not write status\.devices of driver foreign\.example\.com"):
            merge_status(agent, document)


@pytest.mark.usefixtures("unbounded")
def test_the_agent_may_say_nothing_of_the_devices_of_another_node(agent: Api, workspace: Workspace, cluster: Cluster):
    other = cluster.nodes[1].name
    request = {"name": "it", "exactly": {"deviceClassName": "neuron.aws.com"}}
    workspace.submit(claim("there", {"devices": {"requests": [request]}}))
    there = workspace.allocate("there", other, ("neuron.aws.com", "neurondevice0"))
    with pytest.raises(Refused, match=rf"may not write status\.devices of pool {other}"):
        agent.apply(saying(there, "neuron.aws.com"), subresource="status", manager="ours")


@pytest.mark.usefixtures("unbounded")
def test_the_agent_may_not_write_what_is_allocated_and_for_whom(agent: Api, held):
    somebody = [{"resource": "pods", "name": "somebody", "uid": "0b8b9a10-7f2e-4a53-9d3e-5f3a6c1d2e4f"}]
    for changed in ({"allocation": None}, {"reservedFor": somebody}):
        with pytest.raises(Refused, match="and not what is allocated and for whom"):
            merge_status(agent, held | {"status": changed})


def merge_status(agent: Api, document: dict[str, Any]) -> None:
    """Patch the status of a claim with what a document has of it, which needs no more than the agent may."""
    name, namespace = document["metadata"]["name"], document["metadata"]["namespace"]
    path = f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims/{name}/status"
    agent.call("PATCH", path, {"status": document["status"]}, content_type="application/merge-patch+json")


def test_a_token_that_names_no_node_writes_no_slice(cluster: Cluster):
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
    nowhere = cluster.control_plane.api_as(cluster.api.call("POST", path, request)["status"]["token"])
    with pytest.raises(Refused, match="the agent's token names no node"):
        nowhere.create(a_slice(cluster.nodes[0].name))


def test_the_agent_may_write_events_about_its_node(agent: Api, cluster: Cluster):
    node = cluster.nodes[0].name
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{node}.1", "namespace": "default"},
        "eventTime": "2026-01-31T12:00:00.000000Z",
        "reportingController": "drakit",
        "reportingInstance": node,
        "action": "ServeDriver",
        "reason": "DriverNotServed",
        "regarding": {"apiVersion": "v1", "kind": "Node", "name": node},
        "type": "Warning",
    }
    path = f"/apis/events.k8s.io/v1/namespaces/default/events/{node}.1?fieldManager=drakit&dryRun=All"
    assert agent.call("PATCH", path, event, content_type=APPLY)["reason"] == "DriverNotServed"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/secrets"),
        ("GET", "/api/v1/pods"),
        ("GET", "/api/v1/nodes"),
        ("GET", "/apis/resource.k8s.io/v1/resourceclaims"),
        ("DELETE", "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/any"),
        ("DELETE", "/apis/resource.k8s.io/v1/deviceclasses/neuron.aws.com"),
        ("DELETE", "/api/v1/nodes/node-1"),
        ("PATCH", "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/any"),
        ("PUT", "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/any/status"),
        ("PATCH", "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/any/binding"),
        ("GET", "/apis/events.k8s.io/v1/events"),
        ("DELETE", "/apis/events.k8s.io/v1/namespaces/default/events/any"),
        ("POST", "/api/v1/namespaces/default/events"),
    ],
)
def test_the_agent_may_do_no_more_than_it_needs(agent: Api, method: str, path: str):
    with pytest.raises(Refused) as refused:
        agent.call(method, path)
    assert refused.value.status == 403


def test_a_claim_that_no_device_meets_stays_pending_and_harms_nobody(cluster: Cluster, workspace: Workspace):
    none = claim_spec("neuron.aws.com", selector='device.attributes["neuron.aws.com"].deviceId == 99')
    workspace.submit(
        template("none", none),
        template("one", claim_spec("neuron.aws.com")),
        pod("hopeless", {"resourceClaimTemplateName": "none"}),
        pod("modest", {"resourceClaimTemplateName": "one"}),
    )
    assert "cannot allocate all claims" in workspace.unschedulable("hopeless")
    workspace.running("modest")
    assert "allocation" not in workspace.claim_of("hopeless").get("status", {})


def test_deleted_slices_are_published_again(cluster: Cluster):
    (node, *_) = cluster.nodes
    mine = {"fieldSelector": f"spec.driver=dra.net,spec.nodeName={node.name}"}
    (published,) = cluster.api.list("ResourceSlice", **mine)
    cluster.api.delete("ResourceSlice", published["metadata"]["name"])
    (again,) = until("the slice to be back", lambda: cluster.api.list("ResourceSlice", **mine), seconds=20)
    assert again["metadata"]["uid"] != published["metadata"]["uid"]
    assert again["spec"]["devices"] == published["spec"]["devices"]
