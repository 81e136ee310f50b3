"""A faked node's Neuron devices: the files that the kernel module would show, in a directory."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import evolve
from drakit import PciFunction

from drakit_neuron.devices import device_name
from drakit_neuron.faked import FAKED_NODES, FakedNode, class_files, device_files, faults, places
from drakit_neuron.instances import AMAZON
from drakit_neuron.sysfs import CLASS, MODULE_VERSION

NODE_TYPES = tuple(sorted(FAKED_NODES))
"""The node types that can be faked: instance types and variants of them."""

_VIRTUAL = "sys/devices/virtual/neuron_device"
_MAJOR = 243
"""The kernel assigns the driver's major number; this is one it was seen to assign."""

_PRIVATE = ("reset", "core_count", "connected_devices")
"""Files that only root may read, but for the last two where the kernel module lets others."""

_SYSTEM_PERIPHERAL = 0x088000


def lay_out(node_type: str, root: Path) -> Sequence[PciFunction]:
    """Write the devices of a node type below `root`, over what is there; an unknown type has none."""
    node = FAKED_NODES.get(node_type)
    if node is None:
        return ()
    for number in range(node.instance.devices):
        if number != node.missing:
            _write_device(root, node, number)
    _write_all(root / CLASS[1:], class_files(node))
    _write_all(root, {MODULE_VERSION[1:]: f"{node.release.version}\n"})
    return [_function(node, number, place) for number, place in enumerate(places(node))]


def _function(node: FakedNode, number: int, place: tuple[str, str, int]) -> PciFunction:
    address, pci_root, numa_node = place
    function = PciFunction(
        address=address,
        vendor=AMAZON,
        device=node.instance.architecture.pci_device,
        class_code=_SYSTEM_PERIPHERAL,
        root=pci_root,
        subsystem_vendor=AMAZON,
        subsystem_device=node.instance.architecture.pci_device,
        numa_node=numa_node,
        module="neuron",
    )
    return function if number == node.missing else _started(function, node, number)


def _started(function: PciFunction, node: FakedNode, number: int) -> PciFunction:
    """The function of a device that the kernel module could start."""
    device = f"{_VIRTUAL}/neuron{number}"
    broken = faults(node).items()
    return evolve(
        function,
        driver="neuron-driver",
        published_as=device_name(number),
        companions=[device],
        faults={word: {f"{device}/{path}": text for path, text in files.items()} for word, files in broken},
    )


def _write_device(root: Path, node: FakedNode, number: int) -> None:
    directory = root / _VIRTUAL / f"neuron{number}"
    _write_all(directory, {"dev": f"{_MAJOR}:{number}\n", **device_files(node, number)})
    for name in _PRIVATE:
        is_public = node.release.readable and name != "reset"
        (directory / name).chmod(0o444 if is_public else 0o400)
    link = root / CLASS[1:] / directory.name
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(os.path.relpath(directory, link.parent))
    _make_node(root / "dev" / directory.name, number)


def _write_all(directory: Path, files: dict[str, str]) -> None:
    """Write files below a directory; thousands of them, so that none costs more than it must."""
    directory.mkdir(parents=True, exist_ok=True)
    base = str(directory)
    for parent in sorted(_parents(files)):
        with contextlib.suppress(FileExistsError):
            os.mkdir(f"{base}/{parent}")
    for name, text in files.items():
        _write(f"{base}/{name}", text)


def _parents(names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for name in names:
        parent = name.rpartition("/")[0]
        while parent and parent not in found:
            found.add(parent)
            parent = parent.rpartition("/")[0]
    return found


def _write(path: str, text: str) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    except PermissionError:  # ours, of an earlier layout, and closed even to its owner
        os.chmod(path, 0o644)
        file = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(file, text.encode("ascii"))
    finally:
        os.close(file)


def _make_node(path: Path, minor: int) -> None:
    """A character device where the process may make one, else a regular file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(_MAJOR, minor))
    except PermissionError:
        path.touch()
