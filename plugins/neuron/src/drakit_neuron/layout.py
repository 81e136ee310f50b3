"""A faked node's Neuron devices: the files that the kernel module would show, in a directory."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drakit import PciFunction

from drakit_neuron.devices import device_name
from drakit_neuron.instances import AMAZON, INSTANCE_TYPES, InstanceType, read_data
from drakit_neuron.sysfs import CLASS, MODULE_VERSION, UNCORRECTED_COUNTERS

_FAKED = read_data("faked.json")
_NODES: Mapping[str, Mapping[str, Any]] = {name: node for node in _FAKED["nodes"] for name in node["types"]}

NODE_TYPES = tuple(sorted(_NODES))
"""The instance types that can be faked."""

_VIRTUAL = "sys/devices/virtual/neuron_device"
_MAJOR = 243
"""The kernel assigns the driver's major number; this is one it was seen to assign."""

_SYSTEM_PERIPHERAL = 0x088000


def lay_out(node_type: str, root: Path) -> Sequence[PciFunction]:
    """Write the devices of an instance type below `root`, over what is there; an unknown type has none."""
    node = _NODES.get(node_type)
    if node is None:
        return ()
    instance = INSTANCE_TYPES[node_type]
    connections = _FAKED["connections"][node["connections"]]
    for number in range(instance.devices):
        _write_device(root, instance, number, connections[number] if connections else ())
    for name, text in node.get("classFiles", {}).items():
        _write(root / CLASS[1:] / name, f"{text}\n")
    _write(root / MODULE_VERSION[1:], f"{_FAKED['driverVersion']}\n")
    return [_function(instance, number, *place) for number, place in enumerate(node["devices"])]


def _function(instance: InstanceType, number: int, address: str, pci_root: str, numa_node: int) -> PciFunction:
    device = f"{_VIRTUAL}/neuron{number}"
    return PciFunction(
        address=address,
        vendor=AMAZON,
        device=instance.architecture.pci_device,
        class_code=_SYSTEM_PERIPHERAL,
        driver="neuron-driver",
        root=pci_root,
        subsystem_vendor=AMAZON,
        subsystem_device=instance.architecture.pci_device,
        numa_node=numa_node,
        published_as=device_name(number),
        companions=[device],
        when_unhealthy={f"{device}/stats/hardware/{UNCORRECTED_COUNTERS[0]}": "1\n"},
    )


def _write_device(root: Path, instance: InstanceType, number: int, neighbours: Sequence[int]) -> None:
    directory = root / _VIRTUAL / f"neuron{number}"
    architecture = instance.architecture
    files = {
        "dev": f"{_MAJOR}:{number}\n",
        "core_count": str(architecture.cores),
        "connected_devices": ", ".join(map(str, neighbours)) + "\n",
        "reset": "1\n",
        "info/serial_number": _serial(instance, number) + "\n",
        "info/architecture/arch_type": f"{architecture.generation}\n",
        "info/architecture/instance_type": f"{architecture.name}\n",
        "info/architecture/device_name": f"{architecture.device_name}\n",
    }
    files |= {f"stats/hardware/{name}": "0\n" for name in (*UNCORRECTED_COUNTERS, "mem_ecc_repairable_uncorrected")}
    for name, text in files.items():
        _write(directory / name, text)
    link = root / CLASS[1:] / directory.name
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(os.path.relpath(directory, link.parent))
    _make_node(root / "dev" / directory.name, number)


def _serial(instance: InstanceType, number: int) -> str:
    """Sixteen hex digits, the same in every run."""
    return hashlib.sha256(json.dumps([instance.name, number]).encode()).hexdigest()[:16]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


def _make_node(path: Path, minor: int) -> None:
    """A character device where the process may make one, else a regular file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(_MAJOR, minor))
    except PermissionError:
        path.touch()
