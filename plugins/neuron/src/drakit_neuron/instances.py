"""What is known of architectures and instance types: facts, read from the JSON files beside this module.

Hardware that is not in the tables is still published, as sysfs describes it; the tables only add to that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import field, frozen
from attrs.validators import ge

DATA = Path(__file__).parent / "data"

AMAZON = 0x1D0F
"""Amazon's PCI vendor id."""


@frozen(kw_only=True)
class Architecture:
    """One generation of Neuron devices. `name` is what sysfs calls it; `cores` are physical, per device."""

    name: str
    generation: str
    device_name: str
    pci_device: int
    cores: int
    logical_core_sizes: tuple[int, ...]

    @property
    def has_core_sizes(self) -> bool:
        """Whether a process can choose how many physical cores make a logical one."""
        return len(self.logical_core_sizes) > 1


@frozen(kw_only=True)
class InstanceType:
    """What an EC2 instance type has.

    `grid`: the driver of AWS publishes its topology attributes for the type. `adapters`: by device id, the PCI address
    of the nearest EFA adapter; `addresses`: by device id, the device's own. Empty where AWS publishes no table.
    """

    name: str
    architecture: Architecture
    devices: int
    grid: bool
    adapters: tuple[str, ...]
    addresses: tuple[str, ...]


@frozen(kw_only=True)
class InstanceEntry:
    """The facts of one instance type, as written in a table or in a configuration.

    `architecture` is one that the table knows.
    """

    architecture: str
    devices: int = field(validator=ge(1))


def read_data(name: str) -> dict[str, Any]:
    """One of the JSON files of this distribution."""
    content: dict[str, Any] = json.loads((DATA / name).read_text(encoding="utf-8"))
    return content


def _architecture(name: str, facts: Mapping[str, Any]) -> Architecture:
    return Architecture(
        name=name,
        generation=facts["generation"],
        device_name=facts["deviceName"],
        pci_device=int(facts["pciDevice"], 16),
        cores=facts["cores"],
        logical_core_sizes=tuple(facts["logicalNeuronCore"]),
    )


def _load() -> tuple[Mapping[str, Architecture], Mapping[str, InstanceType]]:
    facts, families = read_data("instances.json"), read_data("devicegroups.json")["families"]
    architectures = {name: _architecture(name, entry) for name, entry in facts["architectures"].items()}
    instances = {
        name: InstanceType(
            name=name,
            architecture=architectures[entry["architecture"]],
            devices=entry["devices"],
            grid=entry.get("grid", False),
            adapters=tuple(families[entry["groups"]]) if "groups" in entry else (),
            addresses=tuple(facts["addresses"][entry["addresses"]]) if "addresses" in entry else (),
        )
        for name, entry in facts["instances"].items()
    }
    return MappingProxyType(architectures), MappingProxyType(instances)


ARCHITECTURES, INSTANCE_TYPES = _load()
