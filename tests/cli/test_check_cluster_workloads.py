"""`drakit check --cluster`: what workloads would become, and the DeviceClasses that they need."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.clusters import (
    CORES,
    DRA,
    NEURON,
    NEURONS,
    PLUGIN_NODE,
    document,
    limited,
    node,
    pod,
    reference,
    the_workload,
)


@pytest.mark.parametrize(
    ("name", "limits", "devices", "templates"),
    [
        ("m", limited(neurons=4), {NEURON: 4}, ["m", "m-lnc1"]),
        ("m-efa", limited(neurons=4, adapters=4), {NEURON: 4, "efa.networking.k8s.aws": 4}, ["m-efa"]),
        ("s of cores", limited(cores=6), {NEURON: 2}, ["s", "s-lnc1"]),
        ("none", limited(neurons=3), {NEURON: 3}, []),
    ],
)
def test_what_a_device_plugin_was_asked_becomes_a_template_or_a_claim(check, name, limits, devices, templates):
    has_both = node("n", aws_amazon_com__neuron=16, aws_amazon_com__neuroncore=64, vpc_amazonaws_com__efa=16)
    becomes = the_workload(check(has_both, pod("p", "n", limits=limits)))["becomes"]
    assert becomes["devices"] == devices
    assert becomes["templates"] == {"trn2.48xlarge": templates}
    requests = becomes["claimTemplate"]["spec"]["spec"]["devices"]["requests"]
    assert {one["exactly"]["deviceClassName"]: one["exactly"]["count"] for one in requests} == devices
    assert becomes["unchangedByExtendedResources"] == sorted(one for one in limits if one != CORES)


def test_the_claim_that_is_proposed_is_one_that_the_server_takes(check, cluster):
    has_both = node("n", aws_amazon_com__neuron=16, vpc_amazonaws_com__efa=16)
    found = check(has_both, pod("p", "n", limits=limited(neurons=3, adapters=2)))
    cluster.create(the_workload(found)["becomes"]["claimTemplate"])


def test_init_containers_count_as_the_scheduler_counts_them(check):
    made = pod("p", "n", limits=limited(neurons=1))
    made["spec"]["initContainers"] = [
        {"name": "first", "resources": {"limits": limited(neurons=4)}},
        {"name": "beside", "restartPolicy": "Always", "resources": {"requests": limited(neurons=2)}},
    ]
    assert the_workload(check(PLUGIN_NODE, made))["asks"] == {NEURONS: 4}


def test_a_scheduler_of_its_own_is_to_be_left(check):
    made = pod("p", "n", limits=limited(neurons=1), schedulerName="my-scheduler")
    found = check(PLUGIN_NODE, made)
    assert the_workload(found)["becomes"]["notes"] == [
        "take schedulerName my-scheduler out: the default scheduler allocates claims"
    ]


def template_asking(**counts: int) -> Any:
    return {"template": {"spec": {"containers": [{"name": "c", "resources": {"limits": limited(**counts)}}]}}}


def test_a_workload_is_told_under_its_highest_owner_whether_it_has_pods_or_not(check, cluster):
    for name in ("web", "asleep"):
        cluster.create(document("Deployment", name, "default", version="apps/v1", spec=template_asking(neurons=2)))
    for name in ("web-1", "web-2"):
        made = document("ReplicaSet", name, "default", version="apps/v1", spec=template_asking(neurons=2))
        made["metadata"]["ownerReferences"] = [reference(cluster.get("Deployment", "web"))]
        cluster.create(made)
    nightly = document(
        "CronJob", "nightly", "default", version="batch/v1", spec={"jobTemplate": {"spec": template_asking(cores=2)}}
    )
    done = document("Job", "done", "default", version="batch/v1", spec=template_asking(neurons=1))
    done["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    foreign = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "ray"}}
    found = check(
        PLUGIN_NODE,
        nightly,
        done,
        pod("a", "n", owner=cluster.get("ReplicaSet", "web-2"), limits=limited(neurons=2)),
        pod("b", "n", owner=foreign, limits=limited(neurons=2)),
    )
    assert [(one["kind"], one["name"], one["pods"]) for one in found.json["workloads"]] == [
        ("CronJob", "nightly", 0),
        ("Deployment", "asleep", 0),
        ("Deployment", "web", 1),
        ("RayCluster", "ray", 1),
    ]


WRAPPED = 'device.driver  ==\n"neuron.aws.com"'


@pytest.mark.parametrize(
    ("spec", "labels", "state", "remark"),
    [
        (
            {"selectors": [{"cel": {"expression": 'device.driver  ==\n"neuron.aws.com"'}}]},
            {},
            "same",
            "no Helm release",
        ),
        ({"selectors": []}, {}, "different", "selects otherwise than drakit's: every device"),
        ({}, {"helm.sh/chart": "drakit-0.1.0"}, "different", "selects otherwise"),
    ],
)
def test_a_class_is_compared_by_what_it_selects(check, spec, labels, state, remark):
    there = document("DeviceClass", NEURON, version=DRA, spec=spec)
    there["metadata"]["labels"] = labels
    found = check(there)
    (one,) = (it for it in found.json["deviceClasses"] if it["name"] == NEURON)
    assert (one["state"], found.code) == (state, int(state == "different"))
    assert remark in one["remark"]


def test_a_class_of_another_helm_release_goes_with_it(check):
    there = document("DeviceClass", NEURON, version=DRA, spec={})
    there["metadata"]["annotations"] = {
        "meta.helm.sh/release-name": "neuron-helm-chart",
        "meta.helm.sh/release-namespace": "kube-system",
    }
    (one,) = (it for it in check(there).json["deviceClasses"] if it["name"] == NEURON)
    assert "belongs to Helm release kube-system/neuron-helm-chart and goes with it" in one["remark"]
