"""The standard attributes of PCI devices, as the kernel's sysfs tells them.

Drivers that publish them alike can be asked for devices that are close to each other (`matchAttribute`). What sysfs
does not know is absent: a made-up value would match all other devices of which it is not known either.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from drakit.context import PluginContext
from drakit.model import AttributeValue

PCI_BUS_ID = "resource.kubernetes.io/pciBusID"
PCIE_ROOT = "resource.kubernetes.io/pcieRoot"
NUMA_NODE = "resource.kubernetes.io/numaNode"

_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_ROOT = re.compile(r"pci[0-9a-f]{4}:[0-9a-f]{2}")
_NODE = re.compile(r"node([0-9]+)", re.ASCII)
_NODES = "/sys/devices/system/node"


def pci_attributes(context: PluginContext, address: str) -> dict[str, AttributeValue]:
    """The standard attributes of the PCI function at an address such as `0000:c9:00.0`.

    Always `pciBusID`; `pcieRoot` and `numaNode` where sysfs knows them. Where attributes may be lists, `numaNode` is
    one: the node, then the others of its socket that are nearest to it. Raises ValueError for what is no address.
    """
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"a PCI address is like 0000:c9:00.0, in lower case, not {address!r}")
    attributes: dict[str, AttributeValue] = {PCI_BUS_ID: address}
    function = context.path(f"/sys/bus/pci/devices/{address}")
    if (root := _pcie_root(context, function)) is not None:
        attributes[PCIE_ROOT] = root
    node = _number(function / "numa_node")
    if node is not None and node >= 0:
        attributes[NUMA_NODE] = (node, *_nearest(context, node)) if context.list_attributes else node
    return attributes


def _pcie_root(context: PluginContext, function: Path) -> str | None:
    """The root complex a function hangs below: the first directory of its place in the tree of devices."""
    devices = context.path("/sys/devices")
    root = function.relative_to(devices).parts[0] if function.is_relative_to(devices) else ""
    return root if _ROOT.fullmatch(root) else None


def _nearest(context: PluginContext, node: int) -> list[int]:
    """The other NUMA nodes at the least distance from a node, as far as they are of its socket."""
    nodes = _numa_nodes(context)
    row = (_text(context.path(f"{_NODES}/node{node}/distance")) or "").split()
    if node not in nodes or len(row) != len(nodes) or not all(map(str.isdecimal, row)):
        return []
    distances = {other: int(distance) for other, distance in zip(nodes, row, strict=True) if other != node}
    least = min(distances.values(), default=0)
    socket = _socket(context, node)
    near = [other for other, distance in distances.items() if distance == least]
    return [other for other in near if socket is not None and _socket(context, other) == socket]


def _numa_nodes(context: PluginContext) -> list[int]:
    """The NUMA nodes that are there, ascending: the order in which the kernel writes distances."""
    try:
        names = os.listdir(context.path(_NODES))
    except OSError:
        return []
    return sorted(int(match[1]) for name in names if (match := _NODE.fullmatch(name)))


def _socket(context: PluginContext, node: int) -> int | None:
    """The physical package of a node's CPUs; None for a node that has memory only."""
    cpus = re.match(r"[0-9]+", _text(context.path(f"{_NODES}/node{node}/cpulist")) or "", re.ASCII)
    if cpus is None:
        return None
    return _number(context.path(f"/sys/devices/system/cpu/cpu{cpus[0]}/topology/physical_package_id"))


def _number(path: Path) -> int | None:
    try:
        return int(_text(path) or "")
    except ValueError:
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
