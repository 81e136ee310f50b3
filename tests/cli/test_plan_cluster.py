"""`drakit plan --cluster`: against an API server, pods that wait in it, and why they do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from drakit.cli.plan.release import release_of
from drakit.kube.cluster import read_cluster
from drakit.kube.credentials import Credentials
from drakit.plan import SliceSet
from drakit.testing import InMemoryApiServer
from drakit.testing.controlplane import ControlPlane

GPU = "gpu.example.com"


def gpus(node: str, count: int = 2) -> Any:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-{GPU}"},
        "spec": {
            "driver": GPU,
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": f"gpu-{number}"} for number in range(count)],
        },
    }


def document(kind: str, name: str, *, version: str = "resource.k8s.io/v1", **fields: Any) -> Any:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}


def wanting(count: int) -> Any:
    return {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpus", "count": count}}]}}


def pod(name: str, template: str, **fields: Any) -> Any:
    container = {"name": "c", "image": "registry.example.com/c:1"}
    claims = [{"name": "c", "resourceClaimTemplateName": template}]
    spec = {"containers": [container], "resourceClaims": claims, **fields}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


@pytest.fixture
def cluster():
    """An API server of a cluster with two nodes, the first of them with a taint, and two templates."""
    with InMemoryApiServer() as server:
        for name, spec in (("n1", {"taints": [{"key": "broken", "effect": "NoSchedule"}]}), ("n2", {})):
            server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec})
            server.create(gpus(name))
        selectors = [{"cel": {"expression": f'device.driver == "{GPU}"'}}]
        server.create(document("DeviceClass", "gpus", spec={"selectors": selectors}))
        for name, count in (("one", 1), ("two", 2), ("three", 3)):
            template = document("ResourceClaimTemplate", name, spec={"spec": wanting(count)})
            server.create(template | {"metadata": {"name": name, "namespace": "default"}})
        yield server


@pytest.fixture
def plan(drakit, cluster, tmp_path):
    path = cluster.kubeconfig(tmp_path / "kubeconfig")

    def run(*args: Any) -> Any:
        return drakit("plan", "--cluster", *args, KUBECONFIG=str(path))

    return run


def outcomes(found: Any) -> list[Any]:
    return [(one["name"], one["outcome"], one["node"]) for one in found.json["pods"]]


def test_the_pods_that_wait_are_planned_all_or_those_named(plan, cluster):
    for name, template in (("a", "two"), ("b", "one"), ("c", "three")):
        cluster.create(pod(name, template))
    found = plan("-o", "json")
    assert outcomes(found) == [("a", "placed", "n2"), ("b", "unsatisfied", None), ("c", "unsatisfied", None)]
    assert outcomes(plan("pod/b", "-n", "default", "-o", "json")) == [("b", "placed", "n2")]
    assert found.code == 1


def test_why_a_pod_waits_is_told_of_every_node(plan, cluster):
    cluster.create(pod("c", "three"))
    found = plan("pod/c")
    assert found.code == 1
    assert "n1: the pod does not tolerate the node's taint broken:NoSchedule" in found.out
    assert "does not fit on n2" in found.out
    assert "request r needs 3 devices of class gpus" in found.out


def test_devices_of_running_pods_are_in_use_and_a_pod_that_runs_does_not_wait(plan, cluster):
    plane = ControlPlane(cluster, "n2")
    running = cluster.create(pod("running", "one"))
    plane.schedule(running, plane.make_claims(running))
    cluster.create(pod("a", "two"))
    found = plan("-o", "json")
    assert outcomes(found) == [("a", "unsatisfied", None)]
    assert "1 of them usable (1 in use)" in found.json["pods"][0]["reasons"][1]["reason"]
    assert "no Pod 'running' waits for a node" in plan("pod/running").err


def test_a_claim_that_was_made_of_a_template_is_the_one_that_is_planned(plan, cluster):
    waiting = cluster.create(pod("a", "two"))
    (claim,) = ControlPlane(cluster, "n2").make_claims(waiting)
    (found,) = plan("pod/a", "-o", "json").json["pods"]
    assert found["claims"][0]["claim"] == claim["metadata"]["name"]


def test_a_claim_can_be_asked_for_by_itself(plan, cluster):
    cluster.create(
        document("ResourceClaim", "mine", spec=wanting(2)) | {"metadata": {"name": "mine", "namespace": "x"}}
    )
    assert outcomes(plan("resourceclaim/mine", "-n", "x", "-o", "json")) == [("mine", "placed", "n2")]


def test_files_are_planned_on_the_cluster_with_its_classes_and_templates(plan, tmp_path):
    path = tmp_path / "pod.yaml"
    path.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n"
        "  containers: [{name: c, image: i}]\n  tolerations: [{operator: Exists}]\n"
        "  resourceClaims: [{name: c, resourceClaimTemplateName: two}]\n"
    )
    assert outcomes(plan("-f", path, "-o", "json")) == [("p", "placed", "n1")]
    path.write_text(path.read_text().replace("Name: two", "Name: tow"))
    assert "there is no ResourceClaimTemplate 'tow' in namespace 'default'; did you mean 'two'?" in plan("-f", path).err


def test_a_pod_that_waits_for_what_is_not_there_is_told_so_and_hides_no_other(plan, cluster):
    cluster.create(pod("lost", "tow"))
    cluster.create(pod("other", "one"))
    found = plan("-o", "json")
    assert outcomes(found) == [("lost", "unsatisfied", None), ("other", "placed", "n2")]
    (why,) = found.json["pods"][0]["reasons"]
    assert why["reason"] == "it waits for ResourceClaimTemplate 'tow', which is not there; did you mean 'two'?"


def test_bugs_that_a_patch_of_the_clusters_release_has_mended_are_not_answered_with(cluster):
    bugs = []
    for patch in ("1.36.2", "1.36.3"):
        cluster.upgrade(f"v{patch}")
        found = read_cluster(Credentials(server=cluster.url))
        assert found.version == patch
        source = SimpleNamespace(version=found.version, slices=SliceSet.of_pools([]))
        bugs.append(release_of(source, None, (), fixed_bugs=False)[0].bugs)
    assert set(bugs[1]) < set(bugs[0])


@pytest.mark.parametrize(("minor", "answered", "notes"), [(35, "1.35", 0), (36, "1.36", 0), (99, "1.37", 1)])
def test_the_release_of_the_cluster_is_answered_for(plan, cluster, minor, answered, notes):
    cluster.upgrade(f"v1.{minor}.0")
    found = plan("-o", "json").json
    assert (found["kubernetes"]["version"], len(found["notes"])) == (answered, notes)
    assert plan("-o", "json", "--kube-version", "1.34").json["kubernetes"]["version"] == "1.34"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("pod/nobody",), "no Pod 'nobody' waits for a node in namespace 'default'"),
        (("nobody",), "give a pod of the cluster as pod/NAME"),
        (("deployment/x",), "give a pod of the cluster as pod/NAME"),
        (("pod/",), "give a pod of the cluster as pod/NAME"),
        (("pod/wiat",), "did you mean 'wait'?"),
    ],
)
def test_what_is_not_in_the_cluster_is_refused(plan, cluster, args, said):
    cluster.create(pod("wait", "one"))
    found = plan(*args)
    assert (found.code, found.out) == (2, "")
    assert said in found.err


def test_nothing_waits_and_that_is_well(plan):
    found = plan()
    assert found.code == 0
    assert "0 pods placed" in found.out


def test_a_cluster_that_does_not_answer_is_told(drakit, tmp_path):
    with InMemoryApiServer() as server:
        path = server.kubeconfig(tmp_path / "kubeconfig")
    found = drakit("plan", "--cluster", "--kubeconfig", path)
    assert found.code == 2
    assert "the cluster cannot be read" in found.err


def test_without_a_kubeconfig_there_is_no_cluster(drakit):
    found = drakit("plan", "--cluster")
    assert found.code == 2
    assert "kubeconfig" in found.err
