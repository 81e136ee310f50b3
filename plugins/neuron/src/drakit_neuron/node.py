"""The Neuron side of a node, read as a whole: what discovery publishes and `drakit check` explains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

from attrs import define, field, frozen
from drakit import AttributeValue, PluginContext, pci_attributes

from drakit_neuron.addresses import Addresses
from drakit_neuron.instances import ARCHITECTURES, Architecture, InstanceType
from drakit_neuron.membership import Membership, read_membership
from drakit_neuron.options import known_instance
from drakit_neuron.sysfs import (
    CLASS,
    MODULE_VERSION,
    PCI_DEVICES,
    PRODUCT_NAME,
    Absent,
    Denied,
    Unreadable,
    device_node,
    has_device_node,
    is_present,
    list_devices,
    read_bytes,
    read_number,
    read_text,
)

CORE_COUNT = "core_count"
CONNECTED = "connected_devices"
SERIAL = "info/serial_number"
ARCHITECTURE = "info/architecture/instance_type"

_NOT_EVERYWHERE = (SERIAL, ARCHITECTURE)
"""Files that the first generation of devices, or an old kernel module, does not have."""
_ROOT_ONLY = (CORE_COUNT, CONNECTED)
_AS_ROOT = "before 2.28 the kernel module let root alone read it: run drakit as root, or update the module"
_MAX_CORES = 64
_LIST_BYTES = 19
"""What fits into the kernel module's buffer for the list of connected devices."""

T = TypeVar("T")


@frozen(kw_only=True)
class NeuronDevice:
    """One device. `connected`: the numbers of its neighbours; `place`: its PCI attributes. None: not known."""

    number: int
    architecture: Architecture | None = None
    cores: int | None = None
    connected: tuple[int, ...] | None = None
    serial: str | None = None
    place: Mapping[str, AttributeValue] = field(factory=lambda: MappingProxyType({}))


@frozen
class Unread:
    """Why a file of a device could not be read, or not wholly, and what helps; "" where nothing need be done."""

    why: str
    remedy: str = ""


@frozen(kw_only=True)
class Node:
    """`problems` are lines for the log: what is wrong, and what is lost by it.

    What is lost though nothing is wrong is for `drakit check`: `unread`, by file and number of the device, why it could
    not be read, and `unlocated`, by number, why the device's PCI address is not known.
    """

    devices: tuple[NeuronDevice, ...] = ()
    instance_type: str | None = None
    known: InstanceType | None = None
    driver_version: str | None = None
    membership: Membership | None = None
    problems: tuple[str, ...] = ()
    unread: Mapping[str, Mapping[int, Unread]] = field(factory=lambda: MappingProxyType({}))
    unlocated: Mapping[int, str] = field(factory=lambda: MappingProxyType({}))

    @property
    def in_ultraserver(self) -> bool:
        """Whether nodes of this type are linked with others."""
        return self.known is not None and bool(self.known.ultra_server)


def read_node(context: PluginContext, addresses: Addresses) -> Node:
    """Read everything. A bad device hides no other. Raises Unlistable where the devices cannot be listed at all."""
    reader = _Reader(context)
    numbers = reader.numbers()
    if not numbers:
        return Node(problems=tuple(reader.problems))
    instance_type = reader.or_problem(PRODUCT_NAME, "instanceType, topology and device groups")
    known = known_instance(context, instance_type) if instance_type is not None else None
    if instance_type is not None and known is None:
        reader.problems.append(
            f"instance type {instance_type!r} is not known to this release: its devices are published as sysfs "
            "describes them, without topology and device groups; describe it in the option instances, or update "
            "drakit-neuron"
        )
    version = reader.or_problem(MODULE_VERSION, "neuronDriverVersion")
    located = addresses.locate(numbers, known, version)
    reader.problems += located.problems
    places = {number: pci_attributes(context, address) for number, address in located.addresses.items()}
    for number, address in located.addresses.items():
        reader.look_at_numa_node(number, address)
    return Node(
        devices=tuple(reader.device(number, known, places.get(number, {})) for number in numbers),
        instance_type=instance_type,
        known=known,
        driver_version=version,
        membership=read_membership(context),
        problems=tuple(reader.problems),
        unread=MappingProxyType(reader.unread),
        unlocated=located.unknown,
    )


@define
class _Reader:
    """Reads devices, and notes what could not be read."""

    context: PluginContext
    problems: list[str] = field(factory=list)
    unread: dict[str, dict[int, Unread]] = field(factory=dict)

    def numbers(self) -> list[int]:
        found = []
        for number in list_devices(self.context):
            if is_present(self.context, number):
                found.append(number)
            else:
                self.problems.append(
                    f"{CLASS}/neuron{number} cannot be read as a directory: neuron{number} is not published; see the "
                    "kernel's log for why it failed, and reboot or replace the node"
                )
        return found

    def or_problem(self, path: str, lost: str) -> str | None:
        try:
            return read_text(self.context, path)
        except Unreadable as error:
            self.problems.append(f"{error}: {lost} cannot be published")
            return None

    def look_at_numa_node(self, number: int, address: str) -> None:
        """Note where the NUMA node of a device is garbage, which else were only not published."""
        path = f"{PCI_DEVICES}/{address}/numa_node"
        try:
            if read_number(self.context, path) >= -1:  # none, which is how the kernel says that it does not know
                return
            problem = f"{path} holds a number below -1"
        except Absent:
            return
        except Unreadable as error:
            problem = str(error)
        self.problems.append(
            f"{problem}: neuron{number} is published without numaNode; see that the agent has the host's /sys, and "
            "reboot the node if the host shows the same"
        )

    def device(self, number: int, known: InstanceType | None, place: Mapping[str, AttributeValue]) -> NeuronDevice:
        architecture = self._architecture(number, known)
        cores = architecture.cores if architecture else None
        whose = known.name if known else f"every {architecture.name}" if architecture else ""
        instead = f"with the {cores} cores of {whose}" if cores else ""
        self._look_at_node(number)
        return NeuronDevice(
            number=number,
            architecture=architecture,
            cores=self._read(number, CORE_COUNT, read_cores, instead) or cores,
            connected=self._connected(number),
            serial=self._serial(number),
            place=MappingProxyType(dict(place)),
        )

    def _architecture(self, number: int, known: InstanceType | None) -> Architecture | None:
        """As the instance type has it; of a type that is not known, as the device says."""
        instead = f"as one of {known.architecture.name}, which {known.name} has" if known else ""
        name = self._read(number, ARCHITECTURE, read_text, instead)
        if known is None:
            return ARCHITECTURES.get(name or "")
        if name is not None and name != known.architecture.name:
            self.problems.append(
                f"{CLASS}/neuron{number}/{ARCHITECTURE} holds {name!r}, and {known.name} has "
                f"{known.architecture.name}: neuron{number} is published {instead}; if the device is right, describe "
                "the instance type in the option instances, or update drakit-neuron"
            )
        return known.architecture

    def _look_at_node(self, number: int) -> None:
        if not has_device_node(self.context, number):
            self.problems.append(
                f"{device_node(number)} is not there, though {CLASS}/neuron{number} is: claims for neuron{number} are "
                "refused; have udev make it (udevadm trigger), or reload the kernel module, and see that the agent has "
                "the host's /dev"
            )

    def _connected(self, number: int) -> tuple[int, ...] | None:
        answer = self._read(number, CONNECTED, read_connected)
        if answer is None:
            return None
        connected, cut = answer
        if cut:
            why = (
                "the kernel module, which has room for 20 characters, has cut it off: its last neighbours are not known"
            )
            self._note(number, CONNECTED, why)
        return connected

    def _serial(self, number: int) -> str | None:
        serial = self._read(number, SERIAL, _read_serial)
        if serial == "":
            self._note(number, SERIAL, "it is blank: the device's firmware did not tell")
        return serial or None

    def _read(self, number: int, file: str, read: Callable[[PluginContext, str], T], instead: str = "") -> T | None:
        """What a file of a device holds. That it cannot be read is noted; that it holds nonsense is a problem.

        `instead`: how the device is published then, if not without what the file says.
        """
        try:
            return read(self.context, f"{CLASS}/neuron{number}/{file}")
        except Absent as error:
            if file not in _NOT_EVERYWHERE:
                self._note(number, file, str(error), "update the Neuron driver, or load the kernel module anew")
        except Denied as error:
            self._note(number, file, str(error), _AS_ROOT if file in _ROOT_ONLY else "run drakit as root")
        except Unreadable as error:
            self.problems.append(
                f"{error}: neuron{number} is published {instead or 'without it'}; reset the device, or reload the "
                "kernel module"
            )
        return None

    def _note(self, number: int, file: str, why: str, remedy: str = "") -> None:
        self.unread.setdefault(file, {})[number] = Unread(why, remedy)


def read_cores(context: PluginContext, path: str) -> int:
    """How many physical cores a device has. Raises Unreadable."""
    cores = read_number(context, path)
    if not 1 <= cores <= _MAX_CORES:
        raise Unreadable(f"{path} holds {cores}, and a device has 1 to {_MAX_CORES} cores")
    return cores


def _read_serial(context: PluginContext, path: str) -> str:
    return read_text(context, path) if read_bytes(context, path).strip() else ""


def read_connected(context: PluginContext, path: str) -> tuple[tuple[int, ...], bool]:
    """The neighbours of a device, ascending, and whether the list is cut off.

    Of a list that fills the kernel module's buffer without coming to its end, the last number may be half of one; a
    module that finds no room at all writes nothing, not even the end of the line. Raises Unreadable.
    """
    raw = read_bytes(context, path)
    text = raw.decode(errors="replace")
    cut = not raw or (len(raw) >= _LIST_BYTES and not text.endswith("\n"))
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if cut:
        del parts[-1:]
    if not all(part.isascii() and part.isdecimal() and len(part) < 5 for part in parts):
        raise Unreadable(f"{path} holds {text[:64]!r}, which is not a list of device numbers")
    return tuple(sorted(map(int, parts))), cut
