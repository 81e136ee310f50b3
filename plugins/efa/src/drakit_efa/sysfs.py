"""What the kernel says of the node's EFA adapters.

An EFA adapter is a PCI function of its own, without a network interface, bound to the `efa` driver. It is recognised
by that and never by a table of names or device ids: new generations appear without a new release. Its verbs device
and the number of its character device come from sysfs, because udev rules name the one and load order the other.
Everything is read under the root of the plugin's context.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen
from drakit import PluginContext
from drakit.errors import describe

PCI_DEVICES = "/sys/bus/pci/devices"
VERBS_DEVICES = "/sys/class/infiniband"
VERBS_NODES = "/sys/class/infiniband_verbs"
SHARED_NAMESPACES = "/sys/module/ib_core/parameters/netns_mode"
"""Y where RDMA devices can be opened from every network namespace, as by default; N where only from their own."""
DRIVER = "efa"
MODULE = f"/sys/module/{DRIVER}"
AMAZON = 0x1D0F
"""Amazon's PCI vendor id."""
ETHERNET = 0x0200
"""The PCI class and subclass of network adapters: EFA functions have it although they have no interface."""

ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", re.ASCII)
_ROOT = re.compile(r"pci[0-9a-f]{4,8}:[0-9a-f]{2}", re.ASCII)
_VERBS = re.compile(r"[!-~]{1,63}", re.ASCII)
_NODE = re.compile(r"uverbs[0-9]+", re.ASCII)
_MAX_TEXT = 64


class Unusable(Exception):
    """An adapter that no container could use. The message says what of it is missing or wrong."""


class Unreadable(Exception):
    """A file of sysfs is missing, may not be read, or holds what it cannot hold. The message names it."""


@frozen(kw_only=True)
class Adapter:
    """One EFA adapter that can be used now.

    `verbs` is its RDMA device, such as rdmap16s27; `node` its character device below /dev/infiniband; `generation`
    its PCI subsystem, efa0 and up. What the kernel does not say is None.
    """

    address: str
    verbs: str
    node: str
    generation: str | None
    root: str | None
    numa_node: int | None


@frozen
class Scan:
    """The adapters of a node, by address, and lines for the log: what could not be read, and what is lost by it."""

    adapters: tuple[Adapter, ...]
    problems: tuple[str, ...]


def read_adapters(context: PluginContext, only: Sequence[str] = ()) -> Scan:
    """Every adapter of the node, or of these addresses. Raises OSError only where the bus cannot be listed at all."""
    adapters: list[Adapter] = []
    problems: list[str] = []
    present = _bound(context.path(PCI_DEVICES))
    nodes = _verbs_nodes(context)
    for address in present:
        if only and address not in only:
            continue
        try:
            adapters.append(_read(context, address, nodes, problems))
        except (Unusable, OSError) as error:
            problems.append(f"{address} is not published: {error}")
    if adapters and _namespaces_are_exclusive(context):
        problems.append(
            "RDMA devices belong to the host's network namespace alone: a pod can open an adapter only with "
            "hostNetwork; run 'rdma system set netns shared', or load ib_core with netns_mode=1"
        )
    problems += [
        f"option addresses names {address}, but no EFA adapter is there" for address in only if address not in present
    ]
    return Scan(tuple(adapters), tuple(problems))


def read_adapter(context: PluginContext, address: str) -> Adapter:
    """One adapter, as it is at this moment. Raises Unusable."""
    if not _is_bound(context.path(f"{PCI_DEVICES}/{address}")):
        raise Unusable(f"no PCI function {address} is bound to the {DRIVER} driver")
    return _read(context, address, _verbs_nodes(context), [])


def _namespaces_are_exclusive(context: PluginContext) -> bool:
    try:
        return _text(context.path(SHARED_NAMESPACES)) == "N"
    except (OSError, UnicodeDecodeError):
        return False  # as the kernel has it by default


def _bound(bus: Path) -> list[str]:
    """The addresses of all functions the driver is bound to, ascending."""
    try:
        names = sorted(os.listdir(bus))
    except FileNotFoundError:
        return []
    return [name for name in names if ADDRESS.fullmatch(name) and _is_bound(bus / name)]


def _is_bound(function: Path) -> bool:
    try:
        return os.path.basename(os.readlink(function / "driver")) == DRIVER
    except OSError:
        return False


def _read(context: PluginContext, address: str, nodes: Mapping[str, str], problems: list[str]) -> Adapter:
    """Read one function that is bound to the driver; what it can be used without becomes a problem only."""
    function = context.path(f"{PCI_DEVICES}/{address}")
    _check_identity(function)
    verbs = _verbs_device(context, function)
    if verbs not in nodes:
        raise Unusable(f"its RDMA device {verbs} has no verbs node; check that the ib_uverbs module is loaded")
    return Adapter(
        address=address,
        verbs=verbs,
        node=nodes[verbs],
        generation=_generation(function, problems),
        root=_pcie_root(context, function, problems),
        numa_node=_numa_node(function, problems),
    )


def _check_identity(function: Path) -> None:
    """Raise Unusable unless this is Amazon's, and a network adapter."""
    for name, expected, shift in (("vendor", AMAZON, 0), ("class", ETHERNET, 8)):
        try:
            found = _number(function / name, 16) >> shift
        except ValueError as error:
            raise Unusable(str(error)) from None
        if found != expected:
            raise Unusable(f"its {name} is {found:#06x}, and an EFA adapter's is {expected:#06x}")


def _verbs_device(context: PluginContext, function: Path) -> str:
    """The RDMA device of a function: named below it or, where that is hidden, found by its link back."""
    try:
        names = sorted(os.listdir(function / "infiniband"))
    except OSError:
        names = [n for n in _names(context, VERBS_DEVICES) if context.path(f"{VERBS_DEVICES}/{n}/device") == function]
    names = [name for name in names if _VERBS.fullmatch(name)]
    if not names:
        raise Unusable("it has no RDMA device; check that its driver has come up (dmesg)")
    return names[0]


def _verbs_nodes(context: PluginContext) -> dict[str, str]:
    """The character devices of the node, by RDMA device."""
    nodes = {}
    for name in _names(context, VERBS_NODES):
        if _NODE.fullmatch(name):
            with contextlib.suppress(OSError, ValueError):
                nodes[_text(context.path(f"{VERBS_NODES}/{name}/ibdev"))] = name
    return nodes


def list_names(directory: Path) -> list[str]:
    """The names in a directory, ascending; none where it cannot be listed."""
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _names(context: PluginContext, directory: str) -> list[str]:
    try:
        return list_names(context.path(directory))
    except OSError:
        return []


def _generation(function: Path, problems: list[str]) -> str | None:
    try:
        return f"{_number(function / 'subsystem_device', 16):04x}"
    except ValueError as error:
        problems.append(f"{function.name}: pciSubsystem is not published: {error}")
        return None


def _pcie_root(context: PluginContext, function: Path, problems: list[str]) -> str | None:
    """The root complex a function hangs below: the first directory of its place in the tree of devices."""
    devices = context.path("/sys/devices")
    root = function.relative_to(devices).parts[0] if function.is_relative_to(devices) else ""
    if _ROOT.fullmatch(root):
        return root
    problems.append(f"{function.name}: pcieRoot is not published: it does not hang below a PCI root ({function})")
    return None


def _numa_node(function: Path, problems: list[str]) -> int | None:
    """The NUMA node; None where the kernel knows none, which it says by -1."""
    try:
        node = _number(function / "numa_node")
    except ValueError as error:
        problems.append(f"{function.name}: numaNode is not published: {error}")
        return None
    return node if node >= 0 else None


def _number(path: Path, base: int = 10) -> int:
    """The number in a sysfs file. Raises ValueError, for people, also where the file cannot be read."""
    try:
        text = _text(path)
    except OSError as error:
        raise ValueError(f"cannot read {path.name} ({error.strerror or describe(error)})") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} does not hold text") from None
    try:
        return int(text, base)
    except ValueError:
        raise ValueError(f"{path.name} holds {text!r}, which is not a number") from None


def read_text(path: Path) -> str:
    """The one short line of a sysfs file; may be empty. Raises Unreadable."""
    try:
        return _text(path)
    except OSError as error:
        raise Unreadable(f"cannot read {path.name} ({error.strerror or describe(error)})") from None
    except UnicodeDecodeError:
        raise Unreadable(f"{path.name} does not hold text") from None


def _text(path: Path) -> str:
    """The line of a sysfs file. Raises OSError, or ValueError for what is no text."""
    return path.read_bytes()[:_MAX_TEXT].decode().strip()
