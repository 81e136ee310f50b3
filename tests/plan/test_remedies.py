"""What would let a pod onto a node that it is not for: told only where the node has devices for it then."""

from __future__ import annotations

import pytest
from attrs import evolve
from drakit.plan import DeviceClass, kube_profile, read_slices
from drakit.plan.placing import ClusterState, NodeTaint, Placing, PlannedNode, eligibility, remedies
from drakit.plan.workload import Workload, read_documents

DRIVER = "d.example.com"
POD = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {{name: t}}
spec: {{spec: {{devices: {{requests: [{{name: r, exactly: {{deviceClassName: any, count: 2}}}}]}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec:
  {spec}
  containers: [{{name: c, image: i}}]
  resourceClaims: [{{name: x, resourceClaimTemplateName: t}}]
"""


def devices(node, count):
    spec = {"driver": DRIVER, "nodeName": node, "pool": {"name": node, "generation": 1, "resourceSliceCount": 1}}
    return {"metadata": {"name": node}, "spec": spec | {"devices": [{"name": f"d{place}"} for place in range(count)]}}


def node(name="n1", *taints, **labels):
    return PlannedNode(name, labels=labels, taints=tuple(NodeTaint(*one) for one in taints), sure=True)


def told(spec, *nodes, have=2):
    """The remedies of the pod, and whether each was enough when it was asked again."""
    classes = {"any": DeviceClass("any")}
    slices = read_slices([devices(one.name, have) for one in nodes])
    state = ClusterState(nodes=nodes, slices=slices, classes=classes, profile=kube_profile())
    text = POD.format(spec=spec or "restartPolicy: Always")
    others = [{"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "any"}, "spec": {}}]
    (pod,) = Workload.of(read_documents(text, "w.yaml"), others=others).pods
    placing = Placing(state)
    outcome = placing.place(pod)
    assert not outcome.satisfied
    return {one.node: one.changes for one in remedies(outcome, placing)}


TAINT = ("dedicated", "NoSchedule", "a")


def test_every_taint_that_keeps_a_pod_off_is_tolerated_by_what_is_told():
    bare = ("broken", "NoExecute")
    assert told("", node("n1", TAINT, bare, ("soft", "PreferNoSchedule"))) == {
        "n1": (
            'tolerations: add {key: dedicated, operator: Equal, value: "a", effect: NoSchedule}',
            "tolerations: add {key: broken, operator: Exists, effect: NoExecute}",
        )
    }


def test_a_node_selector_is_told_with_the_label_that_the_node_has():
    assert told("nodeSelector: {zone: b, disk: ssd}", node(zone="a")) == {
        "n1": ("nodeSelector: zone: a instead of b", "nodeSelector: leave disk: ssd out")
    }


def test_affinity_and_node_name_are_told():
    term = "{matchExpressions: [{key: zone, operator: In, values: [b]}]}"
    required = f"requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{term}]}}"
    assert told(f"affinity: {{nodeAffinity: {{{required}}}}}", node(zone="a")) == {
        "n1": ("affinity: leave the required node affinity out",)
    }
    assert told("nodeName: n9", node()) == {"n1": ("nodeName: n1 instead of n9",)}


def test_a_cordoned_node_is_to_be_uncordoned_and_one_with_a_condition_is_left_alone():
    assert told("", node("n1", ("node.kubernetes.io/unschedulable", "NoSchedule"))) == {
        "n1": ("the node is cordoned: kubectl uncordon n1",)
    }
    assert told("", node("n1", ("node.kubernetes.io/not-ready", "NoExecute"))) == {}


def test_what_does_not_help_is_not_told():
    assert told("", node("n1", TAINT), have=1) == {}


@pytest.mark.parametrize("others", [0, 3])
def test_nodes_with_the_same_remedy_are_told_once(others):
    nodes = [node(f"n{number}", TAINT) for number in range(1, others + 2)]
    assert list(told("", *nodes)) == ["n1"]


def test_a_node_that_has_devices_is_found_behind_one_that_has_not():
    nodes = node("n1", TAINT), node("n2", TAINT)
    state = ClusterState(
        nodes=nodes,
        slices=read_slices([devices("n1", 1), devices("n2", 2)]),
        classes={"any": DeviceClass("any")},
        profile=kube_profile(),
    )
    others = [{"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "any"}, "spec": {}}]
    (pod,) = Workload.of(read_documents(POD.format(spec="hostname: h"), "w.yaml"), others=others).pods
    placing = Placing(state)
    outcome = placing.place(pod)
    (remedy,) = remedies(outcome, placing)
    assert remedy.node == "n2"
    tolerant = evolve(pod, spec={**pod.spec, "tolerations": [{"operator": "Exists"}]})
    assert not eligibility(tolerant.spec, nodes[1]).refusal
    placed = placing.place(tolerant)
    assert placed.node is not None
    assert placed.node.name == "n2"
