"""The README of each hardware plugin names what it publishes, and its configuration is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from drakit import PluginContext
from drakit.decoding import structure
from drakit.host import PluginHost
from drakit.inventory import begin
from drakit.loading import inspect
from drakit.testing import lay_out
from drakit_efa.options import EfaOptions
from drakit_efa.plugin import EfaPlugin
from drakit_neuron.plugin import NeuronPlugin

BLOCK = "capacity-block-id"
PLUGINS = Path(__file__).parents[2] / "plugins"
LABELS = {f"topology.k8s.aws/{label}": "a" for label in (*(f"network-node-layer-{n}" for n in (1, 2, 3)), BLOCK)}
HARDWARE = {"neuron": NeuronPlugin, "efa": EfaPlugin}
NODES = [
    *(("neuron", node_type) for node_type in ("trn1.32xlarge", "trn2.48xlarge", "trn2u.48xlarge", "trn3.48xlarge")),
    ("neuron", "inf2.48xlarge"),
    *(("efa", node_type) for node_type in ("trn2.48xlarge", "p6-b200.48xlarge")),
]


def readme(name):
    return (PLUGINS / name / "README.md").read_text()


def yaml_blocks(name):
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", readme(name), re.DOTALL)]


def published(name, root):
    """Every attribute and capacity of the plugin's devices, the groups it makes included."""
    loaded = inspect(name, HARDWARE[name])
    driver, host = loaded.declarations.driver_name, PluginHost()
    host.add(driver, loaded, PluginContext(driver=driver, node="n", pool="n", root=root, node_labels=LABELS))
    pools = host.discover(driver)
    inventory = begin("n", {driver: pools}).inventory
    groups = host.devicegroups(driver, inventory) if "devicegroups" in loaded.hooks else ()
    own = {name for pool in pools for device in pool.devices for name in (*device.attributes, *device.capacity)}
    return own | {group.attribute for group in groups}


@pytest.mark.parametrize(("name", "node_type"), NODES)
def test_every_published_attribute_and_capacity_is_in_the_table(name, node_type, tmp_path):
    rows = [line.split("|")[1] for line in readme(name).splitlines() if line.startswith(("| `", "| capacity `"))]
    named = {attribute for row in rows for attribute in re.findall(r"`([^`]+)`", row)}
    found = published(name, lay_out(node_type, tmp_path / "root").root)
    assert len(found) > 8
    assert {attribute for attribute in found if not {attribute, attribute.rpartition("/")[2]} & named} == set()


def test_the_options_of_the_efa_readme_are_some():
    ((backend,),) = [block["backends"] for block in yaml_blocks("efa") if "backends" in block]
    assert structure(EfaOptions, backend["options"], "README").addresses == ("0000:10:1b.0",)


@pytest.mark.parametrize("name", HARDWARE)
def test_a_plugin_that_does_not_tell_whether_devices_are_in_use_says_what_that_costs(name):
    told = "in_use" in inspect(name, HARDWARE[name]).hooks
    assert ("is held until the node reboots" in " ".join(readme(name).split())) is not told
