"""The options of the backend, and the instance types they add."""

from __future__ import annotations

import pytest
from drakit import Quantity
from drakit.errors import ConfigError
from drakit.settings import decode_options
from drakit_neuron.instances import ADAPTERS, INSTANCE_TYPES, Links, UltraServerDevices, instance_type
from drakit_neuron.options import NeuronOptions, known_instance

ENTRY = {"architecture": "Trn1", "devices": 2}
NEW = {"cores": 16, "memory": "288Gi", "logicalNeuronCore": [1, 2, 4]}
"""What an entry must say of a device, where the table does not know its architecture."""


def decoded(**options):
    return decode_options(NeuronOptions, options, "options")


def with_entry(**changes):
    return decoded(instances={"trn9.2xlarge": ENTRY | changes})


def test_without_options_all_is_as_aws_s_driver_has_it():
    options = decoded()
    assert options == NeuronOptions()
    assert (options.instances, options.core_sharing) == ({}, False)
    assert options.ultra_server_devices is UltraServerDevices.AS_TYPE


def test_an_entry_needs_an_architecture_and_a_number_and_the_architecture_says_the_rest():
    found = instance_type("trn9.2xlarge", with_entry().instances)
    assert (found.name, found.devices, found.grid, found.adapters, found.addresses) == (
        "trn9.2xlarge",
        2,
        False,
        (),
        (),
    )
    assert found.architecture == INSTANCE_TYPES["trn1.2xlarge"].architecture
    assert not found.ultra_server


def test_an_entry_may_say_everything():
    options = with_entry(
        devices=4,
        cores=4,
        memory="64Gi",
        logicalNeuronCore=[1, 2, 4],
        grid=True,
        adapters=[f"0000:10:1a.{number}" for number in range(4)],
        addresses=[f"0000:10:1c.{number}" for number in range(4)],
        links="ring",
        ultraServer="both",
    )
    found = instance_type("trn9.2xlarge", options.instances)
    assert (found.architecture.cores, found.architecture.memory) == (4, Quantity("64Gi"))
    assert found.architecture.logical_core_sizes == (1, 2, 4)
    assert found.architecture.pci_devices == INSTANCE_TYPES["trn1.2xlarge"].architecture.pci_devices
    assert found.grid
    assert found.adapters == tuple(f"0000:10:1a.{number}" for number in range(4))
    assert found.addresses == tuple(f"0000:10:1c.{number}" for number in range(4))
    assert found.links is Links.RING
    assert found.ultra_server is UltraServerDevices.BOTH


def test_a_generation_that_is_not_in_the_table_is_described_by_an_entry_as_a_whole(node, devices):
    node.lay_out("trn2.3xlarge")
    (node.root / "sys/devices/virtual/dmi/id/product_name").write_text("trn9.3xlarge\n")
    (node.device_dir(0) / "info/architecture/instance_type").write_text("Trn9\n")
    (node.device_dir(0) / "core_count").unlink()
    entry = {"architecture": "Trn9", "devices": 1, **NEW}
    (device,) = devices(node.plugin(options=decoded(instances={"trn9.3xlarge": entry}))).values()
    own = {name.removeprefix("neuron.drakit/"): value for name, value in device.attributes.items()}
    assert (own["architecture"], own["physicalCores"], own["logicalCores"]) == ("Trn9", 16, 4)
    assert own["logicalCoreSizes"] == "1,2,4"
    assert device.capacity["neuron.drakit/memory"] == Quantity("288Gi")
    # Which PCI devices it is nobody has said: what the kernel module drives.
    assert "resource.kubernetes.io/pciBusID" in device.attributes
    assert node.warnings() == []


@pytest.mark.parametrize("driven", [True, False])
def test_an_address_of_a_new_generation_is_believed_where_the_kernel_module_drives_it(node, devices, driven):
    node.lay_out("trn2.48xlarge")
    (node.root / "sys/devices/virtual/dmi/id/product_name").write_text("trn9.48xlarge\n")
    addresses = list(INSTANCE_TYPES["trn2.48xlarge"].addresses)
    for number in range(16):
        (node.device_dir(number) / "info/architecture/instance_type").write_text("Trn9\n")
    if not driven:
        (node.root / "sys/bus/pci/drivers/neuron-driver" / addresses[5]).unlink()
    entry = {"architecture": "Trn9", "devices": 16, "addresses": addresses, **NEW}
    found = devices(node.plugin(options=decoded(instances={"trn9.48xlarge": entry})))
    shown = [device.attributes.get("resource.kubernetes.io/pciBusID") for device in found.values()]
    assert shown == [address if driven or number != 5 else None for number, address in enumerate(addresses)]


def test_an_entry_may_name_a_family_for_its_groups():
    options = decoded(instances={"trn9.48xlarge": {"architecture": "Trn2", "devices": 16, "groups": "trn2"}})
    assert instance_type("trn9.48xlarge", options.instances).adapters == ADAPTERS["trn2"]


def test_an_entry_replaces_a_known_type_as_a_whole():
    options = decoded(instances={"trn2.48xlarge": {"architecture": "Trn2", "devices": 8}})
    found = instance_type("trn2.48xlarge", options.instances)
    assert (found.devices, found.adapters, found.addresses) == (8, (), ())
    assert INSTANCE_TYPES["trn2.48xlarge"].devices == 16


@pytest.mark.parametrize("name", ["trn1.32xlarge", "inf2.48xlarge"])
def test_sagemaker_s_names_stand_for_the_same_hardware(name):
    assert instance_type(f"ml.{name}", {}) is INSTANCE_TYPES[name]


def test_a_name_that_is_nowhere_is_not_known(node):
    assert instance_type("trn9.48xlarge", {}) is None
    assert known_instance(node.context(options=with_entry()), "trn9.2xlarge") is not None


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"architecture": "Trn9"}, ["architecture", "'Trn9'", "Trn1, Inf2, Trn2, Trn3", "memory", "logicalNeuronCore"]),
        ({"architecture": "Trn9", "cores": 8, "memory": "9Gi"}, ["'Trn9'", "logicalNeuronCore"]),
        ({"architecture": "Trn9", "cores": 8, "memory": "9Gi", "logicalNeuronCore": [3]}, ["logicalNeuronCore", "3"]),
        ({"architecture": "Trn 9!", **NEW}, ["architecture", "'Trn 9!'", "sysfs"]),
        ({"grid": True}, ["grid", "rows of 4", "2 devices"]),
        ({"grid": True, "devices": 10}, ["grid", "multiple of 4", "10 devices"]),
        ({"links": "star"}, ["links", "none, line, ring, torus", "'star'"]),
        ({"links": "torus"}, ["links", "4 rows of 4", "2 here"]),
        ({"links": "ring"}, ["links", "3 devices", "2 here"]),
        ({"links": "line", "devices": 1}, ["links", "2 devices", "1 here"]),
        ({"architecture": 1}, ["architecture", "string"]),
        ({"devices": 0}, ["devices", "1 to 64"]),
        ({"devices": 65}, ["devices", "1 to 64"]),
        ({"devices": "2"}, ["devices", "integer"]),
        ({"cores": -1}, ["cores"]),
        ({"memory": "lots"}, ["memory", "'lots'"]),
        ({"memory": "-1Gi"}, ["memory", "96Gi"]),
        ({"logicalNeuronCore": [3]}, ["logicalNeuronCore", "3"]),
        ({"logicalNeuronCore": [0]}, ["logicalNeuronCore", "0"]),
        ({"groups": "trn9"}, ["groups", "'trn9'", "trn1n"]),
        ({"groups": "trn1"}, ["groups", "16", "2 devices"]),
        ({"groups": "trn1", "adapters": ["0000:10:1a.0"] * 2}, ["groups", "adapters", "keep one"]),
        ({"adapters": ["0000:10:1a.0"]}, ["adapters", "2 devices"]),
        ({"addresses": ["0000:10:1A.0", "0000:10:1b.0"]}, ["addresses", "0000:10:1A.0", "lower case"]),
        ({"addresses": ["0000:10:1a.0"] * 2}, ["addresses", "0000:10:1a.0", "twice"]),
        ({"addresses": "0000:10:1a.0"}, ["addresses", "list"]),
        ({"ultraServer": "yes"}, ["ultraServer", "node, devices, both"]),
        ({"ultraServer": True}, ["ultraServer"]),
        ({"numa": 1}, ["'numa'", "known keys"]),
    ],
)
def test_a_bad_entry_is_refused_with_its_key_and_what_it_may_be(changes, names):
    with pytest.raises(ConfigError) as refused:
        with_entry(**changes)
    message = str(refused.value)
    assert "instances.trn9.2xlarge" in message
    for name in names:
        assert name in message


@pytest.mark.parametrize(
    "options",
    [{"ultraServerDevices": "all"}, {"coreSharing": "yes"}, {"instances": []}, {"instances": {"a": 1}}, {"x": 1}],
)
def test_bad_options_are_refused_with_their_key(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        decoded(**options)
