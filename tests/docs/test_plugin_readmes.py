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
from drakit_neuron.configuration import NeuronConfig
from drakit_neuron.plugin import NeuronPlugin

PLUGINS = Path(__file__).parents[2] / "plugins"
LABELS = {f"topology.k8s.aws/network-node-layer-{layer}": f"nn-{layer}" for layer in (1, 2, 3)}
HARDWARE = {"neuron": NeuronPlugin, "efa": EfaPlugin}


def readme(name):
    return (PLUGINS / name / "README.md").read_text()


def yaml_blocks(name):
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", readme(name), re.DOTALL)]


def published(name, root):
    """Every attribute of the plugin's devices, the groups it makes included."""
    loaded = inspect(name, HARDWARE[name])
    driver, host = loaded.declarations.driver_name, PluginHost()
    host.add(driver, loaded, PluginContext(driver=driver, node="n", pool="n", root=root, node_labels=LABELS))
    pools = host.discover(driver)
    inventory = begin("n", {driver: pools}).inventory
    groups = host.devicegroups(driver, inventory) if "devicegroups" in loaded.hooks else ()
    own = {attribute for pool in pools for device in pool.devices for attribute in device.attributes}
    return own | {group.attribute for group in groups}


@pytest.mark.parametrize("name", HARDWARE)
def test_every_published_attribute_is_in_the_table(name, tmp_path):
    rows = [line.split("|")[1] for line in readme(name).splitlines() if line.startswith("| `")]
    named = {attribute for row in rows for attribute in re.findall(r"`([^`]+)`", row)}
    found = published(name, lay_out("trn2.48xlarge", tmp_path / "root").root)
    assert len(found) > 8
    assert {attribute for attribute in found if not {attribute, attribute.rpartition("/")[2]} & named} == set()


def test_the_configuration_of_the_neuron_readme_is_one():
    ((entry,),) = [block["config"] for block in yaml_blocks("neuron")]
    parameters = entry["opaque"]["parameters"]
    assert (parameters.pop("apiVersion"), parameters.pop("kind")) == (NeuronConfig.api_version, NeuronConfig.kind)
    assert structure(NeuronConfig, parameters, "README") == NeuronConfig(1)


def test_the_options_of_the_efa_readme_are_some():
    ((backend,),) = [block["backends"] for block in yaml_blocks("efa")]
    assert structure(EfaOptions, backend["options"], "README") == EfaOptions(("0000:10:1b.0",))
