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

SAGEMAKER = "ml."
"""What SageMaker puts before the name of an instance type; the hardware is the same."""

_ROW = 4
_ARCHITECTURE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}", re.ASCII)
_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.ASCII)


class UltraServerDevices(enum.StrEnum):
    """What a node of an UltraServer publishes: one device for the node, one for each of its Neuron devices, or both."""

    AS_TYPE = ""
    NODE = "node"
    DEVICES = "devices"
    BOTH = "both"


class Links(enum.StrEnum):
    """How the devices inside an instance are linked, by their ids."""

    NONE = "none"
    """Not at all, by switches, or nobody knows: nothing is checked."""
    LINE = "line"
    """Each with the next."""
    RING = "ring"
    """Each with the next, the last with the first."""
    TORUS = "torus"
    """In four rows of four, each with its neighbours; the ends of rows and of columns meet."""


@frozen(kw_only=True)
class Architecture:
    """One generation of Neuron devices. `name` is what sysfs calls it; `cores` (physical) and `memory` are per device.

    `logical_core_sizes`: how many physical cores can make a logical one; the largest is the runtime's default. Of one
    that is only known by configuration, what is not per device is empty.
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
    `links`: how every instance of the type links its devices.
    `ultra_server`: what the type publishes if it is one of an UltraServer; empty if it is none.
    """

    name: str
    architecture: Architecture
    devices: int
    grid: bool
    adapters: tuple[str, ...]
    addresses: tuple[str, ...]
    links: Links
    ultra_server: UltraServerDevices


@frozen(kw_only=True)
class InstanceEntry:
    """The facts of one instance type, as a table or a configuration has them.

    `architecture`: its generation, as the table and sysfs name it; `devices`: how many it has. `cores` (physical),
    `memory` and `logical_neuron_core` (the sizes a logical core can have) are per device. They are only needed where
    they are not the architecture's, and where the table does not have that: then its name is free.

    `grid`: whether to publish topology_x, topology_y, topology4_id and topology8_id, for rows of four devices. `links`:
    how the devices of an instance are linked; claims for devices that should be linked and are not are refused.
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
    links: Links = field(default=Links.NONE, converter=Links)
    ultra_server: UltraServerDevices = field(default=UltraServerDevices.AS_TYPE, converter=UltraServerDevices)

    def __attrs_post_init__(self) -> None:
        self._check_device()
        self._check_shape()
        self._check_groups()
        for name, addresses in (("adapters", self.adapters), ("addresses", self.addresses)):
            _check_addresses(name, addresses, self.devices)
        if len(set(self.addresses)) != len(self.addresses):
            twice = next(address for address in self.addresses if self.addresses.count(address) > 1)
            raise ValueError(f"addresses: {twice} is there twice, and no two devices have one address")

    def _check_device(self) -> None:
        if self.cores < 0:
            raise ValueError(f"cores must be how many physical cores a device has, not {self.cores}")
        if self.memory is not None and self.memory <= Quantity(0):
            raise ValueError(f"memory must be what a device has, such as 96Gi, not {self.memory}")
        if self.architecture not in ARCHITECTURES:
            self._check_new_architecture()
        _check_core_sizes(self.logical_neuron_core, self._described_architecture().cores)

    def _check_shape(self) -> None:
        if not 1 <= self.devices <= _MAX_DEVICES:
            raise ValueError(
                f"devices must be from 1 to {_MAX_DEVICES}, as the kernel module serves, not {self.devices}"
            )
        if self.grid and self.devices % _ROW:
            raise ValueError(
                f"grid: true is for devices in rows of {_ROW}, so for a multiple of {_ROW} devices, and not for the "
                f"{self.devices} devices here; leave it out"
            )
        _check_links(self.links, self.devices)

    def _check_groups(self) -> None:
        if not self.groups:
            return
        _check_known("groups", self.groups, ADAPTERS)
        if self.adapters:
            raise ValueError("groups and adapters say the same: keep one of them")
        if len(ADAPTERS[self.groups]) != self.devices:
            raise ValueError(
                f"groups: the map of {self.groups} is for {len(ADAPTERS[self.groups])} devices, not for the "
                f"{self.devices} devices here; give adapters instead"
            )

    def _check_new_architecture(self) -> None:
        """Raise ValueError unless an architecture that is not in the table is described as a whole."""
        if not _ARCHITECTURE.fullmatch(self.architecture):
            raise ValueError(
                f"architecture must be what sysfs calls it, such as {' or '.join(ARCHITECTURES)}, not "
                f"{self.architecture!r}"
            )
        if not (self.cores and self.memory and self.logical_neuron_core):
            raise ValueError(
                f"architecture must be one of {', '.join(ARCHITECTURES)}, or the entry must say of a device its cores, "
                f"memory and logicalNeuronCore: of {self.architecture!r} this release knows nothing"
            )

    def named(self, name: str) -> InstanceType:
        """The instance type of this name that the entry describes."""
        return InstanceType(
            name=name,
            architecture=self._described_architecture(),
            devices=self.devices,
            grid=self.grid,
            adapters=self.adapters or ADAPTERS.get(self.groups, ()),
            addresses=self.addresses,
            links=self.links,
            ultra_server=self.ultra_server,
        )

    def _described_architecture(self) -> Architecture:
        known = ARCHITECTURES.get(self.architecture)
        facts = known or Architecture(
            name=self.architecture,
            generation="",
            device_name="",
            pci_devices=(),
            cores=0,
            logical_core_sizes=(),
            memory=Quantity(0),
        )
        return evolve(
            facts,
            cores=self.cores or facts.cores,
            memory=self.memory or facts.memory,
            logical_core_sizes=self.logical_neuron_core or facts.logical_core_sizes,
        )


def instance_type(name: str, more: Mapping[str, InstanceEntry]) -> InstanceType | None:
    """The facts of an instance type: from `more`, entries of the operator, else from the table; None if unknown.

    A name of SageMaker's, such as ml.trn1.32xlarge, is that of the EC2 type it stands for.
    """
    for candidate in (name, name.removeprefix(SAGEMAKER)):
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


def _check_links(links: Links, devices: int) -> None:
    least = {Links.LINE: 2, Links.RING: 3}
    if links is Links.TORUS and devices != _ROW * _ROW:
        raise ValueError(f"links: torus is of {_ROW} rows of {_ROW} devices, and there are {devices} here")
    if devices < least.get(links, 1):
        raise ValueError(f"links: {links} takes {least[links]} devices at least, and there are {devices} here")


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
        links=facts.get("links", Links.NONE),
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
