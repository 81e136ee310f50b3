"""The plugin as a whole: its contract with the core and its documents."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import drakit_efa
import pytest
from drakit import Device
from drakit.decoding import read_yaml
from drakit.loading import inspect
from drakit.plan.cel import compile_selector
from drakit_efa.plugin import EfaPlugin

DEVICE_CLASS = EfaPlugin.data / "deviceclasses/efa.networking.k8s.aws.yaml"
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


EFA_NAME = "Elastic Fabric Adapter (EFA)"


def test_its_device_class_is_one_expression_under_the_name_that_aws_gives_it():
    (document,) = read_yaml(DEVICE_CLASS)
    assert (document["apiVersion"], document["kind"]) == ("resource.k8s.io/v1", "DeviceClass")
    assert document["metadata"]["name"] == "efa.networking.k8s.aws"
    assert len(document["spec"]["selectors"]) == 1


@pytest.mark.parametrize("driver", ["dra.net", "efa.example.com"])
@pytest.mark.parametrize(
    ("attributes", "is_efa"),
    [
        ({"dra.net/pciDevice": EFA_NAME, "dra.net/rdma": True}, True),
        ({"dra.net/pciDevice": "Elastic Network Adapter (ENA)"}, False),
        ({"dra.net/ifName": "eth1", "dra.net/mtu": 9001}, False),  # a virtual interface, as DRANET publishes them
        ({"example.com/pciDevice": EFA_NAME}, False),
        ({}, False),
    ],
)
def test_its_device_class_passes_over_devices_that_lack_what_it_reads(driver, attributes, is_efa):
    """An expression that fails is an error for the whole claim, whichever device it fails for."""
    (document,) = read_yaml(DEVICE_CLASS)
    (selector,) = document["spec"]["selectors"]
    assert compile_selector(selector["cel"]["expression"]).matches(Device("one", attributes), driver) is is_efa
