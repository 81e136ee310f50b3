"""The plugin as a whole: its contract with the core, its documents, and both sides of a node."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import drakit_neuron
import pytest
from drakit import PluginContext
from drakit.decoding import read_yaml
from drakit.host import PluginHost
from drakit.inventory import begin, finish, with_groups
from drakit.loading import inspect
from drakit.testing import lay_out
from drakit_efa.plugin import EfaPlugin
from drakit_neuron.plugin import NeuronPlugin

SOURCES = sorted(Path(drakit_neuron.__file__).parent.glob("*.py"))
EXAMPLE = Path(__file__).parents[2] / "docs/examples/aligned-efa-neuron.yaml"


def survey(root):
    """One round over a node with both plugins, as the agent makes it."""
    host = PluginHost()
    for plugin in (inspect("neuron", NeuronPlugin), inspect("efa", EfaPlugin)):
        driver = plugin.declarations.driver_name
        host.add(driver, plugin, PluginContext(driver=driver, node="node-1", pool="node-1", root=root))
    found = {driver: host.discover(driver) for driver in ("neuron.aws.com", "dra.net")}
    current = begin("node-1", found)
    said = {
        instance.name: host.devicegroups(instance.name, current.inventory)
        for instance in host.implementing("devicegroups")
    }
    return finish(with_groups(current, said))


@pytest.mark.parametrize(
    ("node_type", "adapters"),
    [
        ("trn1.32xlarge", 8),
        ("trn1n.32xlarge", 16),
        ("trn2.48xlarge", 16),
        ("trn2e.48xlarge", 16),
        ("trn3.48xlarge", 16),
    ],
)
def test_both_sides_of_a_node_carry_the_same_groups(tmp_path, node_type, adapters):
    layout = lay_out(node_type, tmp_path, [inspect("neuron", NeuronPlugin), inspect("efa", EfaPlugin)])
    assert layout.problems == ()
    found = survey(tmp_path)
    assert found.problems == ()
    ((neurons,), (efas,)) = found.pools["neuron.aws.com"], found.pools["dra.net"]
    assert (len(neurons.devices), len(efas.devices)) == (16, adapters)
    for size in (1, 4, 8, 16):
        name = f"resource.aws.com/devicegroup{size}_id"
        values = [[device.attributes[name] for device in pool.devices] for pool in (neurons, efas)]
        assert set(values[0]) == set(values[1])
        # Small claims fill one group first: both pools open the groups in the same order.
        assert list(dict.fromkeys(values[0])) == list(dict.fromkeys(values[1]))


def test_a_type_without_adapters_is_published_without_groups(tmp_path):
    lay_out("trn1.2xlarge", tmp_path, [inspect("neuron", NeuronPlugin), inspect("efa", EfaPlugin)])
    found = survey(tmp_path)
    assert found.problems == ()
    assert found.groups == ()
    assert len(found.inventory) == 1


def test_the_plugin_keeps_to_the_public_api_and_knows_no_other_plugin():
    for source in SOURCES:
        # What a scenario of the demo is, the test kit says.
        allowed = {"drakit", "drakit.errors", *(["drakit.testing"] if source.name == "scenarios.py" else [])}
        for node in ast.walk(ast.parse(source.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.partition(".")[0]
                assert not top.startswith("drakit") or name in allowed or top == "drakit_neuron", (source.name, name)


def test_loading_the_plugin_loads_no_other_one():
    script = "import sys, drakit_neuron.plugin; sys.exit(any(m.startswith('drakit_efa') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_its_device_class_selects_by_its_driver():
    (document,) = read_yaml(NeuronPlugin.data / "deviceclasses/neuron.aws.com.yaml")
    assert (document["apiVersion"], document["kind"]) == ("resource.k8s.io/v1", "DeviceClass")
    assert document["metadata"]["name"] == NeuronPlugin.driver_name
    assert [s["cel"]["expression"] for s in document["spec"]["selectors"]] == ['device.driver == "neuron.aws.com"']


def test_the_example_asks_for_four_of_each_in_one_group():
    assert EXAMPLE.is_symlink()
    template, pod = read_yaml(EXAMPLE)
    spec = template["spec"]["spec"]["devices"]
    asked = {r["name"]: (r["exactly"]["deviceClassName"], r["exactly"]["count"]) for r in spec["requests"]}
    assert asked == {"4-neurons": ("neuron.aws.com", 4), "4-efas": ("efa.networking.k8s.aws", 4)}
    (constraint,) = spec["constraints"]
    assert constraint == {"requests": list(asked), "matchAttribute": "resource.aws.com/devicegroup4_id"}
    assert (template["metadata"]["name"], pod["metadata"]["name"]) == ("aligned-efa-neuron", "neuron-inference-worker")
    (claim,) = pod["spec"]["resourceClaims"]
    assert claim["resourceClaimTemplateName"] == template["metadata"]["name"]
    assert pod["spec"]["containers"][0]["resources"]["claims"] == [{"name": claim["name"]}]
