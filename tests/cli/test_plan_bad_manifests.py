"""`drakit plan` on claims, pods and workloads that are wrong: everything at once, each with its line and path."""

from __future__ import annotations

import pytest
from drakit.plan.workload import MAX_PODS

from tests.cli.right_input import POD, TEMPLATE, refused, workload


def test_what_is_right_here_is_right(plan):
    assert plan(f"{TEMPLATE}---\n{POD}")[:2] == (0, "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("count: 1", "count: -1"),
            "w.yaml:12: ResourceClaimTemplate 't': spec.spec.devices.requests[0].exactly.count: ",
        ),
        (("count: 1", "count: -1"), "must be greater than or equal to 0"),
        (("count: 1", "count: four"), "exactly.count: must be an integer, not 'four'"),
        (("count: 1", "count: true"), "exactly.count: must be an integer, not True"),
        (("count: 1", f"count: {10**30}"), "is too large"),
        (("count: 1", "cuont: 1"), "w.yaml:12: ResourceClaimTemplate 't': spec.spec.devices.requests[0].exactly.cuont"),
        (("count: 1", "cuont: 1"), "unknown field; did you mean 'count'?"),
        (("count: 1", "allocationMode: all"), 'Unsupported value: "all": supported values: "All", "ExactCount"'),
        (("count: 1", "allocationMode: All\n          count: 2"), "must not be specified when allocationMode is 'All'"),
        (("name: gpus", "name: GPUs"), "w.yaml:9: ResourceClaimTemplate 't': spec.spec.devices.requests[0].name: "),
        (("- name: gpus", "-"), "requests[0].name: Required value"),
        (("exactly", "exactley"), "unknown field; did you mean 'exactly'?"),
        (
            ("        exactly:", "        firstAvailable: [{}]\n        exactly:"),
            "exactly one of exactly or firstAvailable",
        ),
        (("kind: Resource", "kind: resource"), "did you mean 'ResourceClaimTemplate'?"),
        (("v1\n", "v1beta1\n"), "w.yaml:1: ResourceClaimTemplate 't': apiVersion: must be resource.k8s.io/v1, not"),
        (("  name: t", "  name: T_"), "metadata.name: Invalid value"),
        (("spec:\n  spec", "spec:\n  sepc"), "spec.spec: Required value"),
        (("deviceClassName: gpus", "deviceClassName: gups"), "there is no DeviceClass 'gups'; did you mean 'gpus'?"),
        (("deviceClassName: gpus", "deviceClassName: x"), "there is no DeviceClass 'x'; there are: gpus"),
        (("count: 1", "tolerations: [{operator: exists}]"), "did you mean 'Exists'?"),
        (("count: 1", "tolerations: [{operator: Exists, value: x}]"), "must be empty for operator `Exists`"),
        (("count: 1", "adminAccess: 1"), "exactly.adminAccess: must be true or false, not 1"),
        (("count: 1", "capacity: {requests: {memory: lots}}"), "capacity.requests.memory: "),
        (("count: 1", "selectors: [{cel: {expression: 'a ='}}]"), "compilation failed: unexpected character '='"),
        (("count: 1", "selectors: [{cel: {expression: 'device.drvier == 1'}}]"), "compilation failed"),
        (("count: 1", "selectors: [{cel: {}}]"), "selectors[0].cel.expression: Required value"),
        (("count: 1", "selectors: {}"), "exactly.selectors: must be a list, not {}"),
        (("        exactly:", "        - exactly:"), "w.yaml:10:"),
    ],
)
def test_a_field_that_the_api_server_refuses_is_named_with_its_line_and_path(plan, change, said):
    assert said in refused(plan, TEMPLATE.replace(*change, 1))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("constraints: [{matchAttribute: group_id}]", 'Invalid value: "group_id": must include a domain'),
        ("constraints: [{requests: [gpu], matchAttribute: a.b/c}]", "did you mean 'gpus'?"),
        ("constraints: [{}]", "must have matchAttribute or distinctAttribute"),
        ("constraints: [{matchAttribute: a.b/c, distinctAttribute: a.b/c}]", "exactly one of matchAttribute"),
        ("config: [{requests: [gpus], opaque: {driver: d}}]", "config[0].opaque.parameters: Required value"),
        ("config: [{opaque: {driver: D, parameters: {}}}]", "config[0].opaque.driver: Invalid value"),
        ("config: [{opaque: {driver: d, parameters: 1}}]", "must be a valid JSON object"),
    ],
)
def test_constraints_and_configuration_are_held_to_the_rules_too(plan, more, said):
    found = refused(plan, f"{TEMPLATE}      {more}\n")
    assert said in found
    assert found.startswith("Error: w.yaml:13: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("resourceClaimTemplateName: t", "resourceClaimTemplateName: tt"), "there is no ResourceClaimTemplate 'tt'"),
        (("resourceClaimTemplateName: t", "resourceClaimTemplateName: tt"), "did you mean 't'?"),
        (
            ("resourceClaimTemplateName: t", "resourceClaimName: t"),
            "there is no ResourceClaim 't' in namespace 'default'",
        ),
        (
            ("    resourceClaimTemplateName: t\n", ""),
            "resourceClaims[0]: Required value: must have resourceClaimName or",
        ),
        (
            ("      - name: gpus", "      - name: gpu"),
            "w.yaml:11: Pod 'p': spec.containers[0].resources.claims[0].name",
        ),
        (("      - name: gpus", "      - name: gpu"), "did you mean 'gpus'?"),
        (("  resourceClaims:", "  resourceclaims:"), "unknown field; did you mean 'resourceClaims'?"),
        (("    image: registry.example.com/c:1\n", ""), "spec.containers[0].image: Required value"),
        (("spec:\n", "spec:\n  nodeSelector: {a: 1}\n"), "nodeSelector.a: must be a string, not 1: write it in quotes"),
        (("spec:\n", "spec:\n  tolerations: [{value: x}]\n"), "must be Exists when `key` is empty"),
    ],
)
def test_a_pod_is_held_to_its_rules_as_far_as_claims_and_nodes_go(plan, change, said):
    assert said in refused(plan, f"{POD.replace(*change, 1)}---\n{TEMPLATE}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (workload("Deployment", "apps/v1", replicas=-1), "spec.replicas: Invalid value: -1"),
        (workload("Deployment", "apps/v1", replicas=10**9), f"spec.replicas: comes to more than {MAX_PODS} pods"),
        (
            workload("Deployment", "apps/v1", replicas=10**12),
            "spec.replicas: Invalid value: 1000000000000: is too large",
        ),
        (workload("Deployment", "v1"), "apiVersion: must be apps/v1"),
        (
            workload("Deployment", "apps/v1", selector={"matchLabels": {"a": "c"}}),
            "`selector` does not match these labels",
        ),
        (workload("Deployment", "apps/v1", selector=None), "spec.selector: Required value"),
        (workload("Job", "batch/v1"), 'restartPolicy: Unsupported value: "Always"'),
        (workload("LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1"), "leaderWorkerTemplate.workerTemplate: Required"),
        (
            workload("DeamonSet", "apps/v1"),
            "\"DeamonSet\" is not a kind that can be planned; did you mean 'DaemonSet'?",
        ),
        (workload("Kubeflow", "x/v1"), "is not a kind that can be planned; planned are ResourceClaim,"),
        (workload("ResourceSlice", "resource.k8s.io/v1"), "give it with --slices"),
    ],
)
def test_a_workload_that_cannot_be_is_refused(plan, text, said):
    assert said in refused(plan, text)


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_lines(plan):
    text = TEMPLATE.replace("count: 1", "count: -1").replace("gpus", "GPUs", 1) + "---\nkind: Pot\n---\n[]\n"
    said = refused(plan, text)
    assert [part.split(":", 2)[1] for part in said.removeprefix("Error: ").splitlines()] == ["9", "12", "14", "16"]


def test_many_problems_are_counted_rather_than_all_told(plan):
    said = refused(plan, "kind: Pot\n---\n" * 500)
    assert "and 460 more" in said
    assert len(said.splitlines()) == 41


def test_an_object_that_is_there_twice_is_told_with_both_places(plan):
    assert "w.yaml:17: ResourceClaimTemplate 't': metadata.name: is there twice: also at w.yaml:1" in refused(
        plan, f"{TEMPLATE}---\n{TEMPLATE}"
    )


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (
            'selectors: [{cel: {expression: \'device.attributes["gpu.example.com"].modle == "m1"\'}}]',
            "did you mean 'model'?",
        ),
        ('selectors: [{cel: {expression: \'"x" in device.attributes["gpu.exmple.com"]\'}}]', "no device"),
        (
            'selectors: [{cel: {expression: \'device.attributes["gpu.exmple.com"]["x"] == 1\'}}]',
            "mean 'gpu.example.com'?",
        ),
        (
            "selectors: [{cel: {expression: 'device.capacity[\"gpu.example.com\"].memry.asInteger() > 1'}}]",
            "'memory'",
        ),
    ],
)
def test_names_that_no_device_has_are_hinted_at_with_what_was_meant(plan, change, hint):
    code, said, _ = plan(TEMPLATE.replace("count: 1", change))
    assert code == 1
    if hint != "no device":
        assert hint in said
        assert said.startswith("Hint: w.yaml:12: ResourceClaimTemplate 't': spec.spec.devices.requests[0].exactly.sel")


def test_an_attribute_of_a_constraint_that_no_device_has_is_hinted_at(plan):
    code, said, _ = plan(f"{TEMPLATE}      constraints: [{{matchAttribute: example.com/groupid}}]\n")
    assert code == 1
    assert "no device has the attribute 'example.com/groupid'; did you mean 'example.com/group_id'?" in said


def test_a_request_that_the_claim_has_not_keeps_the_container_from_starting(plan):
    pod = POD.replace("      - name: gpus", "      - name: gpus\n        request: gpu")
    code, said, _ = plan(f"{TEMPLATE}---\n{pod}")
    assert code == 0
    assert "the container will not start: ResourceClaimTemplate 't' has no request 'gpu'; did you mean 'gpus'?" in said
