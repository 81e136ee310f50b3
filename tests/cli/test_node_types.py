"""`--node TYPE`: what the real backends make of a faked node, as slices and as an inventory."""

from __future__ import annotations

import json
import tempfile

import pytest
from drakit.cli.nodetypes import survey_of
from drakit.errors import ConfigError
from drakit.loading import load_installed
from drakit.testing import lay_out

TYPES = [
    "generic-gpu-nic",
    "inf2.48xlarge",
    "p4d.24xlarge",
    "p5.48xlarge",
    "p6-b200.48xlarge",
    "trn1.32xlarge",
    "trn2.48xlarge",
    "trn2.48xlarge@missing-3",
    "trn2u.48xlarge",
    "trn3.48xlarge",
]
HAUNTED = """
from drakit import PciFunction, hookimpl

class Plugin:
    driver_name = "haunted.example.com"
    node_types = ("haunted",)
    def __init__(self, context): self._root = context.path("/sys")
    @hookimpl
    def layout(self, node_type, root):
        if node_type != "haunted":
            return []
        return [PciFunction(address="0000:10:00.0", vendor=1, device=2, class_code=3)]
    @hookimpl
    def discover(self): raise RuntimeError(f"there is a ghost in {self._root}")
    @hookimpl
    def prepare(self, claim): return []
    @hookimpl
    def unprepare(self, claim, prepared): pass
"""


@pytest.mark.parametrize("node_type", TYPES)
def test_the_slices_of_a_type_are_the_same_every_time_and_know_nothing_of_the_directory(node_type):
    first, second = survey_of(node_type), survey_of(node_type)
    assert first.slices
    assert first.slices == second.slices
    assert first.problems == second.problems == []
    assert tempfile.gettempdir() not in json.dumps(first.slices)


def test_they_are_those_of_the_laid_out_tree(drakit, tmp_path, write_config):
    root = lay_out("trn2.48xlarge", tmp_path / "root").root
    config = write_config({"plugin": "neuron"}, {"plugin": "efa"})
    of_tree = drakit("slices", "--root", root, "--config", config, "--node-name", "n").yaml
    of_type = drakit("slices", "--node", "trn2.48xlarge", "--config", config, "--node-name", "n").yaml
    assert of_type == of_tree


def test_only_backends_with_hardware_on_such_a_node_speak(drakit):
    drivers = {
        node_type: {document["spec"]["driver"] for document in drakit("slices", "--node", node_type).yaml}
        for node_type in ("trn2.48xlarge", "p5.48xlarge", "generic-gpu-nic")
    }
    assert drivers == {
        "trn2.48xlarge": {"neuron.aws.com", "dra.net"},
        "p5.48xlarge": {"dra.net"},
        "generic-gpu-nic": {"mock.example.com"},
    }


def test_with_a_configuration_its_backends_speak(drakit, write_config):
    config = write_config(
        {"plugin": "mock", "driver": "gpu.example.com", "options": {"profile": "generic-gpu"}},
        {"plugin": "mock", "driver": "nic.example.com", "options": {"profile": "generic-nic"}},
        nodeName="not-this-one",
    )
    documents = drakit("slices", "--node", "generic-gpu-nic", "--config", config).yaml
    assert {document["spec"]["driver"]: len(document["spec"]["devices"]) for document in documents} == {
        "gpu.example.com": 8,
        "nic.example.com": 8,
    }
    assert {document["spec"]["nodeName"] for document in documents} == {"generic-gpu-nic"}


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((), "trn2.48xlarge-missing-3"), (("--node-name", "worker-1"), "worker-1")],
)
def test_the_node_is_called_as_its_type_whatever_this_machine_is_called(drakit, arguments, name):
    documents = drakit("slices", "--node", "trn2.48xlarge@missing-3", *arguments, NODE_NAME="this-machine").yaml
    assert {document["spec"]["nodeName"] for document in documents} == {name}
    assert {document["spec"]["pool"]["name"] for document in documents} == {name}


def test_the_inventory_of_a_type_has_its_groups(drakit):
    found = drakit("inventory", "--node", "trn2.48xlarge", "-o", "json").json
    assert found["node"] == "trn2.48xlarge"
    assert found["problems"] == []
    sizes = [len(group["members"]) for group in found["groups"] if group["attribute"].endswith("devicegroup4_id")]
    assert sizes == [8, 8, 8, 8]


@pytest.mark.parametrize("command", ["slices", "inventory", "topology"])
def test_an_unknown_type_is_refused_with_one_that_is_close(drakit, command):
    outcome = drakit(command, "--node", "trn2.48xlarg")
    assert outcome.code == 2
    assert outcome.out == ""
    assert "no plugin knows the node type 'trn2.48xlarg'; did you mean 'trn2.48xlarge'?" in outcome.err


def test_the_types_are_listed_with_the_plugins_that_know_them(drakit):
    known = {one["type"]: one["plugins"] for one in drakit("node-types", "-o", "json").json}
    assert set(TYPES) <= set(known)
    assert known["trn2.48xlarge"] == ["efa", "neuron"]
    found = drakit("node-types", "trn2")
    assert "trn2u.48xlarge" in found.out
    assert "p5.48xlarge" not in found.out
    assert drakit("node-types", "no-such").code == 1


@pytest.mark.parametrize("command", ["slices", "inventory", "topology"])
def test_a_type_and_a_root_exclude_one_another(drakit, command, trn2):
    outcome = drakit(command, "--node", "trn2.48xlarge", "--root", trn2)
    assert outcome.code == 2
    assert "give one of them" in outcome.err


def test_a_backend_that_fails_is_a_finding_in_which_paths_are_those_of_the_node(installed_drakit, distribution):
    env = distribution("haunted", HAUNTED, {"drakit.plugins": {"haunted": "haunted:Plugin"}})
    outcome = installed_drakit("slices", "--node", "haunted", **env)
    assert outcome.code == 1
    assert outcome.err == (
        "Error: haunted.example.com: plugin 'haunted.example.com': discover failed: "
        "RuntimeError: there is a ghost in /sys\n"
    )


def test_every_type_that_is_known_can_be_surveyed():
    """A few of each family: all of them take long."""
    known = sorted({one for plugin in load_installed().loaded.values() for one in plugin.declarations.node_types})
    for node_type in known[:: len(known) // 12]:
        assert survey_of(node_type).slices


def test_a_bad_configuration_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.yaml"):
        survey_of("trn2.48xlarge", tmp_path / "missing.yaml")
