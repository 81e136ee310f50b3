"""A faked node's EFA adapters: the files that the RDMA stack would show, in a directory."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from drakit import PciFunction

from drakit_efa.counters import COUNTERS_DIRECTORY, DEVICE_COUNTERS, PORT_COUNTERS
from drakit_efa.devices import device_name
from drakit_efa.faulty import faults
from drakit_efa.ports import PORT
from drakit_efa.sysfs import AMAZON, DRIVER, ETHERNET, MODULE, VERBS_DEVICES, VERBS_NODES

DATA = Path(__file__).parent / "data"

_FAKED = json.loads((DATA / "faked.json").read_text(encoding="utf-8"))
_NODES: Mapping[str, Mapping[str, Any]] = {name: node for node in _FAKED["nodes"] for name in node["types"]}

NODE_TYPES = tuple(sorted(_NODES))
"""The instance types that can be faked."""

_FIRST_DEVICE = 0xEFA0
_VERBS_MAJOR, _FIRST_MINOR = 231, 192
_LANES = {100: "4X EDR", 200: "4X HDR", 400: "4X NDR"}
_MODULE_VERSION = "3.1.0g"
_LIFESPAN = "10"
"""For how many milliseconds the kernel gives the same count again."""


@frozen(kw_only=True)
class _Place:
    """Where one adapter sits. `bus` and the rest as in its PCI address, `0000:bus:slot.function`."""

    bus: int
    slot: int
    function: int
    root: str
    numa_node: int

    @property
    def address(self) -> str:
        return f"0000:{self.bus:02x}:{self.slot:02x}.{self.function}"

    @property
    def verbs(self) -> str:
        """What rdma-core's udev rule calls the RDMA device: by its place, in decimal."""
        return f"rdmap{self.bus}s{self.slot}" + (f"f{self.function}" if self.function else "")


def lay_out(node_type: str, root: Path) -> Sequence[PciFunction]:
    """Write the adapters of an instance type below `root`, over what is there; an unknown type has none."""
    node = _NODES.get(node_type)
    if node is None:
        return ()
    places = sorted(_places(node), key=lambda place: place.address)
    for number, place in enumerate(places):
        function = root / "sys/devices" / place.root / place.address
        _write_verbs_device(root, function, place, node["gbps"])
        _write_verbs_node(root, function, place, number)
    _write(root / MODULE[1:] / "version", f"{_MODULE_VERSION}\n")
    return [_function(place, _FIRST_DEVICE + node["generation"]) for place in places]


def _places(node: Mapping[str, Any]) -> Iterator[_Place]:
    for root, below in node["roots"].items():
        for text in below["functions"]:
            bus, slot = text.split(":")
            slot, function = slot.split(".")
            yield _Place(
                bus=int(bus, 16), slot=int(slot, 16), function=int(function), root=root, numa_node=below["numa"]
            )


def _function(place: _Place, device: int) -> PciFunction:
    return PciFunction(
        address=place.address,
        vendor=AMAZON,
        device=device,
        class_code=ETHERNET << 8,
        driver=DRIVER,
        root=place.root,
        subsystem_vendor=AMAZON,
        subsystem_device=device,
        numa_node=place.numa_node,
        published_as=device_name(place.address),
        module=DRIVER,
        faults=faults(f"sys/devices/{place.root}/{place.address}/infiniband/{place.verbs}"),
    )


def _write_verbs_device(root: Path, function: Path, place: _Place, gbps: int) -> None:
    directory = function / "infiniband" / place.verbs
    mac = bytes((0x02, 0, 0, place.bus, place.slot, place.function))
    files = {
        "node_guid": _colons(mac[2:] + bytes((0, 0, place.bus, place.function))),
        "ports/1/state": "4: ACTIVE",
        "ports/1/rate": f"{gbps} Gb/sec ({_LANES[gbps]})",
        "ports/1/gids/0": _colons(_link_local(mac)),
    }
    for counted, counters in (("", DEVICE_COUNTERS), (f"{PORT}/", PORT_COUNTERS)):
        files |= {f"{counted}{COUNTERS_DIRECTORY}/{name}": "0" for name in counters}
        files[f"{counted}{COUNTERS_DIRECTORY}/lifespan"] = _LIFESPAN
    for name, text in files.items():
        _write(directory / name, f"{text}\n")
    _link(directory / "device", function)
    _link(root / VERBS_DEVICES[1:] / place.verbs, directory)


def _write_verbs_node(root: Path, function: Path, place: _Place, number: int) -> None:
    directory = function / "infiniband_verbs" / f"uverbs{number}"
    _write(directory / "ibdev", f"{place.verbs}\n")
    _write(directory / "dev", f"{_VERBS_MAJOR}:{_FIRST_MINOR + number}\n")
    _link(directory / "device", function)
    _link(root / VERBS_NODES[1:] / directory.name, directory)
    _make_node(root / "dev/infiniband" / directory.name, _FIRST_MINOR + number)


def _link_local(mac: bytes) -> bytes:
    """The first GID of a port: the link-local IPv6 address made of its network interface's MAC."""
    return b"\xfe\x80" + bytes(6) + bytes((mac[0] ^ 2,)) + mac[1:3] + b"\xff\xfe" + mac[3:]


def _colons(data: bytes) -> str:
    return data.hex(":", 2)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


def _link(link: Path, target: Path) -> None:
    """A relative link, as sysfs has it, that holds wherever the tree is mounted."""
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
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
