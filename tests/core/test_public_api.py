"""The names third parties build on. A change here is a change of the public API, and is meant to be seen."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import drakit
import pytest

PUBLIC = """
    ALL_NODES PER_DEVICE THIS_NODE AllocatedDevice AttributeValue BindingConditions ClaimAllocation ClaimError
    ClaimRef Condition ConditionStatus ConfigSource ContainerEdits ContainerHook CounterConsumption CounterSet
    DRAError DescribedDevice Device DeviceGroup DeviceNode DeviceRef DeviceStatus DeviceUnfit Fault FaultEnd Finding
    Health HealthStatus Hold InvalidDeviceConfig Inventory Mount NetworkData NodeSelection NodeSelector
    NodeSelectorRequirement OpaqueConfig PciFunction PluginContext Pool PreparedDevice Quantity RequestPolicy
    Severity SharePolicy Taint TaintEffect Toleration TolerationOperator ValidRange Version hookimpl pci_attributes
    read_document AtMost Between Each EachKey Length Matches NoneOf OneOf
"""


def test_the_public_names_are_these_and_no_others():
    assert set(drakit.__all__) == set(PUBLIC.split())


def test_every_public_name_is_there_once_and_described():
    assert len(set(drakit.__all__)) == len(drakit.__all__)
    for name in drakit.__all__:
        value = getattr(drakit, name)
        assert not isinstance(value, type) or value.__doc__, name


def test_the_package_is_imported_without_what_it_names():
    code = "import sys, drakit; sys.exit(', '.join({'attrs', 'logging', 'drakit.model'} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_public_names_are_listed_and_what_is_not_public_is_no_attribute():
    assert set(drakit.__all__) <= set(dir(drakit))
    with pytest.raises(AttributeError, match="'drakit' has no attribute 'Absent'"):
        _ = drakit.Absent


def test_type_checkers_find_each_public_name_where_it_is():
    tree = ast.parse(Path(drakit.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    homes = {name.name: node.module for node in block.body for name in node.names}
    assert homes.keys() == set(drakit.__all__)
    for name, module in homes.items():
        assert getattr(drakit, name) is getattr(importlib.import_module(module), name)


def test_importing_the_public_api_loads_no_heavy_package():
    heavy = "{'grpc', 'google.protobuf', 'kubernetes', 'click', 'rich', 'stevedore', 'pytest'}"
    code = f"import sys; from drakit import *; sys.exit(', '.join({heavy} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
