"""Which PCI function a device is.

The number of a device comes from an id in its firmware, not from its place on the bus, and sysfs does not join the
two. On no type whose addresses are published does the order of the bus give the numbers, neither as it is nor put
through the kernel module's table of ids; so nothing is guessed from it. What is used, the first that knows: the
published table where the bus confirms it; the only function of a node with one device; the kernel module itself, asked
by ioctl; the lines it wrote to the kernel's log when it found its devices. Nothing but the standard PCI attributes
depends on it.

Facts of the ioctl and of the log: the aws-neuronx kernel module.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

from attrs import frozen
from drakit import PluginContext
from drakit.errors import describe

from drakit_neuron.instances import AMAZON, ARCHITECTURES, InstanceType
from drakit_neuron.kmsg import read_records
from drakit_neuron.sysfs import CLASS, PCI_DEVICES, PCI_DRIVER, Unreadable, read_bytes, read_number, read_text

Ioctl = Callable[[int, int, bytearray], int]

REGION = "neuron"
"""The name under which the kernel module registers its character devices."""

_DEVICE_BDF = 0x80084E6A
"""NEURON_IOCTL_DEVICE_BDF_EXT: _IOR('N', 106, a pointer)."""
_BDF = struct.Struct("=IIIBBxx")
"""In: a number, counted from the device that is asked. Out: the number again, domain, bus, slot, function."""
_NOT_KNOWN_TO_THE_MODULE = (errno.EINVAL, errno.ENOTTY)

_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.ASCII)
_FOUND = re.compile(r"\*\* BDF: ([0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) => nd\[([0-9]{1,3})\]", re.ASCII)


@frozen(kw_only=True)
class Located:
    """Addresses by number; of the devices without one, why not; and for the log, what contradicts the tables."""

    addresses: Mapping[int, str]
    unknown: Mapping[int, str]
    problems: tuple[str, ...]


class Addresses:
    """Finds the PCI functions of devices, and remembers what had to be asked for.

    An answer is kept while its device and its function are there. Failures are tried again, but for a question that
    this version of the kernel module does not know: it would say so in the kernel's log each time.
    """

    def __init__(self, context: PluginContext, ioctl: Ioctl = fcntl.ioctl) -> None:
        self._context = context
        self._ioctl = ioctl
        self._told: dict[int, str] = {}
        self._ignorant: tuple[str, str] | None = None

    def locate(self, numbers: Collection[int], known: InstanceType | None, module: str | None) -> Located:
        """Where these devices are. `known`: the facts of the instance type; `module`: the kernel module's version."""
        functions = self._functions(known)
        found, problems = self._published(numbers, known, functions)
        if not found and len(numbers) == len(functions) == 1 and (known is None or known.devices == 1):
            found = dict(zip(numbers, functions, strict=True))
        rest = [number for number in numbers if number not in found]
        self._told = {number: address for number, address in self._told.items() if number in rest}
        self._told = {number: address for number, address in self._told.items() if address in functions}
        why = self._ask([number for number in rest if number not in self._told], functions, module or "")
        self._look_up([number for number in rest if number not in self._told], functions, why)
        found |= self._told
        times = Counter(found.values())
        addresses = {number: address for number, address in found.items() if times[address] == 1}
        unknown = {
            number: f"{found[number]} is said to be another device as well" if number in found else why[number]
            for number in numbers
            if number not in addresses
        }
        return Located(
            addresses=MappingProxyType(addresses), unknown=MappingProxyType(unknown), problems=tuple(problems)
        )

    def _functions(self, known: InstanceType | None) -> list[str]:
        """The addresses of the Neuron devices that the kernel module drives, in the order of the bus."""
        try:
            names = sorted(entry.name for entry in self._context.path(PCI_DRIVER).iterdir())
        except OSError:
            return []
        return [name for name in names if _ADDRESS.fullmatch(name) and self._doubt(name, known) is None]

    def _doubt(self, address: str, known: InstanceType | None) -> str | None:
        """Why what is at an address is no Neuron device of the type's generation; None if it is one."""
        generations = (known.architecture,) if known else ARCHITECTURES.values()
        devices = [number for generation in generations for number in generation.pci_devices]
        if not devices and not self._is_driven(address):
            return f"{PCI_DRIVER}/{address} is not there, so the kernel module does not drive it"
        for name, expected in (("vendor", [AMAZON]), ("device", devices)):
            if not expected:  # of a generation that is known by configuration alone
                continue
            path = f"{PCI_DEVICES}/{address}/{name}"
            try:
                found = read_number(self._context, path, 16)
            except Unreadable as error:
                return str(error)
            if found not in expected:
                return f"{path} is {found:#06x}, not {' or '.join(f'{number:#06x}' for number in expected)}"
        return None

    def _is_driven(self, address: str) -> bool:
        try:
            return self._context.path(f"{PCI_DRIVER}/{address}").exists()
        except OSError:
            return False

    def _published(
        self, numbers: Collection[int], known: InstanceType | None, functions: Collection[str]
    ) -> tuple[dict[int, str], list[str]]:
        """What the table of the type says and the bus confirms, and where it does not.

        One device that is elsewhere shows that the table is not of this hardware: then none of it is used.
        """
        table = known.addresses if known else ()
        if known is None or not table:
            return {}, []
        if strays := [address for address in functions if address not in table]:
            where = ", ".join(strays)
            return {}, [f"Neuron devices are at {where}, where {known.name} has none: its PCI addresses are not used"]
        found, problems = {}, []
        for number in numbers:
            if number >= len(table):
                continue
            if (doubt := self._doubt(table[number], known)) is None:
                found[number] = table[number]
            else:
                problems.append(f"neuron{number} is not where {known.name} has it: {doubt}")
        return found, problems

    def _ask(self, numbers: Sequence[int], functions: Collection[str], module: str) -> dict[int, str]:
        """Ask the kernel module where devices are; returns by number why that is still not known."""
        why: dict[int, str] = {}
        for number in numbers:
            if self._ignorant is not None and self._ignorant[0] == module:
                why[number] = self._ignorant[1]
                continue
            try:
                address = self._ask_device(number)
            except OSError as error:
                why[number] = f"/dev/neuron{number} does not tell ({error.strerror or describe(error)})"
                if error.errno in _NOT_KNOWN_TO_THE_MODULE:
                    self._ignorant = (module, why[number])
            except Unreadable as error:
                why[number] = str(error)
            else:
                if address in functions:
                    self._told[number] = address
                else:
                    why[number] = f"/dev/neuron{number} says {address}, where the bus has no Neuron device"
        return why

    def _ask_device(self, number: int) -> str:
        """Ask one device for its own address. Raises OSError and Unreadable.

        It is opened for writing only: such an open neither counts as a use of the device nor waits for its reset.
        """
        self._check_major(number)
        request = bytearray(_BDF.size)
        with self._context.open_device(f"/dev/neuron{number}", os.O_WRONLY) as device:
            self._ioctl(device.fileno(), _DEVICE_BDF, request)
        _, domain, bus, slot, function = _BDF.unpack(request)
        return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"

    def _check_major(self, number: int) -> None:
        """Raise Unreadable unless the kernel has the device's number from the Neuron module: another is not opened."""
        path = f"{CLASS}/neuron{number}/dev"
        major = read_text(self._context, path).partition(":")[0]
        registered = read_bytes(self._context, "/proc/devices", limit=None).decode(errors="replace")
        if [major, REGION] not in [line.split() for line in registered.splitlines()]:
            raise Unreadable(f"/proc/devices does not give {major}, the major number in {path}, to {REGION}")

    def _look_up(self, numbers: Sequence[int], functions: Sequence[str], why: dict[int, str]) -> None:
        """Look for devices in the kernel's log, where it may be read; the latest line on a device counts."""
        if not numbers:
            return
        try:
            matches = [match for record in read_records(self._context) if (match := _FOUND.search(record.text))]
        except Unreadable as error:
            for number in numbers:
                why[number] += f"; {error}"
            return
        said = {int(match[2]): match[1] for match in matches}
        for number in numbers:
            # The log leaves out the PCI domain.
            at = [address for address in functions if address.partition(":")[2] == said.get(number)]
            if len(at) == 1:
                self._told[number] = at[0]
            else:
                why[number] += "; the kernel's log does not say either"
