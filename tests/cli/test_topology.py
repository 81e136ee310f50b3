"""`drakit topology`: where a picture comes from, in which form it is shown, and what is bad input."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest
import yaml

TRN2 = "trn2.48xlarge"
SLICE = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceSlice",
    "metadata": {"name": "one"},
    "spec": {
        "driver": "gpu.example.com",
        "nodeName": "node-7",
        "pool": {"name": "node-7", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "gpu-0"}, {"name": "gpu-1"}],
    },
}


def claim(name, device, pool="node-7", driver="gpu.example.com"):
    result = {"request": "r", "driver": driver, "pool": pool, "device": device}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "team"},
        "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]}},
        "status": {"allocation": {"devices": {"results": [result]}}},
    }


def slice_of(node, **devices):
    made = json.loads(json.dumps(SLICE))
    made["metadata"]["name"] = node
    made["spec"] |= {"nodeName": node, "pool": made["spec"]["pool"] | {"name": node}}
    return made | {"spec": made["spec"] | devices}


@pytest.fixture
def write(tmp_path):
    def write(name, *documents):
        path = tmp_path / name
        path.write_text(documents[0] if isinstance(documents[0], str) else yaml.safe_dump_all(documents))
        return path

    return write


def test_the_picture_of_a_type_has_every_device_group_and_link(drakit):
    outcome = drakit("topology", "--node", TRN2)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[:2] == [TRN2, "32 devices: 32 free"]
    for name in (*(f"neuron-device-{n}" for n in range(16)), "pci-0000-c9-00-0", "pci-0000-f6-00-0"):
        assert sum(line.split()[1:2] == [name] for line in lines) == 1
    assert "resource.aws.com/devicegroup4_id 4 groups of 8" in lines
    assert any(line.startswith("Links: 4 by 4 torus") for line in lines)
    assert "\x1b" not in outcome.out
    assert max(map(len, lines)) <= 80


def test_a_type_and_its_faked_tree_give_the_same_picture(drakit, trn2, two_drivers):
    of_tree = drakit("topology", "--root", trn2, "--config", two_drivers, "--node-name", "n", "-o", "svg")
    of_type = drakit("topology", "--node", TRN2, "--config", two_drivers, "--node-name", "n", "-o", "svg")
    assert of_tree.code == 0
    # The order of the drivers is that of the configuration, and so the same.
    assert of_tree.out == of_type.out


def test_the_slices_that_a_command_writes_are_what_another_reads(drakit, write):
    path = write("slices.yaml", drakit("slices", "--node", TRN2).out)
    assert drakit("topology", "--slices", path, "-o", "svg").out == drakit("topology", "--node", TRN2, "-o", "svg").out


@pytest.mark.parametrize("node_type", ["trn1.32xlarge", "p5.48xlarge", "p6-b200.48xlarge", "generic-gpu-nic"])
def test_svg_is_one_well_formed_file_and_always_the_same(drakit, node_type):
    first = drakit("topology", "--node", node_type, "-o", "svg").out
    assert first == drakit("topology", "--node", node_type, "-o", "svg").out
    root = ET.fromstring(first)
    slices = drakit("slices", "--node", node_type).yaml
    drawn = [one.get("data-device") for one in root.iter() if one.get("data-device")]
    assert sorted(drawn) == sorted(
        f"{one['spec']['driver']}/{one['spec']['pool']['name']}/{device['name']}"
        for one in slices
        for device in one["spec"]["devices"]
    )


def test_claims_of_a_file_take_devices(drakit, write):
    claims = write("claims.yaml", claim("train", "neuron-device-3", pool=TRN2, driver="neuron.aws.com"))
    lines = drakit("topology", "--node", TRN2, "--claims", claims).out.splitlines()
    assert lines[1] == "32 devices: 31 free, 1 allocated"
    assert any(re.fullmatch(r" +● neuron-device-3 .*team/train", line) for line in lines)


def test_a_dump_of_a_cluster_is_a_file_like_any(drakit, write):
    """As `kubectl get resourceslices,resourceclaims,nodes -A -o yaml` writes it."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-7"}}
    path = write("dump.yaml", {"apiVersion": "v1", "kind": "List", "items": [SLICE, claim("train", "gpu-1"), node]})
    assert "2 devices: 1 free, 1 allocated" in drakit("topology", "--slices", path).out


def test_a_dump_for_the_planner_is_one_too(drakit, write):
    """As `kubectl get nodes,resourceslices,resourceclaims,deviceclasses -A -o yaml` writes it."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-7"}}
    device_class = {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": {}}
    items = [node, SLICE, claim("train", "gpu-1"), device_class]
    path = write("dump.yaml", {"apiVersion": "v1", "kind": "List", "items": items})
    assert "2 devices: 1 free, 1 allocated" in drakit("topology", "--slices", path).out
    claims = write(
        "claims.yaml", {"apiVersion": "v1", "kind": "List", "items": [node, claim("t", "gpu-0"), device_class]}
    )
    outcome = drakit("topology", "--slices", path, "--claims", claims)
    assert (outcome.code, outcome.err) == (0, "")
    assert "2 devices: 2 allocated" in outcome.out


def test_the_items_of_a_list_of_one_kind_need_not_say_what_they_are(drakit, write):
    bare = {key: value for key, value in SLICE.items() if key not in ("apiVersion", "kind")}
    listed = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSliceList", "items": [bare]}
    assert "2 devices: 2 free" in drakit("topology", "--slices", write("slices.yaml", listed)).out


def test_an_item_that_is_wrong_is_told_with_its_line(drakit, write):
    text = f"apiVersion: v1\nkind: List\nitems:\n- {json.dumps(SLICE)}\n- {json.dumps(SLICE | {'spec': 7})}\n"
    path = write("slices.yaml", text)
    outcome = drakit("topology", "--slices", path)
    assert outcome.code == 2
    assert outcome.err == f"Error: {path}:5: ResourceSlice 'one': spec must be a mapping, not 7\n"


def test_nodes_that_look_alike_are_shown_once_as_text_and_all_in_html(drakit, write):
    slices = [slice_of(f"worker-{n}") for n in range(3)] + [slice_of("other", devices=[{"name": "gpu-0"}])]
    path = write("slices.yaml", *slices)
    text = drakit("topology", "--slices", path).out
    assert "worker-0, worker-1, worker-2\n3 nodes, each with 2 devices: 2 free\n" in text
    assert text.count("gpu-1") == 1
    page = drakit("topology", "--slices", path, "-o", "html").out
    assert re.findall(r'<section [^>]*data-node="([^"]*)"', page) == ["other", "worker-0", "worker-1", "worker-2"]
    svg = drakit("topology", "--slices", path, "-o", "svg").out
    assert svg.count('class="legend"') == 2
    assert "3 nodes: worker-0, worker-1, worker-2" in svg


def test_one_node_of_several_can_be_chosen(drakit, write):
    path = write("slices.yaml", slice_of("worker-1"), slice_of("worker-2"))
    assert drakit("topology", "--slices", path, "--node-name", "worker-2").out.startswith("worker-2\n")
    outcome = drakit("topology", "--slices", path, "--node-name", "worker-3")
    assert outcome.code == 2
    assert "no node 'worker-3' has devices; there are worker-1, worker-2" in outcome.err


@pytest.fixture
def kubeconfig(api, tmp_path):
    return api.kubeconfig(tmp_path / "kubeconfig")


def test_a_cluster_is_read_by_its_kubeconfig(drakit, api, kubeconfig):
    api.create(SLICE)
    api.create(claim("train", "gpu-1"))
    for given, env in ((("--kubeconfig", kubeconfig), {}), ((), {"KUBECONFIG": str(kubeconfig)})):
        outcome = drakit("topology", "--cluster", *given, **env)
        assert (outcome.code, outcome.err) == (0, "")
        assert "node-7\n2 devices: 1 free, 1 allocated\n" in outcome.out
        assert "team/train" in outcome.out


def test_a_cluster_that_cannot_be_reached_is_named_with_what_to_do(drakit, kubeconfig, api):
    api.pause()
    outcome = drakit("topology", "--cluster", "--kubeconfig", kubeconfig)
    assert outcome.code == 1
    assert outcome.out == ""
    assert api.url in outcome.err
    assert "check the address in the kubeconfig" in outcome.err


def test_without_devices_there_is_a_finding(drakit, write):
    outcome = drakit("topology", "--slices", write("slices.yaml", slice_of("n", devices=[])))
    assert outcome.code == 1
    assert "there are no devices to draw" in outcome.err


def test_a_file_of_nothing_is_a_finding(drakit, write):
    outcome = drakit("topology", "--slices", write("slices.yaml", ""), "-o", "html")
    assert (outcome.code, outcome.out) == (1, "")
    assert "there are no devices to draw" in outcome.err


def test_a_pool_that_cannot_be_drawn_is_a_finding_in_the_picture(drakit, write):
    bad = slice_of("node-7", devices=[{"name": "gpu-0", "attributes": {"x": {"quaternion": 1}}}])
    bad["spec"]["driver"] = "bad.example.com"
    outcome = drakit("topology", "--slices", write("slices.yaml", SLICE, bad))
    assert outcome.code == 1
    assert "gpu-1" in outcome.out
    assert "bad.example.com" in outcome.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: ResourceSlice\nspec: [1,\n", r"slices\.yaml:3:1: "),
        ("kind: ResourceSlice\nkind: Node\n", r"slices\.yaml:2:1: not YAML: duplicate key 'kind'"),
        ("just words\n", r"slices\.yaml:1: must be a mapping with apiVersion and kind"),
        ("apiVersion: v1\nkind: Pod\n", r"slices\.yaml:2: kind 'Pod' has no place here; give ResourceSlice or"),
        ("kind: [ResourceSlice]\n", "kind .* has no place here"),
        (
            "apiVersion: resource.k8s.io/v1beta1\nkind: ResourceSlice\n",
            r":1: ResourceSlice: apiVersion must be '.*/v1', not",
        ),
        ("apiVersion: v1\nkind: List\nitems: []\n", None),
        ("apiVersion: v1\nkind: List\n", None),
        ("apiVersion: v1\nkind: List\nitems: {}\n", "items must be a list"),
        ("apiVersion: v1\nkind: List\nitems: 7\n", "items must be a list"),
        ("apiVersion: v1\nkind: List\nitems: [7]\n", r"slices\.yaml:3: must be a mapping"),
        (
            "apiVersion: resource.k8s.io/v1\nkind: ResourceSlice\n",
            r":1: ResourceSlice: spec.driver must be a name",
        ),
        (yaml.safe_dump(SLICE | {"spec": {"driver": "d", "pool": []}}), r"spec.pool must be a mapping"),
        (yaml.safe_dump(SLICE | {"spec": 7}), "spec must be a mapping, not 7"),
        (yaml.safe_dump(SLICE | {"metadata": 7}), "metadata must be a mapping"),
        ("apiVersion: v1\nkind: Node\nmetadata: {name: [n]}\n", "metadata.name must be a name"),
        ("\0", "not YAML"),
        ("&all [*all]\n", r"slices\.yaml:1: contains itself, by an alias"),
        ("# " + "x" * 2**21 + "\n", "of YAML at most 2 MiB are read: split it, or write it as JSON"),
    ],
)
@pytest.mark.parametrize("output", ["text", "html"])
def test_bad_slices_get_one_message_with_file_and_place(drakit, write, text, said, output):
    outcome = drakit("topology", "--slices", write("slices.yaml", text), "-o", output)
    assert outcome.out == ""
    assert outcome.code == (1 if said is None else 2)
    assert outcome.err.count("\n") == 1
    assert said is None or re.search(said, outcome.err)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (7, "status must be a mapping"),
        ({"allocation": {"devices": {"results": 7}}}, "results must be a list"),
        ({"allocation": {"devices": {"results": [7]}}}, r"results\[0\]: must be a mapping"),
        ({"allocation": {"devices": {"results": [{"driver": "d", "pool": "p"}]}}}, r"results\[0\].device must be"),
        (
            {"allocation": {"devices": {"results": [
                {"driver": "d", "pool": "p", "device": "x", "consumedCapacity": {"m": "much"}}
            ]}}},
            r"consumedCapacity.m: .*'much'",
        ),
    ],
)  # fmt: skip
def test_bad_claims_get_one_message_with_file_and_place(drakit, write, status, said):
    path = write("claims.yaml", claim("train", "gpu-0") | {"status": status})
    outcome = drakit("topology", "--slices", write("slices.yaml", SLICE), "--claims", path)
    assert (outcome.code, outcome.out) == (2, "")
    assert re.search(said, outcome.err)
    assert str(path) in outcome.err


@pytest.mark.parametrize("given", [(), ("--cluster", "--node", TRN2), ("--slices", "a.yaml", "--root", "/")])
def test_there_is_one_thing_to_look_at(drakit, given):
    outcome = drakit("topology", *given)
    assert outcome.code == 2
    assert "give one of" in outcome.err


def test_a_file_that_is_not_there_is_named(drakit, tmp_path):
    outcome = drakit("topology", "--slices", tmp_path / "none.yaml")
    assert outcome.code == 2
    assert outcome.err == f"Error: cannot read {tmp_path / 'none.yaml'}: No such file or directory\n"
