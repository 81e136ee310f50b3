"""From what the kernel says to what is published. Pure.

Names, types and conditions of the attributes in the driver's own domain are those of AWS's Neuron DRA driver, so
that selectors written for it hold here. What AWS does not publish is in the domain `neuron.drakit`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import metadata

from attrs import evolve
from drakit import AttributeValue, CounterConsumption, CounterSet, Device, Pool, Quantity, Version

from drakit_neuron.instances import UltraServerDevices
from drakit_neuron.membership import Membership
from drakit_neuron.node import NeuronDevice, Node
from drakit_neuron.topology import grid_attributes

OWN = "neuron.drakit"
"""The domain of what AWS does not publish."""
NETWORK_LAYER_LABELS = {
    f"networkNodeLayer{layer}": f"topology.k8s.aws/network-node-layer-{layer}" for layer in (1, 2, 3)
}
"""Attribute by label: the layers of the network above an instance, widest first, as EC2 names them."""
CAPACITY_BLOCK_LABEL = "topology.k8s.aws/capacity-block-id"
"""The label of a node's capacity block, from where the network layers come; named in the docs of NVIDIA's Topograph."""

CORES = f"{OWN}/cores"
"""The capacity that says how many physical cores a device has."""
CORE_SIZES = f"{OWN}/logicalCoreSizes"
"""The attribute that says how many physical cores can make a logical one: `1,2`."""
MEMORY = f"{OWN}/memory"
"""The capacity that says how much memory a device has."""
NODE_DEVICE = "neuron-node"
"""The name of the device that stands for all devices of a node."""
NO_DEVICE_ID = -1
"""The id of that device, which is none. Without one, a selector by ids would fail on it, and with that the claim."""

_COUNTERS = "devices"
_COUNTER = "devices"
_NAME = re.compile(r"neuron-device-(0|[1-9][0-9]*)", re.ASCII)
_MODULE_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(\.\d+)?", re.ASCII)
_MAX_STRING = 64


def device_name(device_id: int) -> str:
    """The published name of `/dev/neuron<device_id>`."""
    return f"neuron-device-{device_id}"


def device_id(name: str) -> int | None:
    """The number in a published name; None for a name that is not one of ours."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def pool(node: Node, node_labels: Mapping[str, str], wanted: UltraServerDevices) -> Pool:
    """What a node publishes: its devices by number, or one for the node, or both. No devices: an empty pool.

    `wanted` is for nodes of an UltraServer. Of both, the device of the node takes what all others take, so that the
    scheduler allocates it or them.
    """
    if not node.devices:
        return Pool(())
    common = common_attributes(node, node_labels)
    single = [_device(node, device, common) for device in node.devices]
    whole = _node_device(node, common)
    match published(node, wanted):
        case UltraServerDevices.NODE:
            return Pool((whole,))
        case UltraServerDevices.BOTH:
            one, all_of_them = _consumption(1), _consumption(len(single))
            devices = [*(evolve(device, consumes=one) for device in single), evolve(whole, consumes=all_of_them)]
            return Pool(devices, counters=(CounterSet(_COUNTERS, {_COUNTER: len(single)}),))
        case _:
            return Pool(single)


def published(node: Node, wanted: UltraServerDevices) -> UltraServerDevices:
    """What a node publishes: as wanted on an UltraServer, else as its type says; elsewhere its devices."""
    if node.known is None or not node.in_ultraserver:
        return UltraServerDevices.DEVICES
    return wanted or node.known.ultra_server


def common_attributes(node: Node, node_labels: Mapping[str, str]) -> dict[str, AttributeValue]:
    """What all devices of a node have alike. What is not known is absent."""
    attributes: dict[str, AttributeValue] = {"draDriverVersion": driver_version()}
    if node.instance_type is not None:
        attributes["instanceType"] = node.instance_type
    if node.driver_version is not None:
        attributes["neuronDriverVersion"] = node.driver_version
        if match := _MODULE_VERSION.fullmatch(node.driver_version):
            # Semantic versions have three numbers; the fourth, of a rebuild, is left to the string.
            attributes[f"{OWN}/driverVersion"] = Version(".".join(match.group(1, 2, 3)))
    labels = dict(NETWORK_LAYER_LABELS)
    if node.in_ultraserver:
        labels["capacityBlockId"] = CAPACITY_BLOCK_LABEL
    for attribute, label in labels.items():
        if value := node_labels.get(label):
            attributes[attribute] = value
    return attributes


@functools.cache
def driver_version() -> Version:
    """The version of this distribution, a pre-release spelled as semver has it."""
    return semantic_version(metadata.version("drakit-neuron"))


def semantic_version(text: str) -> Version:
    """`0.2.0rc1` -> `0.2.0-rc1`, for Python's versions with three numbers and perhaps a suffix."""
    return Version(re.sub(r"^(\d+\.\d+\.\d+)[.-]?(?=[a-z])", r"\1-", text, flags=re.ASCII))


def _device(node: Node, device: NeuronDevice, common: Mapping[str, AttributeValue]) -> Device:
    attributes: dict[str, AttributeValue] = {
        "deviceId": device.number,
        "resourceType": "neuron_device",
        **common,
        **device.place,
        **_core_attributes(device),
    }
    if node.known is not None and node.known.grid:
        attributes |= grid_attributes(device.number, node.known.devices)
    if device.serial is not None:
        attributes[f"{OWN}/serialNumber"] = device.serial
    if device.connected and len(neighbours := ",".join(map(str, device.connected))) <= _MAX_STRING:
        attributes[f"{OWN}/connectedDevices"] = neighbours
    return Device(device_name(device.number), attributes, _capacity(device))


def _core_attributes(device: NeuronDevice) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {}
    if device.cores is not None:
        attributes[f"{OWN}/physicalCores"] = device.cores
    if device.architecture is not None:
        sizes = device.architecture.logical_core_sizes
        attributes[f"{OWN}/architecture"] = device.architecture.name
        attributes[CORE_SIZES] = ",".join(map(str, sizes))
        if device.cores is not None:
            attributes[f"{OWN}/logicalCores"] = device.cores // max(sizes)
    return attributes


def _capacity(device: NeuronDevice) -> dict[str, Quantity]:
    capacity = {MEMORY: device.architecture.memory} if device.architecture is not None else {}
    return capacity | ({CORES: Quantity(device.cores)} if device.cores is not None else {})


def _node_device(node: Node, common: Mapping[str, AttributeValue]) -> Device:
    """The device that stands for all of a node's. It has no capacity: it is never divided."""
    attributes: dict[str, AttributeValue] = {
        "deviceId": NO_DEVICE_ID,
        "resourceType": "neuron_node",
        **common,
        f"{OWN}/devices": len(node.devices),
    }
    if node.membership is not None:
        attributes |= _membership_attributes(node.membership)
    architectures = {device.architecture.name for device in node.devices if device.architecture is not None}
    if len(architectures) == 1:
        attributes[f"{OWN}/architecture"] = architectures.pop()
    return Device(NODE_DEVICE, attributes)


def _membership_attributes(membership: Membership) -> dict[str, AttributeValue]:
    servers = {f"{OWN}/serverId{size}": server for size, server in membership.servers.items()}
    nodes = {f"{OWN}/nodeId{size}": number for size, number in membership.nodes.items()}
    return {**servers, **nodes}


def _consumption(devices: int) -> tuple[CounterConsumption, ...]:
    return (CounterConsumption(_COUNTERS, {_COUNTER: devices}),)
