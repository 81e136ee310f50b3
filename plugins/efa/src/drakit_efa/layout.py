"""A faked node's EFA adapters: the files that the RDMA stack would show, in a directory."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import evolve
from drakit import PciFunction

from drakit_efa.counters import COUNTERS_DIRECTORY, DEVICE_COUNTERS, PORT_COUNTERS
from drakit_efa.devices import device_name
from drakit_efa.faked import NETNS_EXCLUSIVE, FakedAdapter, FakedInterface, FakedNode, Place, faked_node
from drakit_efa.faulty import faults
from drakit_efa.ports import PORT
from drakit_efa.sysfs import (
    AMAZON,
    DRIVER,
    ETHERNET,
    FIRST_DEVICE,
    MODULE,
    SHARED_NAMESPACES,
    VERBS_DEVICES,
    VERBS_NODES,
)

_VERBS_MAJOR, _FIRST_MINOR = 231, 192
_ENA = 0xEC20
_MELLANOX, _CONNECTX_7, _INFINIBAND = 0x15B3, 0x1021, 0x020700
_MODULE_VERSION = "3.1.0g"
_SPEEDS = {100: "4X EDR", 200: "4X HDR", 400: "8X HDR"}
"""What the EFA driver calls the speed of a link, by Gbit/s."""
_LIFESPAN = "10"
"""For how many milliseconds the kernel gives the same count again."""


def lay_out(node_type: str, root: Path) -> Sequence[PciFunction]:
    """Write the adapters of a node type below `root`, over what is there; an unknown type has none.

    With them their neighbours: the network interfaces they were attached with, and verbs devices that are none of ours.
    """
    node = faked_node(node_type)
    if node is None:
        return ()
    for interface in node.interfaces:
        _write_interface(root, interface)
    if node.loaded:
        _write_modules(root, node)
        for adapter in node.adapters:
            _write_adapter(root, node, adapter)
        for verbs, place in node.controllers:
            _write_verbs_device(root, place, verbs, {"ports/1/state": "4: ACTIVE"})
        for number, (verbs, place) in enumerate(node.verbs):
            _write_verbs_node(root, place, verbs, number)
    return [
        *(_function(node, adapter) for adapter in node.adapters),
        *(_interface_function(interface.place) for interface in node.interfaces),
        *(_controller_function(place) for _, place in node.controllers),
    ]


def _function(node: FakedNode, adapter: FakedAdapter) -> PciFunction:
    device = FIRST_DEVICE + node.generation
    function = PciFunction(
        address=adapter.place.address,
        vendor=AMAZON,
        device=device,
        class_code=ETHERNET << 8,
        root=adapter.place.root,
        subsystem_vendor=AMAZON,
        subsystem_device=device,
        numa_node=adapter.place.numa_node,
    )
    return _driven(function, adapter) if node.loaded else function


def _driven(function: PciFunction, adapter: FakedAdapter) -> PciFunction:
    """The function of an adapter whose kernel module is loaded."""
    verbs_device = f"sys/devices/{adapter.place.root}/{adapter.place.address}/infiniband/{adapter.verbs}"
    return evolve(
        function,
        driver=DRIVER,
        published_as=device_name(adapter.place.address),
        module=DRIVER,
        faults=faults(verbs_device),
    )


def _interface_function(place: Place) -> PciFunction:
    return PciFunction(
        address=place.address,
        vendor=AMAZON,
        device=_ENA,
        class_code=ETHERNET << 8,
        driver="ena",
        root=place.root,
        subsystem_vendor=AMAZON,
        subsystem_device=_ENA,
        numa_node=place.numa_node,
    )


def _controller_function(place: Place) -> PciFunction:
    return PciFunction(
        address=place.address,
        vendor=_MELLANOX,
        device=_CONNECTX_7,
        class_code=_INFINIBAND,
        driver="mlx5_core",
        root=place.root,
        numa_node=place.numa_node,
    )


def _directory(root: Path, place: Place) -> Path:
    return root / "sys/devices" / place.root / place.address


def _write_modules(root: Path, node: FakedNode) -> None:
    _write_all(root / MODULE[1:], {"version": _MODULE_VERSION})
    shared = root / SHARED_NAMESPACES[1:]
    _write_all(shared.parent, {shared.name: "N" if node.variant == NETNS_EXCLUSIVE else "Y"})


def _write_adapter(root: Path, node: FakedNode, adapter: FakedAdapter) -> None:
    _write_all(_directory(root, adapter.place), {"p2p": node.provider})
    files = {
        "node_guid": _colons(adapter.guid),
        "ports/1/state": "4: ACTIVE",
        "ports/1/rate": f"{node.gbps} Gb/sec ({_SPEEDS[node.gbps]})",
        "ports/1/gids/0": _colons(_link_local(adapter.place.mac)),
    }
    for counted, counters in (("", DEVICE_COUNTERS), (f"{PORT}/", PORT_COUNTERS)):
        files |= {f"{counted}{COUNTERS_DIRECTORY}/{name}": "0" for name in counters}
        files[f"{counted}{COUNTERS_DIRECTORY}/lifespan"] = _LIFESPAN
    _write_verbs_device(root, adapter.place, adapter.verbs, files)


def _write_verbs_device(root: Path, place: Place, verbs: str, files: Mapping[str, str]) -> None:
    function = _directory(root, place)
    directory = function / "infiniband" / verbs
    _write_all(directory, files)
    _link(directory / "device", function)
    _link(root / VERBS_DEVICES[1:] / verbs, directory)


def _write_verbs_node(root: Path, place: Place, verbs: str, number: int) -> None:
    function = _directory(root, place)
    directory = function / "infiniband_verbs" / f"uverbs{number}"
    _write_all(directory, {"ibdev": verbs, "dev": f"{_VERBS_MAJOR}:{_FIRST_MINOR + number}"})
    _link(directory / "device", function)
    _link(root / VERBS_NODES[1:] / directory.name, directory)
    _make_node(root / "dev/infiniband" / directory.name, _FIRST_MINOR + number)


def _write_interface(root: Path, interface: FakedInterface) -> None:
    directory = _directory(root, interface.place) / "net" / interface.name
    _write_all(directory, {"address": interface.mac.hex(":")})
    _link(root / "sys/class/net" / interface.name, directory)


def _link_local(mac: bytes) -> bytes:
    """The first GID of a port: the link-local IPv6 address made of its network interface's MAC."""
    return b"\xfe\x80" + bytes(6) + bytes((mac[0] ^ 2,)) + mac[1:3] + b"\xff\xfe" + mac[3:]


def _colons(data: bytes) -> str:
    return data.hex(":", 2)


def _write_all(directory: Path, files: Mapping[str, str]) -> None:
    """Write files of one line below a directory; hundreds of them, so that none costs more than it must."""
    base = str(directory)
    for parent in sorted({os.path.dirname(f"{base}/{name}") for name in files}):
        os.makedirs(parent, exist_ok=True)
    for name, text in files.items():
        file = os.open(f"{base}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.write(file, f"{text}\n".encode("ascii"))
        finally:
            os.close(file)


def _link(link: Path, target: Path) -> None:
    """A relative link, as sysfs has it, that holds wherever the tree is mounted."""
    with contextlib.suppress(FileExistsError):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(target, link.parent))


def _make_node(path: Path, minor: int) -> None:
    """A character device where the process may make one, else a regular file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(_VERBS_MAJOR, minor))
    except PermissionError:
        path.touch()
