"""Which devices belong together. Pure.

A Neuron device and the EFA adapter nearest to it make the smallest group; two, four, eight and sixteen devices with
consecutive ids, and the adapters of all of them, make the larger ones. Names and values are those that AWS's own
drivers publish, so that existing claims mean the same here; groups of two, which are neighbours in a row, AWS does not
have, so they are in our own domain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen
from drakit import AttributeValue, DeviceGroup, DeviceRef, Inventory

ATTRIBUTES = {
    1: "resource.aws.com/devicegroup1_id",
    2: "neuron.drakit/devicegroup2_id",
    4: "resource.aws.com/devicegroup4_id",
    8: "resource.aws.com/devicegroup8_id",
    16: "resource.aws.com/devicegroup16_id",
}
"""By how many Neuron devices a group has."""
PCI_BUS_ID = "resource.kubernetes.io/pciBusID"
ADDRESS_ATTRIBUTES = (PCI_BUS_ID, "dra.net/pciAddress")
"""The attributes by which drivers say which PCI function a device is."""

_ROW = 4


@frozen
class Slot:
    """One group as a family of instance types has it, whether or not its hardware is there.

    `ids` are Neuron devices, `adapters` the PCI addresses of their EFA adapters, `rank` counts the groups of a size.
    """

    attribute: str
    value: str
    ids: tuple[int, ...]
    adapters: frozenset[str]
    rank: int


def slots(adapters: Sequence[str]) -> Iterator[Slot]:
    """Every group of a family, smallest size first. `adapters` is by device id.

    Where neighbours share an adapter, as on Trn1, both are in its group of one.
    """
    for size, attribute in ATTRIBUTES.items():
        ids: dict[str, list[int]] = {}
        addresses: dict[str, frozenset[str]] = {}
        for first in range(0, len(adapters), size):
            window = frozenset(adapters[first : first + size])
            value = adapters[first] if size == 1 else group_id(window)
            ids.setdefault(value, []).extend(range(first, min(first + size, len(adapters))))
            addresses[value] = window
        for rank, value in enumerate(ids):
            yield Slot(attribute, value, tuple(ids[value]), addresses[value], rank)


def group_id(adapters: frozenset[str]) -> str:
    """The id of a group of several: the head of a SHA-256 over the sorted addresses of its adapters. AWS's rule."""
    return hashlib.sha256(",".join(sorted(adapters)).encode()).hexdigest()[:16]


def device_groups(
    adapters: Sequence[str],
    neurons: Mapping[int, DeviceRef],
    by_address: Mapping[str, frozenset[DeviceRef]],
    node: DeviceRef | None = None,
) -> list[DeviceGroup]:
    """The groups of the devices that are there: by device id, and by PCI address whatever driver has it.

    `node`: the device that stands for all of a node's; it is in the groups that have them all. A device that is missing
    changes no id. A group whose other side is absent still stands.
    """
    groups = []
    for slot in slots(adapters):
        members = {neurons[device_id] for device_id in slot.ids if device_id in neurons}
        if node is not None and len(slot.ids) == len(adapters):
            members.add(node)
        members.update(*(by_address.get(address, frozenset()) for address in slot.adapters))
        if members:
            groups.append(DeviceGroup(slot.attribute, slot.value, frozenset(members), slot.rank))
    return groups


def by_pci_address(inventory: Inventory) -> dict[str, frozenset[DeviceRef]]:
    """The devices of the node by the PCI address their driver gives them."""
    found: dict[str, set[DeviceRef]] = {}
    for attribute in ADDRESS_ATTRIBUTES:
        for ref, address in inventory.where(attribute).items():
            if isinstance(address, str):
                found.setdefault(address.lower(), set()).add(ref)
    return {address: frozenset(refs) for address, refs in found.items()}


def grid_attributes(device_id: int, devices: int) -> dict[str, AttributeValue]:
    """The place of a device on a torus with rows of four; `devices` is how many the instance type has."""
    attributes: dict[str, AttributeValue] = {
        "topology_x": device_id // _ROW,
        "topology_y": device_id % _ROW,
        "topology4_id": device_id // 4,
    }
    if devices >= 8:
        attributes["topology8_id"] = device_id // 8
    return attributes
