"""What the neuron backend publishes, and what a malformed tree costs."""

from __future__ import annotations

import shutil
from importlib import metadata

import pytest
from drakit import Version
from drakit_neuron.devices import semantic_version
from drakit_neuron.plugin import NeuronPlugin

LABELS = {f"topology.k8s.aws/network-node-layer-{layer}": f"nn-{layer}" for layer in (1, 2, 3)}
GRID = {"topology_x", "topology_y", "topology4_id", "topology8_id"}
PLACE = {"resource.kubernetes.io/pciBusID", "resource.kubernetes.io/numaNode"}


def common(node_type, number):
    return {
        "deviceId": number,
        "instanceType": node_type,
        "neuronDriverVersion": "2.30.2.0",
        "draDriverVersion": Version(metadata.version("drakit-neuron")),
        "resourceType": "neuron_device",
        "networkNodeLayer1": "nn-1",
        "networkNodeLayer2": "nn-2",
        "networkNodeLayer3": "nn-3",
    }


def grid(number):
    return {
        "topology_x": number // 4,
        "topology_y": number % 4,
        "topology4_id": number // 4,
        "topology8_id": number // 8,
    }


def typed(attributes):
    return {name: (type(value), value) for name, value in attributes.items()}


@pytest.mark.parametrize("node_type", ["trn1.32xlarge", "trn1n.32xlarge"])
def test_a_trn1_publishes_exactly_the_attributes_aws_publishes(node, devices, node_type):
    node.labels |= LABELS
    found = devices(node.lay_out(node_type).plugin())
    assert list(found) == [f"neuron-device-{number}" for number in range(16)]
    for number, device in enumerate(found.values()):
        assert typed(device.attributes) == typed(common(node_type, number) | grid(number))
        assert not device.capacity
        assert not device.taints
    assert node.warnings() == []


def test_a_trn2_publishes_them_too_and_its_published_pci_places(node, devices):
    node.labels |= LABELS
    found = devices(node.lay_out("trn2.48xlarge").plugin())
    assert len(found) == 16
    for number, device in enumerate(found.values()):
        own = {name: value for name, value in device.attributes.items() if name not in PLACE}
        assert typed(own) == typed(common("trn2.48xlarge", number) | grid(number))
    assert found["neuron-device-0"].attributes["resource.kubernetes.io/pciBusID"] == "0000:cc:00.0"
    assert found["neuron-device-15"].attributes["resource.kubernetes.io/pciBusID"] == "0000:f7:00.0"
    numa = [device.attributes["resource.kubernetes.io/numaNode"] for device in found.values()]
    assert numa == [1] * 4 + [0] * 8 + [1] * 4


@pytest.mark.parametrize(
    ("node_type", "count"),
    [
        ("trn1.2xlarge", 1),
        ("trn2.3xlarge", 1),
        ("inf2.xlarge", 1),
        ("inf2.8xlarge", 1),
        ("inf2.24xlarge", 6),
        ("inf2.48xlarge", 12),
        ("trn3.48xlarge", 16),
    ],
)
def test_types_that_are_no_grid_publish_the_common_attributes_only(node, devices, node_type, count):
    node.labels |= LABELS
    found = devices(node.lay_out(node_type).plugin())
    assert [typed(device.attributes) for device in found.values()] == [
        typed(common(node_type, number)) for number in range(count)
    ]


def test_an_ultraserver_node_publishes_devices_only_and_no_grid(node, devices):
    found = devices(node.lay_out("trn2u.48xlarge").plugin())
    assert len(found) == 16
    assert not GRID & set(found["neuron-device-3"].attributes)


def test_every_declared_node_type_can_be_laid_out_and_is_discovered_without_a_warning(node, devices, tmp_path):
    for node_type in NeuronPlugin.node_types:
        fresh = type(node)(tmp_path / node_type, node.told)
        assert devices(fresh.lay_out(node_type).plugin()), node_type
        assert fresh.warnings() == []


def test_a_layout_written_twice_is_the_same_tree(node, devices):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    before, functions = devices(plugin), plugin.layout("trn2.48xlarge", node.root)
    assert len(functions) == 16
    assert devices(plugin) == before


def test_an_instance_type_without_neuron_devices_lays_out_nothing(node):
    assert node.plugin().layout("m7i.large", node.root) == ()
    assert list(node.root.iterdir()) == []


def test_a_node_without_the_driver_has_an_empty_pool_and_no_warning(node, devices):
    assert devices(node.plugin()) == {}
    assert node.warnings() == []


def test_network_labels_that_come_late_are_published_when_they_come(node, devices):
    plugin = node.lay_out("trn1.2xlarge").plugin()
    assert "networkNodeLayer1" not in devices(plugin)["neuron-device-0"].attributes
    node.labels["topology.k8s.aws/network-node-layer-1"] = "nn-late"
    assert devices(plugin)["neuron-device-0"].attributes["networkNodeLayer1"] == "nn-late"


def test_an_unknown_instance_type_is_published_with_one_warning(node, devices):
    node.lay_out("trn1.32xlarge")
    (node.root / "sys/devices/virtual/dmi/id/product_name").write_text("trn9.96xlarge\n")
    plugin = node.plugin()
    found = devices(plugin)
    assert devices(plugin) == found
    assert len(found) == 16
    assert found["neuron-device-5"].attributes["instanceType"] == "trn9.96xlarge"
    assert not GRID & set(found["neuron-device-5"].attributes)
    (warning,) = node.warnings()
    assert "trn9.96xlarge" in warning


def test_missing_devices_leave_a_gap_and_change_no_other_device(node, devices):
    whole = devices(node.lay_out("trn1.32xlarge").plugin())
    for number in (0, 5, 6):
        node.remove(number)
    rest = devices(node.plugin())
    assert rest == {name: device for name, device in whole.items() if device.attributes["deviceId"] not in (0, 5, 6)}
    assert node.warnings() == []


@pytest.mark.parametrize("instead", ["nothing", "a file", "a circle"])
def test_a_device_that_is_no_directory_costs_itself_only_and_is_named_once(node, devices, instead):
    node.lay_out("trn1.32xlarge")
    shutil.rmtree(node.device_dir(7))
    if instead == "a file":
        node.device_dir(7).write_text("garbage\n")
    if instead == "a circle":
        node.device_dir(7).symlink_to("neuron7")
    plugin = node.plugin()
    for _ in range(3):
        assert len(devices(plugin)) == 15
    (warning,) = node.warnings()
    assert "neuron7" in warning


def test_a_problem_that_goes_and_comes_back_is_named_again(node, devices):
    node.lay_out("trn1.32xlarge")
    shutil.move(node.device_dir(7), node.root / "aside")
    plugin = node.plugin()
    devices(plugin)
    shutil.move(node.root / "aside", node.device_dir(7))
    devices(plugin)
    shutil.rmtree(node.device_dir(7))
    devices(plugin)
    assert len(node.warnings()) == 2


def test_files_beside_the_devices_are_no_devices(node, devices):
    node.lay_out("trn1.2xlarge")
    for name in ("neuron", "neuron1x", "neuron01", "neuronX", "xneuron1", "neuron99999999999999999999"):
        (node.root / "sys/class/neuron_device" / name).mkdir()
    assert list(devices(node.plugin())) == ["neuron-device-0"]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"2.26\n\x07", b"9" * 500])
@pytest.mark.parametrize(
    ("path", "attribute"),
    [
        ("sys/module/neuron/version", "neuronDriverVersion"),
        ("sys/devices/virtual/dmi/id/product_name", "instanceType"),
    ],
)
def test_a_bad_file_costs_its_attribute_only(node, devices, path, attribute, content):
    node.lay_out("inf2.48xlarge")
    file = node.root / path
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    plugin = node.plugin()
    devices(plugin)
    found = devices(plugin)
    assert len(found) == 12
    for number, device in enumerate(found.values()):
        expected = common("inf2.48xlarge", number)
        assert typed(device.attributes) == typed(
            {k: v for k, v in expected.items() if k != attribute and not k.startswith("network")}
        )
    (warning,) = node.warnings()
    assert f"/{path}" in warning
    assert attribute in warning
    assert "Error" not in warning


def test_a_file_that_cannot_be_read_costs_its_attribute_only(node, devices):
    node.lay_out("trn1.2xlarge")
    version = node.root / "sys/module/neuron/version"
    version.unlink()
    version.mkdir()  # root may read any file, but nobody a directory
    assert "neuronDriverVersion" not in devices(node.plugin())["neuron-device-0"].attributes
    assert len(node.warnings()) == 1


@pytest.mark.parametrize(("name", "content"), [("vendor", "0x10de\n"), ("device", "0x7164\n"), ("device", "garbage\n")])
def test_a_pci_place_that_the_bus_does_not_confirm_is_not_published(node, devices, name, content):
    node.lay_out("trn2.48xlarge")
    (node.root / "sys/bus/pci/devices/0000:b5:00.0" / name).write_text(content)
    found = devices(node.plugin())
    assert len(found) == 16
    assert [n for n, device in found.items() if not set(device.attributes) >= PLACE] == ["neuron-device-1"]
    (warning,) = node.warnings()
    assert "neuron1" in warning


@pytest.mark.parametrize("content", ["-1\n", "none\n"])
def test_a_numa_node_the_kernel_does_not_know_is_absent(node, devices, content):
    node.lay_out("trn2.48xlarge")
    (node.root / "sys/bus/pci/devices/0000:cc:00.0/numa_node").write_text(content)
    attributes = devices(node.plugin())["neuron-device-0"].attributes
    assert "resource.kubernetes.io/numaNode" not in attributes
    assert attributes["resource.kubernetes.io/pciBusID"] == "0000:cc:00.0"


@pytest.mark.parametrize(
    ("python", "semver"),
    [("0.1.0", "0.1.0"), ("1.2.3rc1", "1.2.3-rc1"), ("1.2.3.dev4", "1.2.3-dev4"), ("1.2.3+local.5", "1.2.3+local.5")],
)
def test_the_drivers_version_is_a_semantic_one(python, semver):
    assert semantic_version(python).text == semver
