"""From what the kernel says to what is published. Pure.

Names, types and conditions of the attributes in the driver's own domain are those of AWS's Neuron DRA driver, so
that selectors written for it hold here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import metadata

from drakit import AttributeValue, Device, Version

from drakit_neuron.sysfs import Node, PciPlace
from drakit_neuron.topology import PCI_BUS_ID, grid_attributes

NUMA_NODE = "resource.kubernetes.io/numaNode"
NETWORK_LAYER_LABELS = {
    f"networkNodeLayer{layer}": f"topology.k8s.aws/network-node-layer-{layer}" for layer in (1, 2, 3)
}
"""Attribute by label: the layers of the network above an instance, widest first, as EC2 names them."""

CORES = "neuron.drakit/cores"
"""The capacity that says how many physical cores a device has."""
NODE_DEVICE = "neuron-node"
"""The name of the device that stands for all devices of a node."""

_NAME = re.compile(r"neuron-device-(0|[1-9][0-9]*)", re.ASCII)


def device_name(device_id: int) -> str:
    """The published name of `/dev/neuron<device_id>`."""
    return f"neuron-device-{device_id}"


def device_id(name: str) -> int | None:
    """The number in a published name; None for a name that is not one of ours."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def devices(node: Node, node_labels: Mapping[str, str]) -> list[Device]:
    """Every device of the node, by id."""
    common = common_attributes(node, node_labels)
    return [Device(device_name(number), common | _own_attributes(node, number)) for number in node.devices]


def common_attributes(node: Node, node_labels: Mapping[str, str]) -> dict[str, AttributeValue]:
    """What all devices of a node have alike. What is not known is absent."""
    attributes: dict[str, AttributeValue] = {
        "draDriverVersion": driver_version(),
        "resourceType": "neuron_device",
    }
    if node.instance_type is not None:
        attributes["instanceType"] = node.instance_type
    if node.driver_version is not None:
        attributes["neuronDriverVersion"] = node.driver_version
    for attribute, label in NETWORK_LAYER_LABELS.items():
        if layer := node_labels.get(label):
            attributes[attribute] = layer
    return attributes


@functools.cache
def driver_version() -> Version:
    """The version of this distribution, a pre-release spelled as semver has it."""
    return semantic_version(metadata.version("drakit-neuron"))


def semantic_version(text: str) -> Version:
    """`0.2.0rc1` -> `0.2.0-rc1`, for Python's versions with three numbers and perhaps a suffix."""
    return Version(re.sub(r"^(\d+\.\d+\.\d+)[.-]?(?=[a-z])", r"\1-", text, flags=re.ASCII))


def _own_attributes(node: Node, number: int) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {"deviceId": number}
    if node.known is not None and node.known.grid:
        attributes |= grid_attributes(number, node.known.devices)
    if (place := node.places.get(number)) is not None:
        attributes |= _place_attributes(place)
    return attributes


def _place_attributes(place: PciPlace) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {PCI_BUS_ID: place.address}
    if place.numa_node is not None:
        attributes[NUMA_NODE] = place.numa_node
    return attributes
