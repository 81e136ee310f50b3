"""Opaque configuration: what it becomes in a container, and what is refused."""

from __future__ import annotations

import pytest
from drakit import InvalidDeviceConfig
from drakit_neuron.instances import InstanceEntry
from drakit_neuron.options import NeuronOptions


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("node_type", ["trn2.48xlarge", "trn2.3xlarge", "trn3.48xlarge"])
def test_the_size_of_logical_cores_is_environment(node, record, claim_of, core_size, environments, node_type, size):
    prepared = record.prepare(node.lay_out(node_type).plugin(), claim_of(0, configs=[core_size(size)]))
    assert environments(prepared) == [{"NEURON_LOGICAL_NC_CONFIG": str(size)}]


def test_of_two_configurations_of_a_kind_the_last_counts(node, record, claim_of, core_size, environments):
    prepared = record.prepare(node.lay_out("trn2.48xlarge").plugin(), claim_of(0, configs=[core_size(1), core_size(2)]))
    assert environments(prepared) == [{"NEURON_LOGICAL_NC_CONFIG": "2"}]


@pytest.mark.parametrize("node_type", ["trn1.2xlarge", "trn1.32xlarge", "inf2.48xlarge"])
@pytest.mark.parametrize("size", [1, 2])
def test_hardware_with_one_core_size_refuses_any_and_says_which_has_several(
    node, record, claim_of, core_size, environments, node_type, size
):
    plugin = node.lay_out(node_type).plugin()
    with pytest.raises(InvalidDeviceConfig, match=rf"cannot be set on {node_type}.*Trn2 or Trn3"):
        record.prepare(plugin, claim_of(0, configs=[core_size(size)]))


def test_of_an_unknown_type_the_device_itself_says_what_it_can(node, record, claim_of, core_size, environments):
    node.lay_out("trn2.48xlarge")
    (node.root / "sys/devices/virtual/dmi/id/product_name").write_text("trn2x.96xlarge\n")
    claim = claim_of(0, configs=[core_size(1)])
    assert environments(record.prepare(node.plugin(), claim)) == [{"NEURON_LOGICAL_NC_CONFIG": "1"}]
    (node.device_dir(0) / "info/architecture/instance_type").unlink()
    with pytest.raises(InvalidDeviceConfig, match=r"trn2x\.96xlarge"):
        record.prepare(node.plugin(), claim)


def test_one_claim_with_two_sizes_is_refused_naming_both_requests(node, record, claim_of, core_size, environments):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    with pytest.raises(InvalidDeviceConfig, match=r"'request-0' and 'request-1'.*NEURON_LOGICAL_NC_CONFIG"):
        record.prepare(plugin, claim_of(0, 1, configs={0: [core_size(1)], 1: [core_size(2)]}))


def test_two_claims_with_two_sizes_live_side_by_side(node, record, claim_of, core_size, environments):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    one, two = (record.prepare(plugin, claim_of(size, configs=[core_size(size)])) for size in (1, 2))
    assert environments(one) + environments(two) == [
        {"NEURON_LOGICAL_NC_CONFIG": "1"},
        {"NEURON_LOGICAL_NC_CONFIG": "2"},
    ]


NEURON = {"apiVersion": "neuron.aws.com/v1", "kind": "NeuronConfig"}
ULTRASERVER = {"apiVersion": "neuron.aws.com/v1", "kind": "UltraServerConfig"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (NEURON | {"logicalNeuronCore": 3}, r"logicalNeuronCore must be one of 1, 2, not 3"),
        (NEURON | {"logicalNeuronCore": "1"}, r"logicalNeuronCore: must be an integer, not '1'"),
        (NEURON | {"logicalNeuronCore": True}, r"logicalNeuronCore: must be an integer, not True"),
        (ULTRASERVER | {"ultraserverMode": 3}, r"ultraserverMode must be one of 1, 2, 4, not 3"),
        (NEURON | {"logicalNeuronCore": 1, "logicalNeuronCoreCount": 1}, r"unknown key 'logicalNeuronCoreCount'"),
        (NEURON, r"missing key 'logicalNeuronCore'"),
        (NEURON | {"apiVersion": "neuron.aws.com/v2"}, r"this driver takes NeuronConfig of neuron.aws.com/v1"),
        (NEURON | {"kind": "Other"}, r"kind 'Other'"),
    ],
)
def test_a_bad_configuration_is_refused_in_the_words_of_the_claim(claim_of, document, message):
    with pytest.raises(InvalidDeviceConfig, match=message):
        claim_of(0, configs=[document])


def test_a_type_from_the_options_has_the_core_sizes_they_say(node, record, claim_of, core_size, environments):
    node.lay_out("trn1.2xlarge")
    claim = claim_of(0, configs=[core_size(2)])
    with pytest.raises(InvalidDeviceConfig, match=r"cannot be set on trn1\.2xlarge"):
        record.prepare(node.plugin(), claim)
    entry = InstanceEntry(architecture="Trn2", devices=1)
    plugin = node.plugin(options=NeuronOptions(instances={"trn1.2xlarge": entry}))
    assert environments(record.prepare(plugin, claim)) == [{"NEURON_LOGICAL_NC_CONFIG": "2"}]


def test_whoever_only_looks_on_is_told_nothing(node, record, claim_of, core_size, environments):
    claim = claim_of(0, 1, configs={0: [core_size(1)], 1: [core_size(2)]}, admin_access=True)
    assert environments(record.prepare(node.lay_out("trn2.48xlarge").plugin(), claim)) == [{}, {}]
