"""The names third parties build on. A change here is a change of the public API, and is meant to be seen."""

from __future__ import annotations

import subprocess
import sys

import drakit

PUBLIC = """
    ALL_NODES PER_DEVICE THIS_NODE AllocatedDevice AttributeValue BindingConditions ClaimAllocation ClaimError
    ClaimRef Condition ConditionStatus ConfigSource ContainerEdits ContainerHook CounterConsumption CounterSet
    DRAError Device DeviceGroup DeviceNode DeviceRef DeviceStatus Health HealthStatus InvalidDeviceConfig Inventory
    Mount NetworkData NodeSelection NodeSelector NodeSelectorRequirement OpaqueConfig PciFunction PluginContext Pool
    PreparedDevice Quantity RequestPolicy SharePolicy Taint TaintEffect ValidRange Version hookimpl read_document
    pci_attributes
"""


def test_the_public_names_are_these_and_no_others():
    assert set(drakit.__all__) == set(PUBLIC.split())


def test_every_public_name_is_there_once_and_described():
    assert len(set(drakit.__all__)) == len(drakit.__all__)
    for name in drakit.__all__:
        value = getattr(drakit, name)
        assert not isinstance(value, type) or value.__doc__, name


def test_importing_the_public_api_loads_no_heavy_package():
    heavy = "{'grpc', 'google.protobuf', 'kubernetes', 'click', 'rich', 'stevedore', 'pytest'}"
    code = f"import sys, drakit; sys.exit(', '.join({heavy} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
