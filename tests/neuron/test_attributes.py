"""What a device says of itself: what AWS's driver says, exactly, and what users miss there, under other names."""

from __future__ import annotations

from importlib import metadata

import pytest
from attrs import evolve
from drakit import DeviceRef, Inventory, Quantity, Version
from drakit.model.device import MAX_ATTRIBUTES
from drakit_neuron.devices import CAPACITY_BLOCK_LABEL, pool, semantic_version
from drakit_neuron.instances import INSTANCE_TYPES, UltraServerDevices
from drakit_neuron.membership import Membership
from drakit_neuron.node import NeuronDevice, Node
from drakit_neuron.topology import ATTRIBUTES

LABELS = {f"topology.k8s.aws/network-node-layer-{layer}": f"nn-{layer}" for layer in (1, 2, 3)}
OWN = "neuron.drakit/"
STANDARD = "resource.kubernetes.io/"
GROUP = "resource.aws.com/devicegroup"

# The groups of four, of eight and of sixteen of two types, as their real ResourceSlices have them.
DUMPED = {
    "trn1.32xlarge": (
        ["88a3c6ad1661fe1d", "69b2225fd72a59dd", "e3c29faa0cd11323", "178a9e264a26793e"],
        ["86c451036f622685", "aa86c05423d6e8cd"],
        "fb838249c99a6341",
        "10:1a 10:1a a0:1a a0:1a 20:19 20:19 90:19 90:19 20:1a 20:1a 90:1a 90:1a 10:19 10:19 a0:19 a0:19",
    ),
    "trn2.48xlarge": (
        ["13713e551cd37c19", "671622785349fddf", "237e3ef7b968b4d3", "b3d6ce1919d29f8f"],
        ["3593812b8066a078", "614e16dab9ba2f1f"],
        "821d14afaf11327d",
        "c9:00 b4:00 b3:00 ca:00 6c:00 57:00 56:00 6d:00 98:00 83:00 82:00 99:00 f5:00 e0:00 df:00 f6:00",
    ),
}


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


def groups(node_type, number):
    fours, eights, sixteen, adapters = DUMPED[node_type]
    return {
        f"{GROUP}1_id": f"0000:{adapters.split()[number]}.0",
        f"{GROUP}4_id": fours[number // 4],
        f"{GROUP}8_id": eights[number // 8],
        f"{GROUP}16_id": sixteen,
    }


def typed(attributes):
    return {name: (type(value), value) for name, value in attributes.items()}


def published_by_aws(attributes):
    """What is in AWS's names: the driver's own domain, and that of the groups."""
    return {name: value for name, value in attributes.items() if "/" not in name or name.startswith(GROUP)}


def stamped(plugin):
    """The devices with their groups, as the core publishes them."""
    (pool,) = plugin.discover()
    refs = {DeviceRef("neuron.aws.com", "node-1", device.name): device for device in pool.devices}
    for group in plugin.devicegroups(Inventory(refs)):
        for ref in group.members:
            refs[ref] = refs[ref].with_attributes({group.attribute: group.value})
    return list(refs.values())


@pytest.mark.parametrize("node_type", DUMPED)
def test_a_device_carries_exactly_what_the_real_slices_of_aws_s_driver_carry(node, node_type):
    node.labels |= LABELS
    found = stamped(node.lay_out(node_type).plugin())
    assert [device.name for device in found] == [f"neuron-device-{number}" for number in range(16)]
    for number, device in enumerate(found):
        expected = common(node_type, number) | grid(number) | groups(node_type, number)
        assert len(expected) == 16
        assert typed(published_by_aws(device.attributes)) == typed(expected)
        assert not device.taints
        assert not device.consumes
    assert node.warnings() == []


@pytest.mark.parametrize(
    "node_type", ["trn1.2xlarge", "trn2.3xlarge", "inf2.24xlarge", "inf2.48xlarge", "inf1.6xlarge"]
)
def test_types_that_are_no_grid_carry_the_common_attributes_of_aws_only(node, devices, node_type):
    node.labels |= LABELS
    found = devices(node.lay_out(node_type).plugin())
    version = "2.24.7.0" if node_type.startswith("inf1") else "2.30.2.0"
    for number, device in enumerate(found.values()):
        expected = common(node_type, number) | {"neuronDriverVersion": version}
        assert typed(published_by_aws(device.attributes)) == typed(expected)
    assert len(found) == INSTANCE_TYPES[node_type].devices


@pytest.mark.parametrize(
    ("node_type", "architecture", "cores", "sizes", "logical", "memory"),
    [
        ("inf1.xlarge", "Inf1", 4, "1", 4, "8Gi"),
        ("trn1.32xlarge", "Trn1", 2, "1", 2, "32Gi"),
        ("inf2.48xlarge", "Inf2", 2, "1", 2, "32Gi"),
        ("trn2.48xlarge", "Trn2", 8, "1,2", 4, "96Gi"),
        ("trn3.48xlarge", "Trn3", 8, "1,2", 4, "144Gi"),
    ],
)
def test_cores_memory_and_generation_are_told_under_names_of_our_own(
    node, devices, node_type, architecture, cores, sizes, logical, memory
):
    device = devices(node.lay_out(node_type).plugin())["neuron-device-0"]
    assert {name: device.attributes[OWN + name] for name in ("architecture", "physicalCores", "logicalCoreSizes")} == {
        "architecture": architecture,
        "physicalCores": cores,
        "logicalCoreSizes": sizes,
    }
    assert device.attributes[f"{OWN}logicalCores"] == logical
    assert device.capacity == {f"{OWN}memory": Quantity(memory), f"{OWN}cores": Quantity(cores)}


def test_serial_neighbours_place_and_a_version_to_compare_are_told(node, devices):
    found = devices(node.lay_out("trn2.48xlarge").plugin())
    attributes = found["neuron-device-0"].attributes
    serial = (node.device_dir(0) / "info/serial_number").read_text().strip()
    assert {name: value for name, value in attributes.items() if name.startswith((OWN, STANDARD))} == {
        f"{OWN}architecture": "Trn2",
        f"{OWN}physicalCores": 8,
        f"{OWN}logicalCores": 4,
        f"{OWN}logicalCoreSizes": "1,2",
        f"{OWN}driverVersion": Version("2.30.2"),
        f"{OWN}serialNumber": serial,
        f"{OWN}connectedDevices": "1,3,4,12",
        f"{STANDARD}pciBusID": "0000:cc:00.0",
        f"{STANDARD}pcieRoot": "pci0000:b8",
        f"{STANDARD}numaNode": 1,
    }
    numa = [device.attributes[f"{STANDARD}numaNode"] for device in found.values()]
    assert numa == [1] * 4 + [0] * 8 + [1] * 4


@pytest.mark.parametrize(("version", "comparable"), [("2.26.10.0", "2.26.10"), ("2.9.3", "2.9.3"), ("2.x", None)])
def test_the_module_s_version_can_be_compared_where_it_is_one(node, devices, version, comparable):
    node.lay_out("trn1.2xlarge")
    (node.root / "sys/module/neuron/version").write_text(f"{version}\n")
    attributes = devices(node.plugin())["neuron-device-0"].attributes
    assert attributes["neuronDriverVersion"] == version
    assert attributes.get(f"{OWN}driverVersion") == (Version(comparable) if comparable else None)


@pytest.mark.parametrize("known", INSTANCE_TYPES.values(), ids=INSTANCE_TYPES)
@pytest.mark.parametrize("wanted", UltraServerDevices)
def test_no_device_has_more_attributes_and_capacity_than_the_api_takes(known, wanted):
    everything = NeuronDevice(
        number=0,
        architecture=known.architecture,
        cores=known.architecture.cores,
        connected=(1, 2, 3),
        serial="0123456789abcdef",
        place={STANDARD + name: "any" for name in ("pciBusID", "pcieRoot", "numaNode")},
    )
    node = Node(
        devices=tuple(evolve(everything, number=number) for number in range(known.devices)),
        instance_type=known.name,
        known=known,
        driver_version="2.30.2.0",
        membership=Membership(modes=(1, 2, 4), servers={2: "a", 4: "b"}, nodes={2: 1, 4: 3}),
    )
    groups_of_one = len(ATTRIBUTES) if known.adapters else 0
    for device in pool(node, LABELS | {CAPACITY_BLOCK_LABEL: "cb-1"}, wanted).devices:
        # Room is left for what other plugins add.
        assert len(device.attributes) + len(device.capacity) + groups_of_one <= MAX_ATTRIBUTES - 2


@pytest.mark.parametrize(
    ("python", "semver"),
    [("0.1.0", "0.1.0"), ("1.2.3rc1", "1.2.3-rc1"), ("1.2.3.dev4", "1.2.3-dev4"), ("1.2.3+local.5", "1.2.3+local.5")],
)
def test_the_drivers_version_is_a_semantic_one(python, semver):
    assert semantic_version(python).text == semver
