"""Faked nodes: which there are, and what the files of their devices hold.

A node type is an instance type, with SageMaker's `ml.` before it where AWS's chart has such nodes, or a variant of one:

- `TYPE@driver-RELEASE`: with an older kernel module.
- `TYPE@all-counters`: with those of every core, where the others have a few of the first.
- `TYPE@missing-3`: device 3 is on the bus, and the kernel module could not start it.
- `TYPE@node-1` to `TYPE@node-3`, of UltraServers: the other nodes of the server that the type itself is node 0 of.
- `TYPE@alone` and `TYPE@busy`, of UltraServers: a node whose links to others are down, or that still looks for them.

Facts: the aws-neuronx kernel module, and its release notes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from attrs import evolve, field, frozen

from drakit_neuron.instances import INSTANCE_TYPES, SAGEMAKER, InstanceType, read_data

_DATA = read_data("faked.json")

CORE_COUNTERS = ("hw_error", "hw_hbm_ue_error", "hw_nc_ue_error")
"""Counters that tell of a broken core. Those of every core would be thousands of files, on a node that is laid out for
every test."""

ALL_CORE_COUNTERS = (
    *CORE_COUNTERS,
    "hw_dma_abort_error",
    "hw_collectives_error",
    "hw_repairable_hbm_ue_error",
    "timeout",
    "success",
    "failure",
    "generic_error",
    "exec_bad_input",
    "invalid_error",
    "oob_error",
    "resource_error",
    "resource_nc_error",
    "unsupported_neff_version",
)
"""Counters of a core, but for some that tell of what a program did."""

_SERVER_NODES = 4
_MISSING = 3
ALONE, BUSY = "alone", "busy"
_NO_SERVER = "0" * 16


@frozen(kw_only=True)
class Release:
    """A release of the kernel module.

    `readable`: others than root may read what cores a device has and what it is connected to. `corrected`: corrected
    memory errors are counted. `health_status`: the files of this directory, with what they hold on a good device.
    """

    version: str
    readable: bool = False
    corrected: bool = False
    health_status: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class FakedNode:
    """A node to be faked. `member` is which one of an UltraServer it is: a number, ALONE or BUSY; "" for all others.

    `all_counters`: with those of every core. `missing`: the device that did not start.
    """

    instance: InstanceType
    release: Release
    member: str = ""
    all_counters: bool = False
    missing: int | None = None

    @property
    def shape(self) -> str:
        """Its generation and number of devices."""
        return f"{self.instance.architecture.name}-{self.instance.devices}"

    @property
    def counts_memory_errors(self) -> bool:
        """Whether its devices have counters of memory errors."""
        return self.instance.architecture.name not in _DATA["withoutHardwareCounters"]


def _release(name: str) -> Release:
    facts: dict[str, Any] = _DATA["releases"][name]
    return Release(
        version=facts["version"],
        readable=facts.get("readable", False),
        corrected=facts.get("corrected", False),
        health_status=facts.get("healthStatus", {}),
    )


def _nodes() -> Iterator[tuple[str, FakedNode]]:
    platforms = {name: kind for kind, names in _DATA["ultraServers"].items() for name in names}
    for name, instance in INSTANCE_TYPES.items():
        release = _release(_DATA["releaseOf"].get(instance.architecture.name, _DATA["release"]))
        first = FakedNode(instance=instance, release=release, member="0" if name in platforms else "")
        yield name, first
        if name in _DATA["aged"]["types"]:
            for age in _DATA["aged"]["releases"]:
                yield f"{name}@driver-{age}", evolve(first, release=_release(age))
            yield f"{name}@all-counters", evolve(first, all_counters=True)
        if name in _DATA["incomplete"]:
            yield f"{name}@missing-{_MISSING}", evolve(first, missing=_MISSING)
        if name in _DATA["sageMaker"]:
            yield f"{SAGEMAKER}{name}", first
        if name in platforms:
            for number in range(1, _SERVER_NODES):
                yield f"{name}@node-{number}", evolve(first, member=str(number))
            for state in (ALONE, BUSY):
                yield f"{name}@{state}", evolve(first, member=state)


FAKED_NODES: Mapping[str, FakedNode] = MappingProxyType(dict(_nodes()))
"""Every node that can be faked, by its type."""


def places(node: FakedNode) -> Sequence[tuple[str, str, int]]:
    """By device id: PCI address, PCI root and NUMA node; each on a root of its own where nothing better is known."""
    key = _DATA["placesOf"].get(node.instance.name, node.shape)
    if key in _DATA["places"]:
        return [(address, root, numa_node) for address, root, numa_node in _DATA["places"][key]]
    buses = range(0x10, 0x10 + node.instance.devices)
    return [(f"0000:{bus:02x}:00.0", f"pci0000:{bus:02x}", -1) for bus in buses]


def device_files(node: FakedNode, number: int) -> dict[str, str]:
    """What the files of a device hold, by their path below its directory."""
    architecture = node.instance.architecture
    files = {
        "core_count": str(architecture.cores),
        "connected_devices": _connected(node, number),
        "reset": "1\n",
        "info/notify_delay": "-1\n",
        "info/architecture/arch_type": f"{architecture.generation}\n",
        "info/architecture/instance_type": f"{architecture.name}\n",
        "info/architecture/device_name": f"{architecture.device_name}\n",
    }
    files |= {f"neuron_core0/stats/status/{counter}/total": "0\n" for counter in CORE_COUNTERS}
    if node.all_counters:
        files |= _all_counters(architecture.cores)
    return files | (_hardware_files(node, number) if node.counts_memory_errors else {})


def class_files(node: FakedNode) -> dict[str, str]:
    """What the files beside the devices hold, which only nodes of an UltraServer have."""
    if not node.member:
        return {}
    if node.instance.name in _DATA["ultraServers"]["trn2u"]:
        return _pair_and_server(node.member)
    if node.member == ALONE:
        return {"node_id": "-1\n", "reservation_id": f"{_NO_SERVER}\n", "ultraserver_mode": "4\n"}
    if node.member == BUSY:
        return {"node_id": "busy\n", "reservation_id": f"{_NO_SERVER}\n", "ultraserver_mode": "busy\n"}
    server = _hex(node.instance.name, "reservation")
    return {"node_id": f"{node.member}\n", "reservation_id": f"{server}\n", "ultraserver_mode": "1,2,4\n"}


def faults(node: FakedNode) -> dict[str, dict[str, str]]:
    """What can go wrong with a device, by a word: files below its directory, and what they hold then."""
    hardware, health = "stats/hardware", "stats/hardware/health_status"
    found = {
        "core-error": {"neuron_core0/stats/status/hw_error/total": "+1"},
        "unlinked": {"connected_devices": "\n"},
    }
    if node.counts_memory_errors:
        found["ecc"] = {f"{hardware}/mem_ecc_uncorrected": "+1"}
        found["sram-ecc"] = {f"{hardware}/sram_ecc_uncorrected": "+1"}
        found["repairable-ecc"] = {f"{hardware}/mem_ecc_repairable_uncorrected": "+1"}
    if node.counts_memory_errors and node.release.corrected:
        found["corrected-ecc"] = {f"{hardware}/mem_ecc_corrected": "+1"}
    shown = _health_status(node)
    if "mem_ecc_uncorrected" in shown:
        found["ecc"][f"{health}/mem_ecc_uncorrected"] = "+1"
        found["repairable-ecc"][f"{health}/mem_ecc_repairable_uncorrected"] = "+1"
        found["core-error"][f"{health}/hw_error_event"] = "+1"
    if "unhealthy_components" in shown:
        found["link-down"] = {f"{health}/unhealthy_components": "link_intraserver\n"}
        found["hbm-down"] = {f"{health}/unhealthy_components": "hbm\n"}
    return {"unhealthy": found["ecc" if node.counts_memory_errors else "core-error"], **found}


def _connected(node: FakedNode, number: int) -> str:
    """As the kernel module prints them: of its type, and none on a node that has not as many devices as its type."""
    connections = _DATA["connections"].get(node.shape) if node.missing is None else None
    return (", ".join(map(str, connections[number])) if connections else "") + "\n"


def _all_counters(cores: int) -> dict[str, str]:
    files = {f"stats/memory_usage/host_mem/{name}": "0\n" for name in ("total", "present", "peak")}
    return files | {
        f"neuron_core{core}/stats/status/{counter}/{name}": "0\n"
        for core in range(cores)
        for counter in ALL_CORE_COUNTERS
        for name in ("total", "present")
    }


def _hardware_files(node: FakedNode, number: int) -> dict[str, str]:
    counters = ["mem_ecc_uncorrected", "mem_ecc_repairable_uncorrected", "sram_ecc_uncorrected"]
    if node.release.corrected:
        counters += ["mem_ecc_corrected", "sram_ecc_corrected"]
    files = {f"stats/hardware/{name}": "0\n" for name in counters}
    files |= {f"stats/hardware/health_status/{name}": f"{text}\n" for name, text in _health_status(node).items()}
    return files | {"info/serial_number": f"{_hex(node.instance.name, node.member, number)}\n"}


def _health_status(node: FakedNode) -> Mapping[str, str]:
    return node.release.health_status if node.instance.architecture.name in _DATA["withHealthStatus"] else {}


def _pair_and_server(member: str) -> dict[str, str]:
    """The files of Trn2 UltraServers: of the pair of nodes, and of all four."""
    if member in (ALONE, BUSY):
        node_id, mode = ("-1", "4") if member == ALONE else ("busy", "busy")
        ids = {f"node_id_{size}": f"{node_id}\n" for size in (2, 4)}
        servers = {f"server_id_{size}": f"{_NO_SERVER}\n" for size in (2, 4)}
        return {**ids, **servers, "ultraserver_mode": f"{mode}\n"}
    number = int(member)
    return {
        "node_id_2": f"{number % 2}\n",
        "node_id_4": f"{number}\n",
        "server_id_2": f"{_hex('trn2u', 'pair', number // 2)}\n",
        "server_id_4": f"{_hex('trn2u', 'server')}\n",
        "ultraserver_mode": "1,2,4\n",
    }


def _hex(*words: object) -> str:
    """Sixteen hex digits, the same in every run."""
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]
