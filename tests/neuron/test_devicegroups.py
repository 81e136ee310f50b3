"""The groups equal those that AWS's drivers publish, on both sides."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import pytest
from drakit import Device, DeviceRef, Inventory
from drakit_neuron.instances import INSTANCE_TYPES, InstanceEntry
from drakit_neuron.options import NeuronOptions
from drakit_neuron.topology import ATTRIBUTES, device_groups, slots
from hypothesis import given
from hypothesis import strategies as st

PREFIX = "resource.aws.com/devicegroup"
PAIRS = "neuron.drakit/devicegroup2_id"

# By family: a type of it, the ids of its groups of four and eight by rank, and the id of all sixteen.
PUBLISHED = {
    "trn1": (
        "trn1.32xlarge",
        ["88a3c6ad1661fe1d", "69b2225fd72a59dd", "e3c29faa0cd11323", "178a9e264a26793e"],
        ["86c451036f622685", "aa86c05423d6e8cd"],
        "fb838249c99a6341",
    ),
    "trn1n": (
        "trn1n.32xlarge",
        ["f9415ac86580cd2a", "81d377c56bbb18dd", "e367b751fc858d72", "6b9b077320083e11"],
        ["25ab6fa8d56db17d", "feac12f490fb3cba"],
        "9ea13cbe1ff23763",
    ),
    "trn2": (
        "trn2.48xlarge",
        ["13713e551cd37c19", "671622785349fddf", "237e3ef7b968b4d3", "b3d6ce1919d29f8f"],
        ["3593812b8066a078", "614e16dab9ba2f1f"],
        "821d14afaf11327d",
    ),
    "trn3": (
        "trn3.48xlarge",
        ["68ac040ea32655a7", "1c060eef5f3a4fe1", "68e7529909eadc38", "11626cfcde6dcac3"],
        ["bafc439bf9664feb", "629b2570d9887aaf"],
        "31980acd145f7025",
    ),
    "trn3pds": (
        "trn3-dev0.48xlarge",
        ["68ac040ea32655a7", "11626cfcde6dcac3", "1c060eef5f3a4fe1", "68e7529909eadc38"],
        ["e24e6d445a226240", "a6e1fae95cf7af58"],
        "31980acd145f7025",
    ),
}
SHARED = Path(__file__).parents[2].parent / "shared/reference/device-maps.json"


def adapters_of(node_type):
    return INSTANCE_TYPES[node_type].adapters


def foreign(addresses, driver="net.example.com", attribute="resource.kubernetes.io/pciBusID"):
    return {
        DeviceRef(driver, "node-1", f"nic-{index}"): Device(f"nic-{index}", {attribute: address})
        for index, address in enumerate(sorted(set(addresses)))
    }


def own(plugin):
    (pool,) = plugin.discover()
    return {DeviceRef("neuron.aws.com", "node-1", device.name): device for device in pool.devices}


def stamps(groups):
    """What each device is stamped with, by attribute."""
    found = {}
    for group in groups:
        for ref in group.members:
            assert found.setdefault(ref, {}).setdefault(group.attribute, group.value) == group.value
    return found


def expected(adapters, size, number):
    """AWS's rule, spelled out."""
    if size == 1:
        return adapters[number]
    first = number // size * size
    return hashlib.sha256(",".join(sorted(set(adapters[first : first + size]))).encode()).hexdigest()[:16]


@pytest.mark.parametrize("family", PUBLISHED)
def test_ids_are_those_aws_publishes_on_neurons_and_on_their_adapters(node, family):
    node_type, fours, eights, sixteen = PUBLISHED[family]
    plugin = node.lay_out(node_type).plugin()
    adapters = adapters_of(node_type)
    nics = foreign(adapters)
    stamped = stamps(plugin.devicegroups(Inventory(own(plugin) | nics)))
    assert len(stamped) == 16 + len(set(adapters))
    address_of = {ref: device.attributes["resource.kubernetes.io/pciBusID"] for ref, device in nics.items()}
    for number in range(16):
        wanted = {
            f"{PREFIX}1_id": adapters[number],
            PAIRS: expected(adapters, 2, number),
            f"{PREFIX}4_id": fours[number // 4],
            f"{PREFIX}8_id": eights[number // 8],
            f"{PREFIX}16_id": sixteen,
        }
        assert wanted == {name: expected(adapters, size, number) for size, name in ATTRIBUTES.items()}
        assert stamped[DeviceRef("neuron.aws.com", "node-1", f"neuron-device-{number}")] == wanted
        (nic,) = (ref for ref, address in address_of.items() if address == adapters[number])
        assert stamped[nic] == wanted


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded maps are not beside this checkout")
@pytest.mark.parametrize("family", PUBLISHED)
def test_maps_and_ids_are_the_recorded_ones(family):
    recorded = json.loads(SHARED.read_text())
    entry = recorded["families"][family]
    node_type, fours, eights, sixteen = PUBLISHED[family]
    assert dict(enumerate(adapters_of(node_type))) == {
        int(number): address for number, address in entry["neuron_id_to_efa_bdf"].items()
    }
    assert entry["computed"] == {"devicegroup4_id": fours, "devicegroup8_id": eights, "devicegroup16_id": sixteen}
    enabled = recorded["config"]["efa_enabled_instances"]
    assert {name for name, known in INSTANCE_TYPES.items() if known.adapters} == set(enabled)
    for name in enabled:
        mapped = recorded["families"][recorded["config"]["instance_family_mappings"][name.partition(".")[0]]]
        assert list(adapters_of(name)) == list(mapped["neuron_id_to_efa_bdf"].values())


def test_on_trn1_two_neurons_share_an_adapter_and_its_group(node):
    plugin = node.lay_out("trn1.32xlarge").plugin()
    groups = plugin.devicegroups(Inventory(own(plugin) | foreign(adapters_of("trn1.32xlarge"))))
    pairs = [group for group in groups if group.attribute == f"{PREFIX}1_id"]
    assert len(pairs) == 8
    assert all(len(group.members) == 3 for group in pairs)
    assert {(g.attribute, len(g.members)) for g in groups} == {
        (f"{PREFIX}1_id", 3),
        (PAIRS, 3),
        (f"{PREFIX}4_id", 6),
        (f"{PREFIX}8_id", 12),
        (f"{PREFIX}16_id", 24),
    }


@pytest.mark.parametrize("family", PUBLISHED)
def test_groups_are_ranked_by_the_ids_of_their_neurons(node, family):
    plugin = node.lay_out(PUBLISHED[family][0]).plugin()
    groups = plugin.devicegroups(Inventory(own(plugin)))
    for attribute in {group.attribute for group in groups}:
        ranked = sorted((group for group in groups if group.attribute == attribute), key=lambda group: group.rank)
        assert [group.rank for group in ranked] == list(range(len(ranked)))
        firsts = [min(int(ref.name.rpartition("-")[2]) for ref in group.members) for group in ranked]
        assert firsts == sorted(firsts)


def test_neurons_are_stamped_where_no_adapter_is_published(node):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    stamped = stamps(plugin.devicegroups(Inventory(own(plugin))))
    assert len(stamped) == 16
    assert all(len(attributes) == 5 for attributes in stamped.values())


def test_missing_neurons_change_no_id(node):
    plugin = node.lay_out("trn1.32xlarge").plugin()
    nics = foreign(adapters_of("trn1.32xlarge"))
    whole = stamps(plugin.devicegroups(Inventory(own(plugin) | nics)))
    for number in (0, 1, 9):
        node.remove(number)
    rest = stamps(plugin.devicegroups(Inventory(own(plugin) | nics)))
    assert len(rest) == len(whole) - 3
    assert all(whole[ref] == attributes for ref, attributes in rest.items())


@pytest.mark.parametrize("attribute", ["resource.kubernetes.io/pciBusID", "dra.net/pciAddress"])
def test_an_adapter_is_known_by_the_address_its_driver_gives_whatever_the_driver(node, attribute):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    nics = foreign(["0000:C9:00.0"], "other.example.com", attribute)
    stamped = stamps(plugin.devicegroups(Inventory(own(plugin) | nics)))
    (nic,) = nics
    assert stamped[nic][f"{PREFIX}1_id"] == "0000:c9:00.0"


def test_devices_that_are_no_nearest_adapter_are_left_alone(node):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    others = foreign(["0000:00:05.0"]) | {
        DeviceRef("odd.example.com", "node-1", "odd"): Device("odd", {"resource.kubernetes.io/pciBusID": 5})
    }
    assert not set(others) & set(stamps(plugin.devicegroups(Inventory(own(plugin) | others))))


def test_a_type_without_a_map_gets_no_groups_and_that_is_said_once(node):
    plugin = node.lay_out("inf2.48xlarge").plugin()
    for _ in range(3):
        assert plugin.devicegroups(Inventory(own(plugin))) == []
    assert len([record for record in node.told.records if "inf2.48xlarge" in record.getMessage()]) == 1
    assert node.warnings() == []


def test_a_node_without_neurons_gets_no_groups_and_no_message(node):
    plugin = node.plugin()
    assert plugin.devicegroups(Inventory(foreign(["0000:00:05.0"]))) == []
    assert node.told.records == []


def test_a_driver_under_another_name_groups_its_own_devices(node):
    plugin = node.lay_out("trn2.48xlarge").plugin("neuron.example.com")
    (pool,) = plugin.discover()
    refs = {DeviceRef("neuron.example.com", "node-1", device.name): device for device in pool.devices}
    assert set(stamps(plugin.devicegroups(Inventory(refs)))) == set(refs)


@given(
    present=st.sets(st.integers(0, 15)),
    absent=st.sets(st.integers(0, 15)),
    node_type=st.sampled_from(sorted(PUBLISHED)),
)
def test_whatever_is_missing_members_and_ids_follow_the_map(present, absent, node_type):
    adapters = adapters_of(PUBLISHED[node_type][0])
    neurons = {number: DeviceRef("neuron.aws.com", "n", f"neuron-device-{number}") for number in present}
    nics = {
        address: frozenset({DeviceRef("dra.net", "n", f"nic-{index}")})
        for index, address in enumerate(sorted(set(adapters)))
        if index not in absent
    }
    groups = device_groups(adapters, neurons, nics)
    every = [member for group in groups for member in group.members]
    assert set(every) == {*neurons.values(), *itertools.chain.from_iterable(nics.values())}
    assert len(every) == 5 * len(set(every))
    for group in groups:
        (size,) = (size for size, name in ATTRIBUTES.items() if name == group.attribute)
        for number, ref in neurons.items():
            assert (ref in group.members) == (group.value == expected(adapters, size, number))


def test_the_groups_of_one_size_divide_the_node():
    for node_type, *_ in PUBLISHED.values():
        for attribute in ATTRIBUTES.values():
            ids = [i for slot in slots(adapters_of(node_type)) if slot.attribute == attribute for i in slot.ids]
            assert sorted(ids) == list(range(16))


@pytest.mark.parametrize("family", PUBLISHED)
def test_pairs_are_neighbours_in_a_row(family):
    pairs = [slot.ids for slot in slots(adapters_of(PUBLISHED[family][0])) if slot.attribute == PAIRS]
    assert pairs == [(first, first + 1) for first in range(0, 16, 2)]


def test_the_device_of_a_whole_node_is_in_the_groups_that_have_all_devices(node):
    plugin = node.lay_out("trn2u.48xlarge").plugin()
    nics = foreign(adapters_of("trn2u.48xlarge"))
    stamped = stamps(plugin.devicegroups(Inventory(own(plugin) | nics)))
    whole = DeviceRef("neuron.aws.com", "node-1", "neuron-node")
    assert stamped[whole] == {f"{PREFIX}16_id": PUBLISHED["trn2"][3]}
    assert all(stamped[nic][f"{PREFIX}16_id"] == PUBLISHED["trn2"][3] for nic in nics)


def test_a_map_in_the_options_groups_the_devices_of_a_new_type(node):
    node.lay_out("trn1.32xlarge")
    (node.root / "sys/devices/virtual/dmi/id/product_name").write_text("trn9.32xlarge\n")
    entry = InstanceEntry(architecture="Trn1", devices=16, groups="trn1n")
    plugin = node.plugin(options=NeuronOptions(instances={"trn9.32xlarge": entry}))
    stamped = stamps(plugin.devicegroups(Inventory(own(plugin))))
    fours = {attributes[f"{PREFIX}4_id"] for attributes in stamped.values()}
    assert fours == set(PUBLISHED["trn1n"][1])
