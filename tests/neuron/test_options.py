"""The options of the backend, and the instance types they add."""

from __future__ import annotations

import pytest
from drakit import Quantity
from drakit.errors import ConfigError
from drakit.settings import decode_options
from drakit_neuron.instances import ADAPTERS, INSTANCE_TYPES, UltraServerDevices, instance_type
from drakit_neuron.options import NeuronOptions, known_instance

ENTRY = {"architecture": "Trn1", "devices": 2}


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
        cores=4,
        memory="64Gi",
        logicalNeuronCore=[1, 2, 4],
        grid=True,
        adapters=["0000:10:1a.0", "0000:10:1b.0"],
        addresses=["0000:10:1c.0", "0000:10:1d.0"],
        ultraServer="both",
    )
    found = instance_type("trn9.2xlarge", options.instances)
    assert (found.architecture.cores, found.architecture.memory) == (4, Quantity("64Gi"))
    assert found.architecture.logical_core_sizes == (1, 2, 4)
    assert found.architecture.pci_devices == INSTANCE_TYPES["trn1.2xlarge"].architecture.pci_devices
    assert found.grid
    assert found.adapters == ("0000:10:1a.0", "0000:10:1b.0")
    assert found.addresses == ("0000:10:1c.0", "0000:10:1d.0")
    assert found.ultra_server is UltraServerDevices.BOTH


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
        ({"architecture": "Trn9"}, ["architecture", "'Trn9'", "Trn1, Inf2, Trn2, Trn3"]),
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
