"""What the kernel says of the node's Neuron devices: where it stands, and how it is read.

Everything is read under the root of the plugin's context. Facts of the file tree: the aws-neuronx kernel module.
A Neuron device in sysfs is virtual: it has no link to its PCI function, and its number is not its place on the bus.
"""

from __future__ import annotations

import errno
import re

from drakit import PluginContext
from drakit.errors import DRAError, describe

CLASS = "/sys/class/neuron_device"
PRODUCT_NAME = "/sys/devices/virtual/dmi/id/product_name"
MODULE = "/sys/module/neuron"
MODULE_VERSION = f"{MODULE}/version"
PCI_DEVICES = "/sys/bus/pci/devices"
PCI_DRIVER = "/sys/bus/pci/drivers/neuron-driver"

_DEVICE = re.compile(r"neuron(0|[1-9][0-9]{0,3})", re.ASCII)
_MAX_TEXT = 64
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


class Unreadable(Exception):
    """A file of sysfs is missing, may not be read, or holds what it cannot hold. The message names it."""


class Absent(Unreadable):
    """The file is not there."""


class Denied(Unreadable):
    """The file is there, and this process may not read it."""


class Unlistable(DRAError):
    """There is a class of Neuron devices, and what is in it cannot be told. The message says what to do."""


def list_devices(context: PluginContext) -> list[int]:
    """The numbers of the devices that sysfs names, ascending, gaps and all. UltraServer types have files beside them.

    Raises Unlistable.
    """
    try:
        names = [entry.name for entry in context.path(CLASS).iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Unlistable(
            f"{CLASS} cannot be listed ({error.strerror or describe(error)}): nothing of its devices is known; see "
            "that the agent has the host's /sys, and runs as root, else load the kernel module anew or reboot the node"
        ) from error
    return sorted(int(match[1]) for name in names if (match := _DEVICE.fullmatch(name)))


def present_devices(context: PluginContext) -> list[int]:
    """The numbers of the devices that are there, ascending. Raises Unlistable."""
    return [number for number in list_devices(context) if is_present(context, number)]


def is_present(context: PluginContext, device_id: int) -> bool:
    """Whether the kernel still knows the device."""
    try:
        return context.path(f"{CLASS}/neuron{device_id}").is_dir()
    except OSError:  # a circle of links, or a place we may not look into: no use to anyone
        return False


def has_device_node(context: PluginContext, device_id: int) -> bool:
    """Whether there is the file that a container needs to use the device."""
    try:
        return context.path(device_node(device_id)).exists()
    except OSError:
        return False


def device_node(device_id: int) -> str:
    """Where a container, and the host, has the device."""
    return f"/dev/neuron{device_id}"


def read_instance_type(context: PluginContext) -> str:
    """The EC2 instance type, from DMI. Raises Unreadable."""
    return read_text(context, PRODUCT_NAME)


def read_architecture(context: PluginContext, device_id: int) -> str:
    """The name of a device's generation, such as Trn2. Raises Unreadable."""
    return read_text(context, f"{CLASS}/neuron{device_id}/info/architecture/instance_type")


def read_text(context: PluginContext, path: str) -> str:
    """The one short line of a sysfs file. Raises Unreadable."""
    try:
        text = read_bytes(context, path).decode().strip()
    except UnicodeDecodeError:
        raise Unreadable(f"{path} does not hold text") from None
    if not text or not text.isprintable() or len(text.encode()) > _MAX_TEXT:
        raise Unreadable(f"{path} holds {text[:_MAX_TEXT]!r}, which is not a short line of text")
    return text


def read_number(context: PluginContext, path: str, base: int = 10) -> int:
    """The number in a sysfs file. Raises Unreadable."""
    text = read_text(context, path)
    try:
        return int(text, base)
    except ValueError:
        raise Unreadable(f"{path} holds {text!r}, which is not a number") from None


def read_bytes(context: PluginContext, path: str, limit: int | None = _MAX_TEXT * 4) -> bytes:
    """What a file of the kernel holds, cut where it is longer than a line should be. Raises Unreadable."""
    try:
        return context.path(path).read_bytes()[:limit]
    except OSError as error:
        message = f"cannot read {path} ({error.strerror or describe(error)})"
        if error.errno in _ABSENT:
            raise Absent(message) from None
        raise (Denied if isinstance(error, PermissionError) else Unreadable)(message) from None
