"""`drakit plan` on files and commands that are wrong: each told with what to give, and never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.right_input import CLASS, POD, SLICES, TEMPLATE, refused, workload


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


@pytest.mark.parametrize("given", ["-", "w.yaml"])
def test_what_is_no_text_is_refused_from_a_file_and_from_stdin(tmp_path, monkeypatch, given):
    (tmp_path / "w.yaml").write_bytes(b"\xff\xfe kind: Pod")
    monkeypatch.chdir(tmp_path)
    command = [str(Path(sys.executable).with_name("drakit")), "plan", "-f", given, "--node", "generic-gpu-nic"]
    with (tmp_path / "w.yaml").open("rb") as stdin:
        done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr == f"Error: cannot read {'stdin' if given == '-' else given}: it is not text in UTF-8\n"
