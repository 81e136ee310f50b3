"""`drakit plan` on input that is wrong: everything at once, each with its line and path, and never a traceback."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from drakit.plan.workload import MAX_PODS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SLICES = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceSlice",
    "metadata": {"name": "s"},
    "spec": {
        "driver": "gpu.example.com",
        "nodeName": "n1",
        "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1},
        "devices": [
            {
                "name": f"gpu-{number}",
                "attributes": {"model": {"string": "m1"}, "example.com/group_id": {"string": "g"}},
                "capacity": {"memory": {"value": "8Gi"}},
            }
            for number in range(4)
        ],
    },
}
CLASS = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceClass",
    "metadata": {"name": "gpus"},
    "spec": {"selectors": [{"cel": {"expression": 'device.driver == "gpu.example.com"'}}]},
}
TEMPLATE = """\
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata:
  name: t
spec:
  spec:
    devices:
      requests:
      - name: gpus
        exactly:
          deviceClassName: gpus
          count: 1
"""
POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: p
spec:
  containers:
  - name: c
    image: registry.example.com/c:1
    resources:
      claims:
      - name: gpus
  resourceClaims:
  - name: gpus
    resourceClaimTemplateName: t
"""


@pytest.fixture
def plan(drakit, tmp_path):
    """Plan a text; the exit code, what stderr says without where the file lies, and stdout."""

    def run(text: str, *args: Any, name: str = "w.yaml", cluster: Any = None) -> tuple[int, str, str]:
        path, slices = tmp_path / name, tmp_path / "slices.json"
        path.write_text(text)
        slices.write_text(
            cluster if isinstance(cluster, str) else json.dumps({"kind": "List", "items": cluster or [SLICES, CLASS]})
        )
        found = drakit("plan", "-f", path, "--slices", slices, *args)
        return found.code, found.err.replace(f"{tmp_path}/", ""), found.out

    return run


def refused(plan: Any, text: str, **options: Any) -> str:
    code, said, out = plan(text, **options)
    assert (code, out) == (2, ""), said
    return said


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


def workload(kind: str, version: str, **fields: Any) -> str:
    pod = yaml.safe_load(POD)["spec"]
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template, **fields}
    document = {"apiVersion": version, "kind": kind, "metadata": {"name": "w"}, "spec": spec}
    return f"{TEMPLATE}---\n{yaml.safe_dump(document)}"


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
    ("text", "said"),
    [
        ("a: [", "w.yaml:2:1: not YAML"),
        ("a: 1\na: 2\n", "w.yaml:2:1: not YAML: duplicate key 'a'"),
        ("a: &x\n- *x\n", "w.yaml:1: contains itself, by an alias"),
        ("a: &a [x, x, x, x, x, x, x, x, x, x]\n", "has no kind"),
        ("[" * 100_000, "nested too deeply"),
        ("{" * 5_000, "w.yaml"),
        ('{"kind": "Pod",\n "metadata": }', "w.yaml"),
        ("\x00", "w.yaml"),
        ("- a\n", "must be a mapping, not ['a']"),
        ("42", "w.yaml:1: must be a mapping, not 42"),
        ("kind: [Pod]\n", "is not a kind that can be planned"),
        ("kind: Pod\napiVersion: v1\nmetadata: []\nspec: 7\n", "w.yaml:3: Pod: metadata: must be a mapping, not []"),
        ("", "nothing to plan"),
        ("# only a comment\n", "nothing to plan"),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(plan, text, said):
    assert said in refused(plan, text)


def test_aliases_of_aliases_are_refused_before_they_are_followed(plan):
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert "come to more than" in refused(plan, "\n".join(levels))


def test_a_file_of_ten_megabytes_is_refused_at_the_line_where_it_is_too_long(plan):
    assert "of YAML at most 2 MiB are read" in refused(plan, "- word: word\n" * 800_000)
    line = 2 * 1024 * 1024 // len("- word: word\n") + 1
    assert f"w.yaml:{line}: " in refused(plan, "- word: word\n" * 800_000)


def test_json_that_is_none_is_told_by_its_line(plan):
    assert "w.json:2: not JSON" in refused(plan, '{"kind": "Pod",\n "metadata": }', name="w.json")


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


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ([], "has no ResourceSlice"),
        ("nothing", "kind None is nothing of a cluster"),
        ([{"kind": "ResourceSlices"}], "did you mean 'ResourceSlice'?"),
        ([SLICES | {"apiVersion": "resource.k8s.io/v1beta1"}], "apiVersion must be resource.k8s.io/v1"),
        ([SLICES | {"spec": {}}], "spec.driver must be a lower-case DNS subdomain"),
        ([SLICES | {"spec": []}, SLICES], "slices.json:1: "),
        ([SLICES | {"spec": SLICES["spec"] | {"devices": [{"name": "A"}]}}], "devices[0]"),
        ([SLICES | {"spec": SLICES["spec"] | {"devices": [7]}}], "devices[0]: must be a mapping"),
        ([SLICES | {"spec": SLICES["spec"] | {"pool": []}}], "slices.json:1: "),
        ([SLICES, {"kind": "Node", "apiVersion": "v1", "metadata": 3}], "is not formed as its kind is"),
    ],
)
def test_slices_that_are_none_are_refused_with_their_place(plan, cluster, said):
    cluster = "{}" if cluster == "nothing" else cluster or [CLASS]
    assert said in refused(plan, TEMPLATE, cluster=cluster)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("-f", "x"), "give one of --node TYPE[=COUNT], --slices FILE and --cluster"),
        (("-f", "x", "--node", "a", "--cluster"), "give one of --node"),
        (("--node", "trn2.48xlarge"), "give what is to be planned with -f FILE"),
        (("pod/x", "-f", "x", "--node", "a"), "is of a cluster"),
        (("-f", "-", "--slices", "-"), "stdin can be read once"),
        (("-f", "/nowhere.yaml", "--slices", "/nowhere.json"), "cannot read /nowhere.json: No such file or directory"),
        (("-f", "x", "--node", "trn2.48xlrge"), "did you mean 'trn2.48xlarge'?"),
        (("-f", "x", "--node", "trn2.48xlarge=0"), "how many must be a number from 1 on"),
        (("-f", "x", "--node", "trn2.48xlarge=many"), "how many must be a number from 1 on"),
        (("-f", "x", "--node", "trn2.48xlarge=100000"), "more than can be planned at once"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_with_what_to_give(drakit, args, said):
    found = drakit("plan", *args)
    assert (found.code, found.out) == (2, "")
    assert said in found.err


def test_a_release_that_is_not_known_is_refused(plan):
    code, said, _ = plan(TEMPLATE, "--kube-version", "1.20")
    assert code == 2
    assert "no profile of Kubernetes '1.20'; there are 1.34" in said


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["gpus", "All", "t"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


FULL = yaml.safe_load(TEMPLATE)
FULL["spec"]["spec"]["devices"] = {
    "requests": [
        {
            "name": "gpus",
            "exactly": {
                "deviceClassName": "gpus",
                "selectors": [{"cel": {"expression": "true"}}],
                "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}],
                "capacity": {"requests": {"memory": "1Gi"}},
                "count": 1,
            },
        },
        {"name": "other", "firstAvailable": [{"name": "one", "deviceClassName": "gpus"}]},
    ],
    "constraints": [{"requests": ["gpus"], "matchAttribute": "example.com/group_id"}],
    "config": [{"requests": ["gpus"], "opaque": {"driver": "gpu.example.com", "parameters": {"a": 1}}}],
}
HELD = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceClaim",
    "metadata": {"name": "held", "namespace": "default"},
    "spec": FULL["spec"]["spec"],
    "status": {
        "allocation": {
            "devices": {
                "results": [
                    {"request": "gpus", "driver": "gpu.example.com", "pool": "n1", "device": "gpu-0"},
                    {
                        "request": "gpus",
                        "driver": "gpu.example.com",
                        "pool": "n1",
                        "device": "gpu-1",
                        "shareID": "00000000-0000-0000-0000-000000000000",
                        "consumedCapacity": {"memory": "1Gi"},
                    },
                ]
            },
            "nodeSelector": {
                "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]
            },
        },
        "reservedFor": [{"resource": "pods", "name": "x", "uid": "u"}],
    },
}
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "n1", "labels": {"zone": "a"}},
    "spec": {"taints": [{"key": "a", "effect": "PreferNoSchedule"}]},
    "status": {"allocatable": {"pods": "7"}},
}
BASES = (
    HELD,
    NODE,
    FULL,
    yaml.safe_load(POD),
    yaml.safe_load(workload("Deployment", "apps/v1").split("---\n")[1]),
    SLICES,
    CLASS,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_whatever_stands_in_a_field_there_is_an_answer_or_a_message_and_no_traceback(plan, data):
    documents = [FULL, yaml.safe_load(POD), BASES[4]]
    cluster = [SLICES, CLASS, HELD, NODE]
    base = data.draw(st.sampled_from(BASES))
    changed = replaced(base, data.draw(st.sampled_from(places(base))), data.draw(JSON))
    documents = [changed if one == base else one for one in documents]
    cluster = [changed if one == base else one for one in cluster]
    args = data.draw(st.sampled_from([(), ("--fit",), ("--explain",), ("--kube-version", "1.34")]))
    code, said, out = plan(json.dumps({"kind": "List", "items": documents}), *args, cluster=cluster)
    assert code in (0, 1, 2)
    assert (code == 2) == (out == "")
    assert code != 2 or "Error: " in said or "Usage" in said
