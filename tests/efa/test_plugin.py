"""The plugin as a whole: its contract with the core and its documents."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import drakit_efa
from drakit.decoding import read_yaml
from drakit.loading import inspect
from drakit_efa.plugin import EfaPlugin

SOURCES = sorted(Path(drakit_efa.__file__).parent.glob("*.py"))


def test_it_declares_itself_without_being_constructed():
    declared = inspect("efa", EfaPlugin).declarations
    assert declared.driver_name == "dra.net"
    assert not declared.side_effects
    assert {"p5.48xlarge", "trn2.48xlarge"} <= set(declared.node_types)


def test_the_plugin_keeps_to_the_public_api_and_knows_no_other_plugin():
    for source in SOURCES:
        allowed = {"drakit", "drakit.errors", *(["drakit.testing"] if source.name == "scenarios.py" else [])}
        for node in ast.walk(ast.parse(source.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.partition(".")[0]
                assert not top.startswith("drakit") or name in allowed or top == "drakit_efa", (source.name, name)


def test_loading_the_plugin_loads_no_other_one():
    script = "import sys, drakit_efa.plugin; sys.exit(any(m.startswith('drakit_neuron') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_its_device_class_asks_before_it_reads():
    (document,) = read_yaml(EfaPlugin.data / "deviceclasses/efa.networking.k8s.aws.yaml")
    assert (document["apiVersion"], document["kind"]) == ("resource.k8s.io/v1", "DeviceClass")
    assert document["metadata"]["name"] == "efa.networking.k8s.aws"
    (expression,) = [selector["cel"]["expression"] for selector in document["spec"]["selectors"]]
    guard, _, condition = expression.partition(" && ")
    assert guard == '"pciDevice" in device.attributes["dra.net"]'
    assert condition == 'device.attributes["dra.net"].pciDevice == "Elastic Fabric Adapter (EFA)"'
