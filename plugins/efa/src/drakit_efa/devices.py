"""From what the kernel says to what is published. Pure.

Names, types and values of the attributes are those that DRANET publishes for EFA adapters, with their domain spelled
out: they are the same whatever name the driver runs under, and to selectors it makes no difference.
"""

from __future__ import annotations

import re

from drakit import AttributeValue, Device, HealthStatus

from drakit_efa.ports import ACTIVE
from drakit_efa.sysfs import Adapter

PCI_BUS_ID = "resource.kubernetes.io/pciBusID"
PCIE_ROOT = "resource.kubernetes.io/pcieRoot"
NUMA_NODE = "resource.kubernetes.io/numaNode"

OWN = "efa.drakit"
"""The domain of what DRANET does not publish."""
MAC = f"{OWN}/mac"
HEALTH = f"{OWN}/health"

VENDOR_NAME = "Amazon.com, Inc."
DEVICE_NAME = "Elastic Fabric Adapter (EFA)"
"""What the database of PCI ids calls every generation; the DeviceClass selects by it."""

_NAME = re.compile(r"pci-([0-9a-f]{4,8})-([0-9a-f]{2})-([01][0-9a-f])-([0-7])", re.ASCII)


def device_name(address: str) -> str:
    """The published name of a PCI function: `0000:10:1b.0` is `pci-0000-10-1b-0`."""
    return "pci-" + address.replace(":", "-").replace(".", "-")


def address_of(name: str) -> str | None:
    """The PCI address in a published name; None for a name that is not one of ours."""
    match = _NAME.fullmatch(name)
    return "{}:{}:{}.{}".format(*match.groups()) if match else None


def port_health(state: str | None) -> HealthStatus:
    """How an adapter is by the state of its port alone; None where that is not known."""
    if state is None:
        return HealthStatus.UNKNOWN
    return HealthStatus.HEALTHY if state == ACTIVE else HealthStatus.UNHEALTHY


def device(adapter: Adapter, mac: str | None = None, state: str | None = None) -> Device:
    """One adapter as it is published, with the MAC of its interface and its port's state. Unknown is absent."""
    attributes: dict[str, AttributeValue] = {
        "dra.net/pciAddress": adapter.address,
        "dra.net/pciVendor": VENDOR_NAME,
        "dra.net/pciDevice": DEVICE_NAME,
        "dra.net/rdma": True,
        "dra.net/rdmaDevice": adapter.verbs,
        PCI_BUS_ID: adapter.address,
        HEALTH: port_health(state).value,
    }
    if mac is not None:
        attributes[MAC] = mac
    if adapter.generation is not None:
        attributes["dra.net/pciSubsystem"] = adapter.generation
    if adapter.root is not None:
        attributes[PCIE_ROOT] = adapter.root
    if adapter.numa_node is not None:
        attributes |= {"dra.net/numaNode": adapter.numa_node, NUMA_NODE: adapter.numa_node}
    return Device(device_name(adapter.address), attributes)
