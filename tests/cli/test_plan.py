"""`drakit plan` on workloads of every kind and several nodes: their pods, where they go, and what is said of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from drakit.cli.plan.screens import ranges

from tests.cli.planning import (
    EFA,
    EXAMPLES,
    NEURON,
    TEMPLATES,
    TRN1,
    TRN2,
    claim_template,
    pod,
    pod_spec,
    results,
    workload,
)


@pytest.mark.parametrize(
    ("document", "names"),
    [
        (workload("Deployment", "t", replicas=3), ["w-0", "w-1", "w-2"]),
        (workload("ReplicaSet", "t"), ["w-0"]),
        (workload("StatefulSet", "t", replicas=2), ["w-0", "w-1"]),
        (workload("Deployment", "t", replicas=0), []),
    ],
)
def test_a_workload_is_as_many_pods_as_it_has_replicas(planned, document, names):
    _, answer = planned([claim_template("t", 4, group=4), document], TRN2)
    assert [one["name"] for one in answer["pods"] if one["owner"] == f"{document['kind']} w"] == names
    assert answer["satisfied"]


@pytest.mark.parametrize(
    ("fields", "pods"),
    [
        ({"parallelism": 3}, 3),
        ({"parallelism": 3, "completions": 2}, 2),
        ({"completions": 5}, 1),
        ({"parallelism": 0}, 0),
    ],
)
def test_a_job_is_the_pods_that_run_at_once(planned, fields, pods):
    spec = pod_spec("t", restartPolicy="Never")
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": {"spec": spec}}}
    job["spec"] |= fields
    code, answer = planned([claim_template("t", 1), job, claim_template("other", 1)], TRN2)
    assert code == 0
    assert sum(one["owner"] == "Job j" for one in answer["pods"]) == pods


def test_a_leader_worker_set_is_size_times_replicas_pods_group_by_group(planned):
    group = {"size": 3, "workerTemplate": {"spec": pod_spec("t")}, "leaderTemplate": {"spec": pod_spec("lead")}}
    document = {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "g"},
        "spec": {"replicas": 2, "leaderWorkerTemplate": group},
    }
    _, answer = planned([claim_template("t", 1), claim_template("lead", 2), document], TRN2)
    assert [one["name"] for one in answer["pods"]] == ["g-0", "g-0-1", "g-0-2", "g-1", "g-1-1", "g-1-2"]
    assert [len(results(one)) for one in answer["pods"]] == [2, 1, 1, 2, 1, 1]


def test_a_daemon_set_has_a_pod_on_each_node_that_is_for_it(planned):
    daemons = workload("DaemonSet", "t")
    daemons["spec"]["template"]["spec"]["nodeSelector"] = {"node.kubernetes.io/instance-type": TRN2}
    _, answer = planned([claim_template("t", 16), daemons], TRN2, TRN1, TRN2)
    assert [(one["name"], one["node"]) for one in answer["pods"]] == [("w-node-1", "node-1"), ("w-node-3", "node-3")]


def test_pods_fill_one_node_after_another_and_the_rest_is_told_why_not(planned):
    code, answer = planned([claim_template("t", 8, group=8), workload("Deployment", "t", replicas=6)], TRN2, TRN2)
    assert code == 1
    assert [one["node"] for one in answer["pods"]] == ["node-1", "node-1", "node-2", "node-2", None, None]
    for one in answer["pods"][4:]:
        assert {name for reason in one["reasons"] for name in reason["nodes"]} == {"node-1", "node-2"}


def test_no_device_is_given_twice(planned):
    _, answer = planned([claim_template("t", 3), workload("Deployment", "t", replicas=10)], TRN2, TRN2)
    given = [(one["pool"], one["device"]) for found in answer["pods"] for one in results(found)]
    assert len(given) == len(set(given)) == 30


def test_a_claim_or_template_that_no_pod_has_is_planned_as_one_pod(planned):
    template = claim_template("t", 4)
    claim = {**template, "kind": "ResourceClaim", "metadata": {"name": "c"}, "spec": template["spec"]["spec"]}
    _, answer = planned([template, claim], TRN2)
    assert [(one["owner"], len(results(one))) for one in answer["pods"]] == [
        ("ResourceClaimTemplate t", 4),
        ("ResourceClaim c", 4),
    ]


def test_a_list_and_json_are_read_as_yaml_is(planned, tmp_path):
    documents = [claim_template("t", 4), pod("p", "t")]
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))
    assert planned(path, TRN2) == planned(documents, TRN2)


def test_what_holds_devices_already_is_in_the_way_and_named(planned):
    _, answer = planned([claim_template("t", 2, group=4), pod("p", "t")], TRN2)
    (found,) = answer["pods"]
    holder = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "old", "namespace": "default", "uid": "u"},
        "spec": claim_template("t", 2)["spec"]["spec"],
        "status": {"allocation": found["claims"][0]["allocation"], "reservedFor": [{"resource": "pods", "name": "x"}]},
    }
    _, later = planned([claim_template("t", 4, group=4), pod("p", "t")], TRN2, more=(holder,))
    assert not {one["device"] for one in results(later["pods"][0])} & {one["device"] for one in results(found)}
    rows = {(row["size"], row["driver"]): row for row in later["groups"]}
    assert (rows[4, NEURON]["free"], rows[4, NEURON]["groups"], len(rows[4, NEURON]["stranded"])) == (2, 4, 2)
    assert rows[4, NEURON]["blockedBy"] == ["pod default/x"]
    assert (rows[4, EFA]["free"], rows[4, EFA]["stranded"]) == (4, [])


@pytest.mark.parametrize(
    ("taints", "tolerations", "placed"),
    [
        ([{"key": "gpu", "effect": "NoSchedule"}], [], False),
        ([{"key": "gpu", "effect": "NoSchedule"}], [{"key": "gpu", "operator": "Exists"}], True),
        ([{"key": "gpu", "value": "a", "effect": "NoExecute"}], [{"key": "gpu", "value": "b"}], False),
        ([{"key": "gpu", "effect": "PreferNoSchedule"}], [], True),
    ],
)
def test_a_taint_of_the_node_keeps_pods_away_that_do_not_tolerate_it(
    planned, inventories, taints, tolerations, placed, drakit, tmp_path
):
    path = inventories.file(TRN2)
    document = json.loads(path.read_text())
    document["items"][-1]["spec"] = {"taints": taints}
    (tmp_path / "tainted.json").write_text(json.dumps(document))
    (tmp_path / "w.yaml").write_text(
        yaml.safe_dump_all([claim_template("t", 1), pod("p", "t", tolerations=tolerations)])
    )
    found = drakit("plan", "-f", tmp_path / "w.yaml", "--slices", tmp_path / "tainted.json", "-o", "json")
    assert found.json["satisfied"] is placed
    if not placed:
        assert "taint gpu" in found.json["pods"][0]["reasons"][0]["reason"]


def affinity(*terms: Any) -> Any:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


@pytest.mark.parametrize(
    ("fields", "node"),
    [
        ({"nodeSelector": {"kubernetes.io/hostname": "node-2"}}, "node-2"),
        ({"nodeName": "node-2"}, "node-2"),
        ({"nodeSelector": {"zone": "a"}}, None),
        (
            {"affinity": affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-2"]}]})},
            "node-2",
        ),
        (
            {
                "affinity": affinity(
                    {"matchExpressions": [{"key": "zone", "operator": "Exists"}]},
                    {"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]},
                )
            },
            "node-1",
        ),
        ({"affinity": affinity({"matchExpressions": [{"key": "zone", "operator": "Gt", "values": ["3"]}]})}, None),
    ],
)
def test_a_pod_comes_to_the_nodes_that_it_selects(planned, fields, node):
    _, answer = planned([claim_template("t", 1), pod("p", "t", **fields)], TRN2, TRN2)
    assert answer["pods"][0]["node"] == node


def test_of_node_types_labels_that_are_not_known_are_assumed_and_told(drakit, tmp_path):
    path = tmp_path / "w.yaml"
    path.write_text(yaml.safe_dump_all([claim_template("t", 4), pod("p", "t", nodeSelector={"zone": "a"})]))
    found = drakit("plan", "-f", path, "--node", TRN1, "--node", f"{TRN2}=2", "-o", "json")
    (first,) = found.json["pods"]
    assert [one["name"] for one in found.json["nodes"]] == [TRN1, f"{TRN2}-1", f"{TRN2}-2"]
    assert (first["node"], first["assumedLabels"]) == (TRN1, ["zone In a"])


@pytest.mark.parametrize(
    ("count", "group", "per_node"), [(4, 4, [4, 4]), (8, 8, [2, 2]), (16, 0, [1, 1]), (17, 0, [0, 0]), (2, 0, [8, 8])]
)
def test_fit_says_how_many_copies_there_is_room_for_on_each_node_and_in_all(planned, count, group, per_node):
    code, answer = planned([claim_template("t", count, group=group)], TRN2, TRN2, args=("--fit",))
    fit = answer["fit"]
    assert [one["copies"] for one in fit["perNode"] for _ in one["nodes"]] == per_node
    assert (fit["total"], fit["complete"], code) == (sum(per_node), True, 0 if sum(per_node) else 1)
    assert all(f"needs {count}" in one["reason"] for one in fit["perNode"])


def test_fit_agrees_with_placing_so_many_pods(planned):
    documents = [claim_template("t", 3, group=8), workload("Deployment", "t", replicas=9)]
    _, fitted = planned(documents, TRN2, TRN2, args=("--fit",))
    _, placed = planned(documents, TRN2, TRN2)
    assert sum(one["outcome"] == "placed" for one in placed["pods"]) == fitted["fit"]["total"] == 8


def test_pods_without_devices_are_as_many_as_a_node_takes(planned):
    bare = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": pod_spec("t", resourceClaims=[])}
    bare["spec"]["containers"][0]["resources"] = {}
    _, answer = planned(bare, TRN2, args=("--fit",))
    assert answer["fit"]["perNode"] == [
        {"nodes": ["node-1"], "type": TRN2, "copies": 110, "limitedByPods": True, "reason": None}
    ]


def test_a_selector_that_fails_on_a_device_ends_the_attempt_whatever_other_nodes_have(planned):
    template = claim_template("t", 1)
    selector = {"cel": {"expression": f'device.attributes["{NEURON}"].nothing == 1'}}
    template["spec"]["spec"]["devices"]["requests"][0]["exactly"]["selectors"] = [selector]
    code, answer = planned([template, pod("p", "t")], TRN2)
    assert (code, answer["pods"][0]["outcome"]) == (1, "error")
    assert "no such key: nothing" in answer["pods"][0]["reasons"][0]["reason"]


@pytest.mark.parametrize(("version", "several"), [("1.35", True), ("1.36", False), ("1.37", False)])
def test_where_a_release_tries_pools_in_random_order_the_answer_is_one_of_several(planned, version, several):
    _, answer = planned(EXAMPLES / "aligned-efa-neuron.yaml", TRN2, args=("--kube-version", version))
    assert answer["kubernetes"]["version"] == version
    assert answer["pods"][0]["oneOfSeveral"] is several


@pytest.mark.parametrize(("args", "bugs"), [((), "as-is"), (("--fixed-bugs",), "none")])
def test_the_bugs_of_a_release_are_its_own_or_left_out_and_told(planned, args, bugs):
    _, answer = planned(TEMPLATES / "m-trn2.yaml", TRN2, args=("--kube-version", "1.36", *args))
    assert answer["kubernetes"] == {"version": "1.36", "allocator": "incubating", "bugs": bugs, "gates": {}}


def test_the_table_names_devices_nodes_and_what_is_left_of_groups_within_eighty_columns(
    drakit, inventories, monkeypatch
):
    monkeypatch.setattr("drakit.cli.output.PIPED_WIDTH", 80)
    found = drakit("plan", "-f", TEMPLATES / "m-trn2.yaml", "--slices", inventories.file(TRN2))
    assert found.code == 0
    assert max(map(len, found.out.splitlines())) <= 80
    for text in ("uses-m-trn2", "node-1", "neuron-device-0", "STRANDED", "Fits: 1 pod placed"):
        assert text in found.out


def test_explain_says_of_a_pod_that_fits_what_there_was_to_choose_from(drakit, inventories):
    plain = drakit("plan", "-f", TEMPLATES / "m-trn2.yaml", "--slices", inventories.file(TRN2))
    told = drakit("plan", "-f", TEMPLATES / "m-trn2.yaml", "--slices", inventories.file(TRN2), "--explain")
    assert "the first 2 of 16 usable" in told.out
    assert "of 16 usable" not in plain.out


def test_what_does_not_fit_is_explained_once_for_pods_alike_with_what_would_help(planned):
    _, answer = planned([claim_template("t", 8, group=8), workload("Deployment", "t", replicas=4)], TRN2)
    explained = [one.get("explanation") for one in answer["pods"]]
    assert [one is not None for one in explained] == [False, False, True, False]
    assert explained[2]["fits"] == []
    assert any("pod default/w-0" in json.dumps(change) for change in explained[2]["changes"])


def test_other_types_of_nodes_are_tried_for_what_does_not_fit(drakit, inventories):
    command = ("plan", "-f", TEMPLATES / "l-trn2.yaml", "--slices", inventories.file(TRN1), "-o", "json")
    found = drakit(*command, "--try", TRN2, "--try", "trn1.2xlarge")
    assert found.json["pods"][0]["explanation"]["nodeTypes"] == [TRN2]


def test_without_being_asked_the_types_that_the_classes_point_to_are_tried(drakit):
    found = drakit("plan", "-f", TEMPLATES / "m-trn2.yaml", "--node", "p5.48xlarge")
    assert found.code == 1
    assert "as it is, it fits on an empty trn2.48xlarge" in found.out


def test_types_that_a_selector_names_are_those_that_are_tried(drakit, tmp_path):
    template = claim_template("t", 1)
    expression = f'device.attributes["{NEURON}"].instanceType == "inf2.48xlarge"'
    template["spec"]["spec"]["devices"]["requests"][0]["exactly"]["selectors"] = [{"cel": {"expression": expression}}]
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(template))
    found = drakit("plan", "-f", tmp_path / "t.yaml", "--node", TRN2, "-o", "json")
    assert found.json["pods"][0]["explanation"]["nodeTypes"] == ["inf2.48xlarge"]


@pytest.mark.parametrize("template", ["l-trn2", "m-trn2"])
def test_a_type_to_try_that_there_is_not_is_bad_input_whether_it_is_needed_or_not(drakit, template):
    found = drakit("plan", "-f", TEMPLATES / f"{template}.yaml", "--node", TRN2, "--try", "trn2.48xlrage")
    assert (found.code, found.out) == (2, "")
    assert "did you mean 'trn2.48xlarge'?" in found.err


def test_yaml_says_what_json_says(drakit, inventories):
    command = ("plan", "-f", TEMPLATES / "m-trn2.yaml", "--slices", inventories.file(TRN2), "-o")
    assert drakit(*command, "yaml").yaml == [drakit(*command, "json").json]


def test_names_that_begin_and_end_alike_are_folded_and_none_is_left_out():
    assert ranges(["pci-0000-4f-00-0", "pci-0000-60-00-0", "pci-0000-71-00-0", "pci-0000-82-00-0"]) == (
        "pci-0000-{4f, 60, 71, 82}-00-0"
    )
    assert ranges(["a", "b", "c", "d"]) == "a, b, c, d"
    assert ranges(["gpu-0", "gpu-1", "gpu-2", "gpu-3"]) == "gpu-0 to gpu-3"
    assert ranges(["x-1-a", "x-3-a", "x-a", "x-5-a"]) == "x-{1-a, 3-a, a, 5-a}"


def test_an_error_of_a_selector_is_told_once(drakit, tmp_path):
    template = claim_template("t", 1)
    expression = f'device.attributes["{NEURON}"].nothing == "x"'
    template["spec"]["spec"]["devices"]["requests"][0]["exactly"]["selectors"] = [{"cel": {"expression": expression}}]
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(template))
    found = drakit("plan", "-f", tmp_path / "t.yaml", "--node", TRN2)
    said = " ".join(found.out.split())
    assert "gives it up for an error, whatever other nodes have" in said
    assert said.count("selector 0 fails on device") == 1
    assert "the selector fails on 16 devices" in said


def test_groups_of_a_driver_of_which_nothing_is_taken_are_one_row(drakit):
    found = drakit("plan", "-f", TEMPLATES / "m-trn2.yaml", "--node", TRN2)
    rows = [line.split() for line in found.out.splitlines()]
    assert [row for row in rows if EFA in row] == [["any", EFA, "all", "0"]]
    assert sum(NEURON in row for row in rows) > 2
