"""`drakit inventory` and `drakit slices`: what the agent would publish, and what would keep it from that."""

from __future__ import annotations

import pytest
from drakit.decoding import read_yaml
from drakit.testing import lay_out

BAD_DISCOVERY = """
from drakit import hookimpl

class Plugin:
    driver_name = "bad.example.com"
    def __init__(self, context): pass
    @hookimpl
    def discover(self): raise RuntimeError("the bus is on fire")
    @hookimpl
    def prepare(self, claim): return []
    @hookimpl
    def unprepare(self, claim, prepared): pass
"""
DISAGREEING = """
from drakit import hookimpl

class Plugin:
    def __init__(self, context): pass
    @hookimpl
    def attributes(self, ref, device):
        return {"resource.aws.com/devicegroup16_id": "mine"} if ref.name == "neuron-device-3" else None
"""


def devices_of(document, driver):
    (pools,) = [entry["pools"] for entry in document["drivers"] if entry["driver"] == driver]
    return {device["name"]: device for pool in pools for device in pool["devices"]}


@pytest.fixture
def read(drakit, two_drivers, trn2):
    return drakit("inventory", "--config", two_drivers, "--root", trn2, "-o", "json")


def test_the_inventory_has_every_device_of_every_driver(read):
    assert read.code == 0
    assert read.err == ""
    assert list(devices_of(read.json, "neuron.aws.com")) == [f"neuron-device-{number}" for number in range(16)]
    assert len(devices_of(read.json, "dra.net")) == 16
    assert read.json["node"] == "node-7"
    assert read.json["problems"] == []


def test_groups_and_stamped_attributes_agree(read):
    neurons, adapters = devices_of(read.json, "neuron.aws.com"), devices_of(read.json, "dra.net")
    attribute = "resource.aws.com/devicegroup4_id"
    (group,) = [
        group
        for group in read.json["groups"]
        if group["attribute"] == attribute and "neuron.aws.com/node-7/neuron-device-5" in group["members"]
    ]
    assert group["value"] == {"string": "671622785349fddf"}
    assert len(group["members"]) == 8
    for member in group["members"]:
        name = member.rpartition("/")[2]
        assert (neurons | adapters)[name]["attributes"][attribute] == group["value"]


def test_yaml_and_json_say_the_same(drakit, two_drivers, trn2, read):
    assert drakit("inventory", "--config", two_drivers, "--root", trn2, "-o", "yaml").yaml == [read.json]


def test_the_table_says_once_what_all_devices_have_alike(drakit, two_drivers, trn2):
    outcome = drakit("inventory", "--config", two_drivers, "--root", trn2)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert sum("instanceType=trn2.48xlarge" in line for line in lines) == 1
    (row,) = [line for line in lines if line.split()[:1] == ["neuron-device-9"]]
    assert "0000:84:00.0" in row
    assert "237e3ef7b968b4d3" in row
    assert not any(line.endswith(" ") for line in lines)


def test_without_a_configuration_every_installed_plugin_is_used(drakit, trn2):
    outcome = drakit("inventory", "--root", trn2, "-o", "json", NODE_NAME="node-9")
    assert outcome.code == 0
    drivers = [entry["driver"] for entry in outcome.json["drivers"]]
    assert {"neuron.aws.com", "dra.net", "mock.example.com"} <= set(drivers)
    assert outcome.json["node"] == "node-9"


@pytest.mark.parametrize("node_type", ["p4d.24xlarge", "p5.48xlarge", "trn1.32xlarge"])
def test_without_a_configuration_the_mock_devices_stand_beside_any_hardware(drakit, tmp_path, node_type):
    outcome = drakit("inventory", "--root", lay_out(node_type, tmp_path / "root").root, "-o", "json")
    assert outcome.code == 0
    assert outcome.json["problems"] == []
    assert len(devices_of(outcome.json, "mock.example.com")) == 8


def test_a_machine_without_such_hardware_has_empty_pools_and_no_finding(drakit, two_drivers, tmp_path):
    (tmp_path / "sys").mkdir()
    outcome = drakit("inventory", "--config", two_drivers, "--root", tmp_path, "-o", "json")
    assert outcome.code == 0
    assert devices_of(outcome.json, "neuron.aws.com") == devices_of(outcome.json, "dra.net") == {}


def test_a_plugin_that_cannot_discover_is_a_finding_and_hides_no_other(
    installed_drakit, distribution, write_config, trn2
):
    env = distribution("baddiscovery", BAD_DISCOVERY, {"drakit.plugins": {"bad": "baddiscovery:Plugin"}})
    config = write_config({"plugin": "bad"}, {"plugin": "neuron"})
    outcome = installed_drakit("inventory", "--config", config, "--root", trn2, "-o", "json", **env)
    assert outcome.code == 1
    assert len(devices_of(outcome.json, "neuron.aws.com")) == 16
    assert outcome.json["problems"] == [
        {
            "of": "bad.example.com",
            "problem": "plugin 'bad.example.com': discover failed: RuntimeError: the bus is on fire",
        }
    ]


def test_two_plugins_that_disagree_about_a_device_are_both_named(installed_drakit, distribution, write_config, trn2):
    env = distribution("disagreeing", DISAGREEING, {"drakit.plugins": {"other": "disagreeing:Plugin"}})
    config = write_config({"plugin": "neuron"}, {"plugin": "efa"}, extensions=[{"plugin": "other"}])
    outcome = installed_drakit("inventory", "--config", config, "--root", trn2, "-o", "json", **env)
    assert outcome.code == 1
    (problem,) = outcome.json["problems"]
    assert problem["of"] == "neuron.aws.com"
    assert "neuron-device-3" in problem["problem"]
    assert "other" in problem["problem"]
    assert "neuron.aws.com" in problem["problem"]
    assert len(devices_of(outcome.json, "dra.net")) == 16


@pytest.fixture
def malformed(tmp_path):
    """A node of which one file of sysfs is garbage: a plugin warns of it, and publishes what it can."""
    root = lay_out("trn2.48xlarge", tmp_path / "root").root
    (root / "sys/devices/virtual/dmi/id/product_name").write_bytes(b"\xff\xfe\x00garbage")
    return root


def test_malformed_sysfs_is_a_warning_that_names_the_file_and_no_failure(drakit, two_drivers, malformed):
    outcome = drakit("inventory", "--config", two_drivers, "--root", malformed, "-o", "json")
    assert (outcome.code, outcome.json["problems"]) == (0, [])
    assert any("product_name" in entry["warning"] for entry in outcome.json["warnings"])
    assert len(devices_of(outcome.json, "neuron.aws.com")) == 16
    shown = drakit("inventory", "--config", two_drivers, "--root", malformed)
    assert (shown.code, "PROBLEM OF" in shown.out) == (0, False)
    assert "WARNING OF" in shown.out


def test_slices_of_a_node_that_is_warned_of_are_published_all_the_same(drakit, two_drivers, malformed):
    outcome = drakit("slices", "--config", two_drivers, "--root", malformed)
    assert outcome.code == 0
    assert len(outcome.yaml) == 2
    assert outcome.err.startswith("Warning: ")
    assert "product_name" in outcome.err
    assert "Error:" not in outcome.err


def test_slices_are_what_the_api_server_would_take(drakit, two_drivers, trn2):
    outcome = drakit("slices", "--config", two_drivers, "--root", trn2)
    assert outcome.code == 0
    assert [document["spec"]["driver"] for document in outcome.yaml] == ["neuron.aws.com", "dra.net"]
    for document in outcome.yaml:
        assert document["apiVersion"] == "resource.k8s.io/v1"
        assert document["kind"] == "ResourceSlice"
        assert document["spec"]["nodeName"] == "node-7"
        assert document["spec"]["pool"] == {"name": "node-7", "generation": 1, "resourceSliceCount": 1}
        assert len(document["spec"]["devices"]) == 16


def test_slices_as_json_are_one_list(drakit, two_drivers, trn2):
    listed = drakit("slices", "--config", two_drivers, "--root", trn2, "-o", "json").json
    assert listed["kind"] == "List"
    assert listed["items"] == drakit("slices", "--config", two_drivers, "--root", trn2, "-o", "yaml").yaml


def test_taints_that_health_asks_for_are_in_the_slices(drakit, write_config, ailing):
    (document,) = drakit("slices", "--config", write_config(ailing)).yaml
    one, two = document["spec"]["devices"]
    assert one["taints"] == [{"key": "example.com/broken", "value": "fan", "effect": "NoSchedule"}]
    assert "taints" not in two


def test_the_yaml_of_slices_is_read_by_our_own_strict_reader(drakit, two_drivers, trn2, tmp_path):
    path = tmp_path / "slices.yaml"
    path.write_text(drakit("slices", "--config", two_drivers, "--root", trn2).out)
    assert len(read_yaml(path)) == 2


def test_the_name_of_the_node_can_be_given(drakit, trn2):
    outcome = drakit("slices", "--root", trn2, "--node-name", "elsewhere", NODE_NAME="node-9")
    assert {document["spec"]["nodeName"] for document in outcome.yaml} == {"elsewhere"}


def test_what_keeps_a_driver_from_publishing_goes_to_stderr(installed_drakit, distribution, write_config, trn2):
    env = distribution("baddiscovery", BAD_DISCOVERY, {"drakit.plugins": {"bad": "baddiscovery:Plugin"}})
    config = write_config({"plugin": "bad"}, {"plugin": "efa"})
    outcome = installed_drakit("slices", "--config", config, "--root", trn2, **env)
    assert outcome.code == 1
    assert [document["spec"]["driver"] for document in outcome.yaml] == ["dra.net"]
    assert outcome.err.startswith("Error: bad.example.com: plugin 'bad.example.com': discover failed")
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("command", ["inventory", "slices", "plugins", "check"])
@pytest.mark.parametrize("output", ["table", "yaml", "json"])
def test_nothing_is_coloured_in_a_pipe(installed_drakit, two_drivers, trn2, command, output):
    outcome = installed_drakit(command, "--config", two_drivers, "--root", trn2, "-o", output)
    assert outcome.code in (0, 1)
    assert outcome.out
    assert "\x1b" not in outcome.out
    assert "Traceback" not in outcome.err
