"""Mock devices that stand for PCI functions of the node."""

from __future__ import annotations

from collections import Counter

import pytest
from drakit.errors import ConfigError, PluginLoadError
from drakit.loading import inspect
from drakit.testing import lay_out
from drakit_mock.hardware import NODES
from drakit_mock.plugin import MockPlugin

MOCK = inspect("mock", MockPlugin)
PCIE_ROOT = "resource.kubernetes.io/pcieRoot"
GPUS = {"vendor": 0x10DE, "classCode": 0x030200}
EIGHT_GPUS = sorted(path.stem for path in NODES.iterdir() if path.stem != "generic-gpu-nic")
PER_ROOT = {"p4d": 2, "p4de": 2, "p5": 1, "p5e": 1, "p5en": 2, "p6-b200": 2, "p6-b300": 1, "g6e": 4}


@pytest.fixture
def on(tmp_path, drivers):
    """A driver with such a profile, on a node of a type."""

    def on(node_type, **options):
        lay_out(node_type, tmp_path, [MOCK])
        (driver,) = drivers(root=tmp_path, gpu=options)
        return driver

    return on


@pytest.mark.parametrize("node_type", EIGHT_GPUS)
def test_every_gpu_of_a_faked_node_is_a_device_below_its_root(on, node_type):
    devices = on(node_type, profile="nvidia-gpu").pool().devices
    assert len(devices) == 8
    roots = Counter(device.attributes[PCIE_ROOT] for device in devices)
    assert set(roots.values()) == {PER_ROOT[node_type.partition(".")[0]]}
    for device in devices:
        assert device.attributes["resource.kubernetes.io/numaNode"] in range(4)
        address = device.attributes["resource.kubernetes.io/pciBusID"]
        assert device.name == f"gpu-{address.replace(':', '-').replace('.', '-')}"
        assert device.attributes["type"] == "gpu"


def test_a_node_without_such_functions_has_none_of_these_devices(on, drivers, tmp_path):
    assert on("generic-gpu-nic", profile="nvidia-gpu").pool().devices == ()
    (elsewhere,) = drivers(root=tmp_path / "nothing", gpu={"profile": "nvidia-gpu"})
    assert elsewhere.pool().devices == ()


@pytest.mark.parametrize(("ids", "count"), [({"device": 0x20B0}, 8), ({"device": 0x2330}, 0), ({"classCode": 0}, 0)])
def test_each_id_that_is_given_must_be_the_functions(on, ids, count):
    profile = {"devices": [{"name": "gpu-{place}", "functions": {"vendor": 0x10DE, **ids}}]}
    assert len(on("p4d.24xlarge", inline=profile).pool().devices) == count


def test_what_a_profile_says_of_an_attribute_goes_over_what_the_function_says(on):
    attributes = {PCIE_ROOT: "pci0000:01", "address": "{address}"}
    profile = {"devices": [{"name": "gpu-{place}", "functions": GPUS, "attributes": attributes}]}
    devices = on("p4d.24xlarge", inline=profile).pool().devices
    assert {device.attributes[PCIE_ROOT] for device in devices} == {"pci0000:01"}
    assert devices[0].attributes["address"] == "0000:10:1c.0"


def test_a_function_that_goes_takes_its_device_along_and_the_others_keep_their_names(on, tmp_path):
    driver = on("p5.48xlarge", profile="nvidia-gpu")
    before = [device.name for device in driver.pool().devices]
    (tmp_path / "sys/bus/pci/devices/0000:64:00.0").unlink()
    left = [name for name in before if "64" not in name]
    assert [health.device.name for health in driver.host.health(driver.name)] == left
    assert driver.changes, "health finds it out, and has the core discover"
    assert [device.name for device in driver.pool().devices] == left


def test_functions_beside_a_count_are_refused(on):
    profile = {"devices": [{"name": "gpu-{place}", "functions": GPUS, "count": 2}]}
    with pytest.raises(ConfigError, match="functions beside count"):
        on("p4d.24xlarge", inline=profile)


def test_placeholders_of_a_function_are_named_where_another_is_used(on):
    with pytest.raises(PluginLoadError, match=r"\{index\}.*placeholders: \{address\}, \{place\}"):
        on("p4d.24xlarge", inline={"devices": [{"name": "gpu-{index}", "functions": GPUS}]})
