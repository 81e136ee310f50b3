"""What is known of architectures and instance types: facts, read from the JSON files beside this module.

Hardware that is not in the tables is still published, as sysfs describes it; the tables only add to that. An operator
adds to the tables by the option `instances`.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import evolve, field, frozen
from drakit import Quantity

DATA = Path(__file__).parent / "data"

AMAZON = 0x1D0F
"""Amazon's PCI vendor id."""

_MAX_DEVICES = 64
"""The kernel module serves no more devices."""

_SAGEMAKER = "ml."
"""What SageMaker puts before the name of an instance type; the hardware is the same."""

_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.ASCII)


class UltraServerDevices(enum.StrEnum):
    """What a node of an UltraServer publishes: one device for the node, one for each of its Neuron devices, or both."""

    AS_TYPE = ""
    NODE = "node"
    DEVICES = "devices"
    BOTH = "both"


@frozen(kw_only=True)
class Architecture:
    """One generation of Neuron devices. `name` is what sysfs calls it; `cores` (physical) and `memory` are per device.

    `logical_core_sizes`: how many physical cores can make a logical one; the largest is the runtime's default.
    """

    name: str
    generation: str
    device_name: str
    pci_devices: tuple[int, ...]
    cores: int
    logical_core_sizes: tuple[int, ...]
    memory: Quantity

    @property
    def pci_device(self) -> int:
        """The PCI device id of its first revision."""
        return self.pci_devices[0]

    @property
    def has_core_sizes(self) -> bool:
        """Whether a process can choose how many physical cores make a logical one."""
        return len(self.logical_core_sizes) > 1


@frozen(kw_only=True)
class InstanceType:
    """What an EC2 instance type has.

    `grid`: the driver of AWS publishes its topology attributes for the type. `adapters`: by device id, the PCI address
    of the nearest EFA adapter; `addresses`: by device id, the device's own. Empty where AWS publishes no table.
    `ultra_server`: what the type publishes if it is one of an UltraServer; empty if it is none.
    """

    name: str
    architecture: Architecture
    devices: int
    grid: bool
    adapters: tuple[str, ...]
    addresses: tuple[str, ...]
    ultra_server: UltraServerDevices


@frozen(kw_only=True)
class InstanceEntry:
    """The facts of one instance type, as a table or a configuration has them.

    `architecture`: its generation, as the table and sysfs name it; `devices`: how many it has. `cores` (physical),
    `memory` and `logical_neuron_core` (the sizes a logical core can have) are per device, and only needed where they
    are not the architecture's.

    `grid`: whether to publish topology_x, topology_y, topology4_id and topology8_id, for rows of four devices.
    `groups`: the family whose map of EFA adapters holds for the type; or `adapters`, the map itself: by device id, the
    PCI address of the nearest adapter. Without either there are no device groups.
    `addresses`: by device id, the device's own PCI address. `ultra_server`: for nodes of an UltraServer, what they
    publish: node, devices or both.
    """

    architecture: str
    devices: int
    cores: int = 0
    memory: Quantity | None = None
    logical_neuron_core: tuple[int, ...] = field(default=(), converter=tuple)
    grid: bool = False
    groups: str = ""
    adapters: tuple[str, ...] = field(default=(), converter=tuple)
    addresses: tuple[str, ...] = field(default=(), converter=tuple)
    ultra_server: UltraServerDevices = field(default=UltraServerDevices.AS_TYPE, converter=UltraServerDevices)

    def __attrs_post_init__(self) -> None:
        _check_known("architecture", self.architecture, ARCHITECTURES)
        if not 1 <= self.devices <= _MAX_DEVICES:
            raise ValueError(
                f"devices must be from 1 to {_MAX_DEVICES}, as the kernel module serves, not {self.devices}"
            )
        if self.cores < 0:
            raise ValueError(f"cores must be how many physical cores a device has, not {self.cores}")
        if self.memory is not None and self.memory <= Quantity(0):
            raise ValueError(f"memory must be what a device has, such as 96Gi, not {self.memory}")
        _check_core_sizes(self.logical_neuron_core, self.cores or ARCHITECTURES[self.architecture].cores)
        if self.groups:
            _check_known("groups", self.groups, ADAPTERS)
            if self.adapters:
                raise ValueError("groups and adapters say the same: keep one of them")
            if len(ADAPTERS[self.groups]) != self.devices:
                raise ValueError(
                    f"groups: the map of {self.groups} is for {len(ADAPTERS[self.groups])} devices, not for the "
                    f"{self.devices} devices here; give adapters instead"
                )
        for name, addresses in (("adapters", self.adapters), ("addresses", self.addresses)):
            _check_addresses(name, addresses, self.devices)
        if len(set(self.addresses)) != len(self.addresses):
            twice = next(address for address in self.addresses if self.addresses.count(address) > 1)
            raise ValueError(f"addresses: {twice} is there twice, and no two devices have one address")

    def named(self, name: str) -> InstanceType:
        """The instance type of this name that the entry describes."""
        known = ARCHITECTURES[self.architecture]
        return InstanceType(
            name=name,
            architecture=evolve(
                known,
                cores=self.cores or known.cores,
                memory=self.memory or known.memory,
                logical_core_sizes=self.logical_neuron_core or known.logical_core_sizes,
            ),
            devices=self.devices,
            grid=self.grid,
            adapters=self.adapters or ADAPTERS.get(self.groups, ()),
            addresses=self.addresses,
            ultra_server=self.ultra_server,
        )


def instance_type(name: str, more: Mapping[str, InstanceEntry]) -> InstanceType | None:
    """The facts of an instance type: from `more`, entries of the operator, else from the table; None if unknown.

    A name of SageMaker's, such as ml.trn1.32xlarge, is that of the EC2 type it stands for.
    """
    for candidate in (name, name.removeprefix(_SAGEMAKER)):
        if (entry := more.get(candidate)) is not None:
            return entry.named(candidate)
        if (known := INSTANCE_TYPES.get(candidate)) is not None:
            return known
    return None


def read_data(name: str) -> dict[str, Any]:
    """One of the JSON files of this distribution."""
    content: dict[str, Any] = json.loads((DATA / name).read_text(encoding="utf-8"))
    return content


def _check_known(key: str, value: str, known: Mapping[str, Any]) -> None:
    if value not in known:
        raise ValueError(f"{key} must be one of {', '.join(known)}, not {value!r}")


def _check_core_sizes(sizes: tuple[int, ...], cores: int) -> None:
    for size in sizes:
        if size < 1 or cores % size:
            raise ValueError(f"logicalNeuronCore must be sizes that divide the {cores} cores of a device, not {size}")


def _check_addresses(key: str, addresses: tuple[str, ...], devices: int) -> None:
    if addresses and len(addresses) != devices:
        raise ValueError(f"{key} must have one address for each of the {devices} devices, not {len(addresses)}")
    for address in addresses:
        if not _ADDRESS.fullmatch(address):
            raise ValueError(f"{key}: {address!r} is not a PCI address such as '0000:cc:00.0', in lower case")


def _architecture(name: str, facts: Mapping[str, Any]) -> Architecture:
    return Architecture(
        name=name,
        generation=facts["generation"],
        device_name=facts["deviceName"],
        pci_devices=tuple(int(number, 16) for number in facts["pciDevices"]),
        cores=facts["cores"],
        logical_core_sizes=tuple(facts["logicalNeuronCore"]),
        memory=Quantity(facts["memory"]),
    )


def _instance(name: str, facts: Mapping[str, Any], addresses: Mapping[str, Any]) -> InstanceType:
    return InstanceEntry(
        architecture=facts["architecture"],
        devices=facts["devices"],
        grid=facts.get("grid", False),
        groups=facts.get("groups", ""),
        addresses=addresses[facts["addresses"]] if "addresses" in facts else (),
        ultra_server=facts.get("ultraServer", ""),
    ).named(name)


def _read_only(table: dict[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(table)


_FACTS = read_data("instances.json")

ARCHITECTURES: Mapping[str, Architecture] = _read_only(
    {name: _architecture(name, facts) for name, facts in _FACTS["architectures"].items()}
)
ADAPTERS: Mapping[str, tuple[str, ...]] = _read_only(
    {family: tuple(adapters) for family, adapters in read_data("devicegroups.json")["families"].items()}
)
"""By family of instance types: by device id, the PCI address of the nearest EFA adapter."""
INSTANCE_TYPES: Mapping[str, InstanceType] = _read_only(
    {name: _instance(name, facts, _FACTS["addresses"]) for name, facts in _FACTS["instances"].items()}
)
