"""From what the kernel says to what is published. Pure.

Names, types and values of the attributes are those that DRANET publishes for EFA adapters, with their domain spelled
out: they are the same whatever name the driver runs under, and to selectors it makes no difference. What DRANET does
not publish is in the domain `efa.drakit`.
"""

from __future__ import annotations

import re

from drakit import AttributeValue, Device, HealthStatus, Quantity

from drakit_efa.node import EfaDevice
from drakit_efa.ports import ACTIVE

OWN = "efa.drakit"
"""The domain of what DRANET does not publish."""
MAC = f"{OWN}/mac"
HEALTH = f"{OWN}/health"
BANDWIDTH = f"{OWN}/bandwidth"
"""The capacity that says how many bits a second an adapter's link carries."""

VENDOR_NAME = "Amazon.com, Inc."
DEVICE_NAME = "Elastic Fabric Adapter (EFA)"
"""What the database of PCI ids calls every generation; the DeviceClass selects by it."""

_NAME = re.compile(r"pci-([0-9a-f]{4})-([0-9a-f]{2})-([01][0-9a-f])-([0-7])", re.ASCII)


def device_name(address: str) -> str:
    """The published name of a PCI function: `0000:10:1b.0` is `pci-0000-10-1b-0`."""
    return "pci-" + address.replace(":", "-").replace(".", "-")


def address_of(name: str) -> str | None:
    """The PCI address in a published name; None for a name that is not one of ours."""
    match = _NAME.fullmatch(name)
    return "{}:{}:{}.{}".format(*match.groups()) if match else None


def device(found: EfaDevice) -> Device:
    """One adapter as it is published. What is not known is absent."""
    attributes: dict[str, AttributeValue | None] = {
        "dra.net/pciAddress": found.adapter.address,
        "dra.net/pciVendor": VENDOR_NAME,
        "dra.net/pciDevice": DEVICE_NAME,
        "dra.net/pciSubsystem": found.subsystem,
        "dra.net/numaNode": found.numa_node,
        "dra.net/rdma": True,
        "dra.net/rdmaDevice": found.adapter.verbs,
        **found.place,
        f"{OWN}/generation": found.generation,
        MAC: found.mac,
        f"{OWN}/interfaceType": found.interface_type,
        f"{OWN}/cardId": found.card,
        f"{OWN}/linkGbps": found.link_gbps,
        f"{OWN}/peerProvider": found.peer_provider,
        HEALTH: port_health(found.state).value,
    }
    known = {name: value for name, value in attributes.items() if value is not None}
    capacity = {} if found.link_gbps is None else {BANDWIDTH: Quantity(f"{found.link_gbps}G")}
    return Device(device_name(found.adapter.address), known, capacity)


def port_health(state: str | None) -> HealthStatus:
    """How an adapter is by the state of its port alone; None where that is not known."""
    if state is None:
        return HealthStatus.UNKNOWN
    return HealthStatus.HEALTHY if state == ACTIVE else HealthStatus.UNHEALTHY
