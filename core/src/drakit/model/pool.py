"""Devices together: pools, the whole node's inventory, and the groups across drivers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import field, frozen
from attrs.validators import instance_of

from drakit.errors import DuplicateDevice, LimitExceeded
from drakit.model.converters import frozen_mapping, frozen_tuple
from drakit.model.device import (
    PER_DEVICE,
    THIS_NODE,
    AttributeValue,
    CounterSet,
    Device,
    DeviceRef,
    NodeSelection,
    check_attribute,
    plain,
)
from drakit.model.names import check_pool_name
from drakit.model.sharing import SharePolicy


@frozen
class Pool:
    """Devices that are published, and replaced, together.

    `name=None` stands for the node's own pool (its name is the node's). Order is kept: it is the order in which a
    scheduler tries devices, unless device groups rank them otherwise.
    """

    devices: tuple[Device, ...] = field(converter=frozen_tuple)
    name: str | None = None
    counters: tuple[CounterSet, ...] = field(default=(), converter=frozen_tuple)
    nodes: NodeSelection = THIS_NODE

    def __attrs_post_init__(self) -> None:
        if self.name is not None:
            check_pool_name("Pool.name", self.name)
        where = f"pool {self.name!r}" if self.name else "the node's pool"
        for what, names in (
            ("device", [device.name for device in self.devices]),
            ("counter set", [counter_set.name for counter_set in self.counters]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) != len(names) else []
            if twice:
                raise DuplicateDevice(f"{where} has {what} {twice[0]!r} more than once; give each its own name")
        self._check_consumption(where)
        for device in self.devices:
            if (device.nodes is not None) != (self.nodes is PER_DEVICE):
                raise LimitExceeded(
                    f"{where}: device {device.name!r}: nodes",
                    "is for pools with nodes=PER_DEVICE, on every device",
                    device.nodes,
                )

    def _check_consumption(self, where: str) -> None:
        known = {counter_set.name: counter_set.counters for counter_set in self.counters}
        for device in self.devices:
            for consumption in device.consumes:
                for counter in consumption.counters:
                    if counter not in known.get(consumption.counter_set, ()):
                        raise LimitExceeded(
                            f"{where}: device {device.name!r} consumes {consumption.counter_set}/{counter}",
                            "must refer to a counter of the pool",
                            sorted(known),
                        )


@frozen
class Inventory:
    """Every device of every driver on the node, by identity, as `devicegroups` sees it. Read-only."""

    devices: Mapping[DeviceRef, Device] = field(factory=dict, converter=frozen_mapping)

    def __iter__(self) -> Iterator[tuple[DeviceRef, Device]]:
        return iter(self.devices.items())

    def __len__(self) -> int:
        return len(self.devices)

    def __getitem__(self, ref: DeviceRef) -> Device:
        return self.devices[ref]

    def of(self, driver: str) -> Inventory:
        """The devices of one driver."""
        return Inventory({ref: device for ref, device in self if ref.driver == driver})

    def where(self, attribute: str) -> Mapping[DeviceRef, AttributeValue]:
        """The devices that carry an attribute, with its value. `attribute` is fully qualified, or the driver's own."""
        return {ref: device.attributes[attribute] for ref, device in self if attribute in device.attributes}


def _members(refs: Iterable[DeviceRef]) -> frozenset[DeviceRef]:
    return frozenset(refs)


@frozen
class DeviceGroup:
    """Devices, of any drivers, that belong together: the core gives each of them `attribute = value`.

    `rank` orders the groups of one attribute. The scheduler takes the first fit in slice order, so the core sorts
    every pool by rank, groups with the most members first: small claims then fill one group before they open the next.
    """

    attribute: str
    value: AttributeValue = field(converter=plain)
    members: frozenset[DeviceRef] = field(converter=_members)
    rank: int = field(default=0, validator=instance_of(int))

    def __attrs_post_init__(self) -> None:
        check_attribute(self.attribute, self.value)
        if "/" not in self.attribute:
            raise LimitExceeded(
                "DeviceGroup.attribute", "must have a `domain/`, to be one name on all drivers", self.attribute
            )


@frozen(kw_only=True)
class ResolvedPool:
    """One pool after every plugin has spoken: what is published, devices in the order they are to be tried.

    Devices carry all attributes, stamps and taints; `shares` has an entry, by device name, for each that may be shared.
    """

    driver: str
    name: str
    devices: tuple[Device, ...] = field(converter=frozen_tuple)
    shares: Mapping[str, SharePolicy] = field(factory=dict, converter=frozen_mapping)
    counters: tuple[CounterSet, ...] = field(default=(), converter=frozen_tuple)
    nodes: NodeSelection = THIS_NODE
