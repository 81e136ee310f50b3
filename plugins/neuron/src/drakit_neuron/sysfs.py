"""What the kernel says of the node's Neuron devices.

Everything is read under the root of the plugin's context. Facts of the file tree: the aws-neuronx kernel module.
A Neuron device in sysfs is virtual: it has no link to its PCI function, and its number is not its place on the bus.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from attrs import field, frozen
from drakit import PluginContext
from drakit.errors import describe

from drakit_neuron.instances import AMAZON, INSTANCE_TYPES, InstanceType

CLASS = "/sys/class/neuron_device"
PRODUCT_NAME = "/sys/devices/virtual/dmi/id/product_name"
MODULE_VERSION = "/sys/module/neuron/version"
PCI_DEVICES = "/sys/bus/pci/devices"

UNCORRECTED_COUNTERS = ("mem_ecc_uncorrected", "sram_ecc_uncorrected")
"""Errors that lost data. Repairable ones are counted elsewhere, and mended at the next reset."""

_DEVICE = re.compile(r"neuron(0|[1-9][0-9]{0,3})", re.ASCII)
_MAX_TEXT = 64


class Unreadable(Exception):
    """A file of sysfs is missing, may not be read, or holds what it cannot hold. The message names it."""


@frozen(kw_only=True)
class PciPlace:
    """Where a device sits: its PCI address, and its NUMA node where the kernel knows one."""

    address: str
    numa_node: int | None


@frozen(kw_only=True)
class Node:
    """The Neuron side of a node. `problems` are lines for the log: what could not be read, and what is lost by it."""

    devices: tuple[int, ...] = ()
    instance_type: str | None = None
    driver_version: str | None = None
    places: Mapping[int, PciPlace] = field(factory=lambda: MappingProxyType({}))
    problems: tuple[str, ...] = ()

    @property
    def known(self) -> InstanceType | None:
        """The facts of the instance type; None for one that is not in the tables."""
        return INSTANCE_TYPES.get(self.instance_type or "")


def read_node(context: PluginContext) -> Node:
    """Read everything that discovery publishes. Raises OSError only where the devices cannot be listed at all."""
    problems: list[str] = []
    devices = _devices(context, problems)
    if not devices:
        return Node(problems=tuple(problems))
    instance_type = _or_problem(context, PRODUCT_NAME, "instanceType, topology and device groups", problems)
    known = INSTANCE_TYPES.get(instance_type or "")
    if instance_type is not None and known is None:
        problems.append(
            f"instance type {instance_type!r} is not known to this release: its devices are published without "
            "topology and device groups; update drakit-neuron"
        )
    return Node(
        devices=devices,
        instance_type=instance_type,
        driver_version=_or_problem(context, MODULE_VERSION, "neuronDriverVersion", problems),
        places=_places(context, known, devices, problems) if known else MappingProxyType({}),
        problems=tuple(problems),
    )


def read_instance_type(context: PluginContext) -> str:
    """The EC2 instance type, from DMI. Raises Unreadable."""
    return read_text(context, PRODUCT_NAME)


def read_architecture(context: PluginContext, device_id: int) -> str:
    """The name of a device's generation, such as Trn2. Raises Unreadable."""
    return read_text(context, f"{CLASS}/neuron{device_id}/info/architecture/instance_type")


def is_present(context: PluginContext, device_id: int) -> bool:
    """Whether the kernel still knows the device."""
    try:
        return context.path(f"{CLASS}/neuron{device_id}").is_dir()
    except OSError:  # a circle of links, or a place we may not look into: no use to anyone
        return False


def read_uncorrected_errors(context: PluginContext, device_id: int) -> dict[str, int]:
    """The counters of uncorrected memory errors that the driver offers, by name. Counted since the module loaded."""
    counters = {}
    for name in UNCORRECTED_COUNTERS:
        try:
            count = _read_number(context, f"{CLASS}/neuron{device_id}/stats/hardware/{name}")
        except Unreadable:
            continue
        if count >= 0:  # what is below is no count, whatever it is
            counters[name] = count
    return counters


def read_text(context: PluginContext, path: str) -> str:
    """The one short line of a sysfs file. Raises Unreadable."""
    try:
        text = context.path(path).read_bytes()[: _MAX_TEXT * 4].decode().strip()
    except OSError as error:
        raise Unreadable(f"cannot read {path} ({error.strerror or describe(error)})") from None
    except UnicodeDecodeError:
        raise Unreadable(f"{path} does not hold text") from None
    if not text or not text.isprintable() or len(text.encode()) > _MAX_TEXT:
        raise Unreadable(f"{path} holds {text[:_MAX_TEXT]!r}, which is not a short line of text")
    return text


def _read_number(context: PluginContext, path: str, base: int = 10) -> int:
    """The number in a sysfs file. Raises Unreadable."""
    text = read_text(context, path)
    try:
        return int(text, base)
    except ValueError:
        raise Unreadable(f"{path} holds {text!r}, which is not a number") from None


def _devices(context: PluginContext, problems: list[str]) -> tuple[int, ...]:
    """The ids of the devices, ascending, gaps and all. UltraServer types have plain files beside them."""
    try:
        names = [entry.name for entry in context.path(CLASS).iterdir()]
    except FileNotFoundError:
        return ()
    found = []
    for device_id in sorted(int(match[1]) for name in names if (match := _DEVICE.fullmatch(name))):
        if is_present(context, device_id):
            found.append(device_id)
        else:
            problems.append(
                f"{CLASS}/neuron{device_id} cannot be read as a directory: neuron{device_id} is not published"
            )
    return tuple(found)


def _or_problem(context: PluginContext, path: str, lost: str, problems: list[str]) -> str | None:
    try:
        return read_text(context, path)
    except Unreadable as error:
        problems.append(f"{error}: {lost} cannot be published")
        return None


def _places(
    context: PluginContext, known: InstanceType, devices: tuple[int, ...], problems: list[str]
) -> Mapping[int, PciPlace]:
    """The PCI places that the table of the type gives and the bus confirms."""
    places = {}
    for device_id in devices:
        if device_id >= len(known.addresses):
            continue
        address = known.addresses[device_id]
        try:
            _check_function(context, address, known)
        except Unreadable as error:
            problems.append(f"neuron{device_id} is not where {known.name} has it: {error}; pciBusID is not published")
        else:
            places[device_id] = PciPlace(address=address, numa_node=_numa_node(context, address))
    return MappingProxyType(places)


def _check_function(context: PluginContext, address: str, known: InstanceType) -> None:
    """Raise unless a Neuron device of the type's generation is at this address."""
    for name, expected in (("vendor", (AMAZON,)), ("device", known.architecture.pci_devices)):
        path = f"{PCI_DEVICES}/{address}/{name}"
        if (found := _read_number(context, path, 16)) not in expected:
            raise Unreadable(f"{path} is {found:#06x}, not {expected[0]:#06x}")


def _numa_node(context: PluginContext, address: str) -> int | None:
    """The function's NUMA node; None where the kernel knows none, which it says by -1."""
    try:
        node = _read_number(context, f"{PCI_DEVICES}/{address}/numa_node")
    except Unreadable:
        return None
    return node if node >= 0 else None
