"""`drakit check --cluster` on a real control plane, with nodes, drivers and pods as clusters have before drakit."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from realkube import artifacts
from realkube.api import Api
from realkube.cluster import Cluster
from realkube.debian import Debian
from realkube.kubernetes import Kubernetes
from realkube.waiting import until

from tests.cluster.deploy.before import TYPE, add_node, check_cluster, document, requests

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

NEURON, EFA = "neuron.aws.com", "dra.net"
RESOURCE = "aws.amazon.com/neuron"
PAGE = Path(__file__).parents[3] / "docs" / "migration.md"


@pytest.fixture(scope="module")
def cluster(components: tuple[Kubernetes, Debian], request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A control plane with nodes that nobody runs: the scheduler and the controllers are real."""
    with Cluster(*components, nodes=0) as cluster, artifacts.kept_on_failure(cluster, request.session):
        populate(cluster.api)
        yield cluster


def populate(api: Api) -> None:
    """Three nodes: one of the device plugin, one of AWS's driver, one of DRANET; each has a pod with its devices."""
    for name, offered in (("plugged", {RESOURCE: "16"}), ("aws", {}), ("net", {})):
        add_node(api, name, offered)
    for name, driver, manager in (("aws", NEURON, "k8s-neuron-dra-driver"), ("net", EFA, "dranet")):
        spec = {
            "driver": driver,
            "nodeName": name,
            "pool": {"name": name, "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": f"device-{index}"} for index in range(4)],
        }
        slice_ = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": name}, "spec": spec}
        path = f"/apis/resource.k8s.io/v1/resourceslices?fieldManager={manager}"
        api.call("POST", path, slice_)
        selectors = [{"cel": {"expression": f'device.driver == "{driver}"'}}]
        api.create(document("DeviceClass", driver, {"selectors": selectors}))
        exactly = {"deviceClassName": driver, "count": 2}
        api.create(document("ResourceClaimTemplate", driver, {"spec": {"devices": requests(exactly)}}))
    api.create(deployment("plugged", {"limits": {RESOURCE: "4"}}))
    api.create(deployment("aws", {}, NEURON))
    api.create(deployment("net", {}, EFA))


def deployment(name: str, resources: dict[str, Any], template: str = "") -> dict[str, Any]:
    """A Deployment of one pod, for the node of its name."""
    pod: dict[str, Any] = {
        "containers": [{"name": "c", "image": "example.com/worker:1", "resources": dict(resources)}],
        "nodeSelector": {"is": name},
        # Nobody has told that these nodes are ready.
        "tolerations": [{"operator": "Exists"}],
    }
    if template:
        pod["resourceClaims"] = [{"name": "devices", "resourceClaimTemplateName": template}]
        pod["containers"][0]["resources"]["claims"] = [{"name": "devices"}]
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


@pytest.fixture(scope="module")
def scheduled(cluster: Cluster) -> Cluster:
    """The cluster, once the scheduler has placed every pod."""

    def placed() -> bool:
        pods = cluster.api.list("Pod")
        return len(pods) == 3 and all(pod["spec"].get("nodeName") for pod in pods)

    until("the pods to have nodes", placed, seen=lambda: json.dumps(cluster.api.list("Event"), indent=1)[-3000:])
    return cluster


Check = Callable[..., str]


@pytest.fixture
def check(scheduled: Cluster, tmp_path: Path) -> Check:
    """Run the command from within the network of the cluster, as the administrator or with a token."""
    return functools.partial(check_cluster, scheduled, tmp_path)


def test_each_node_is_judged_by_what_the_real_cluster_has(check: Check):
    found = json.loads(check("-o", "json"))
    assert {one["name"]: one["verdict"] for one in found["nodes"]} == {
        "plugged": "drain first",
        "aws": "ready to switch",
        "net": "drain first",
    }
    assert found["unread"] == []
    by = {one["name"]: [(it["driver"], it["by"], len(it["pods"])) for it in one["served"]] for one in found["nodes"]}
    assert by["aws"] == [(NEURON, "AWS's Neuron DRA driver", 1)]
    assert by["net"] == [(EFA, "DRANET", 1)]


def test_each_workload_is_told_by_its_deployment(check: Check):
    found = json.loads(check("-o", "json"))
    assert {(one["kind"], one["name"]): one["change"] for one in found["workloads"]} == {
        ("Deployment", "plugged"): "ask by claim",
        ("Deployment", "aws"): "keep as it is",
        ("Deployment", "net"): "end, then start again",
    }
    (asking,) = (one for one in found["workloads"] if one["name"] == "plugged")
    assert asking["becomes"]["templates"] == {TYPE: ["m", "m-lnc1"]}


def test_the_claim_that_is_proposed_is_taken_by_the_real_server(check: Check, scheduled: Cluster):
    found = json.loads(check("-o", "json"))
    (asking,) = (one for one in found["workloads"] if one["name"] == "plugged")
    template = asking["becomes"]["claimTemplate"]
    assert scheduled.api.apply(template, dry_run=True)["kind"] == "ResourceClaimTemplate"


def test_features_are_what_the_server_says_of_its_gates(check: Check):
    states = {one["gate"]: one["state"] for one in json.loads(check("-o", "json"))["features"]}
    assert set(states.values()) == {"on"}, "the tests turn all of them on"


def shipped_role() -> dict[str, Any]:
    """The ClusterRole of docs/migration.md, for whoever is to run the command and nothing else."""
    blocks = PAGE.read_text().split("```yaml\n")[1:]
    documents = [document for block in blocks for document in yaml.safe_load_all(block.partition("```")[0])]
    (role,) = [one for one in documents if one and one.get("kind") == "ClusterRole"]
    return dict(role)


@pytest.fixture(scope="module")
def reader(scheduled: Cluster) -> Iterator[str]:
    """A token of an account that has the role of the page, and no other."""
    api, role = scheduled.api, shipped_role()
    api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "looker"}})
    api.apply(role)
    api.apply(binding("looker", role["metadata"]["name"], "looker"))
    yield api.token_for("looker", "default", api.get("Node", "aws"))
    api.delete("ClusterRoleBinding", "looker")


def binding(name: str, role: str, account: str) -> dict[str, Any]:
    """Gives an account of `default` a role."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "default"}],
    }


def test_the_role_of_the_page_suffices(check: Check, reader: str):
    assert json.loads(check("-o", "json", token=reader)) == json.loads(check("-o", "json"))


def test_the_role_of_the_page_reads_and_nothing_else():
    assert {verb for rule in shipped_role()["rules"] for verb in rule["verbs"]} == {"get", "list"}


def test_an_account_without_rights_is_told_what_it_may_not_read(check: Check, scheduled: Cluster):
    scheduled.api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}})
    token = scheduled.api.token_for("nobody", "default", scheduled.api.get("Node", "aws"))
    found = json.loads(check("-o", "json", token=token))
    assert {"Node", "Pod", "ResourceSlice", "feature gates (/metrics)"} <= {one["what"] for one in found["unread"]}
    assert found["nodes"] == []
    assert 'User "system:serviceaccount:default:nobody" cannot list resource "pods"' in check(token=token)


def test_a_daemon_set_leaves_a_node_by_the_commands_that_are_printed(check: Check, scheduled: Cluster):
    api = scheduled.api
    terms = [{"matchExpressions": [{"key": "is", "operator": "In", "values": [one]}]} for one in ("aws", "net")]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    spec = {
        "containers": [{"name": "c", "image": "example.com/eks/dranet:v1"}],
        "affinity": {"nodeAffinity": required},
        "tolerations": [{"operator": "Exists"}],
    }
    labels = {"app": "dranet"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    daemons = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "dranet"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }
    api.create(daemons)

    def desired() -> int | None:
        status = api.get("DaemonSet", "dranet").get("status", {})
        there = api.get("DaemonSet", "dranet")["metadata"]["generation"]
        return status["desiredNumberScheduled"] if status.get("observedGeneration") == there else None

    until("the DaemonSet to be on both nodes", lambda: desired() == 2)
    (present,) = (one for one in json.loads(check("-o", "json"))["present"] if one["name"] == "default/dranet")
    patch = present["keepAway"].partition(" -p ")[2].strip("'")
    path = "/apis/apps/v1/namespaces/default/daemonsets/dranet"
    api.call("PATCH", path, json.loads(patch), content_type="application/json-patch+json")
    until("the DaemonSet to stay where it was", lambda: desired() == 2)
    api.call(
        "PATCH",
        "/api/v1/nodes/net",
        {"metadata": {"labels": {"drakit/node": "true"}}},
        content_type="application/merge-patch+json",
    )
    until("the DaemonSet to leave the node", lambda: desired() == 1)
    (present,) = (one for one in json.loads(check("-o", "json"))["present"] if one["name"] == "default/dranet")
    assert present["keepAway"] == "", "it keeps away already"
    api.delete("DaemonSet", "dranet")
