"""What the neuron backend publishes, and what a malformed tree costs."""

from __future__ import annotations

import shutil

import pytest

GRID = {"topology_x", "topology_y", "topology4_id", "topology8_id"}


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
    whole = devices(node.lay_out("inf2.24xlarge").plugin())
    file = node.root / path
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    plugin = node.plugin()
    devices(plugin)
    found = devices(plugin)
    lost = {attribute, *(["neuron.drakit/driverVersion"] if attribute == "neuronDriverVersion" else [])}
    assert {name: dict(device.attributes) for name, device in found.items()} == {
        name: {key: value for key, value in device.attributes.items() if key not in lost}
        for name, device in whole.items()
    }
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
