"""What the kernel module counts of a device: where the files are, and what a count means.

Facts: the aws-neuronx kernel module, its release notes, and AWS's sysfs user guide and troubleshooting guide. The names
of the files in `health_status` are not published: what is there is read, and judged by its name. Nothing is written;
a counter is cleared by writing into it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from attrs import field, frozen
from drakit import FaultEnd

HEALTH_STATUS = "health_status"
"""The directory of what the firmware says of itself, below `stats/hardware`; since release 2.28 of the module."""
COMPONENTS = "unhealthy_components"
"""The file in it that names what is unhealthy; since release 2.30.2, on Trn2 and Trn3."""
HEARTBEAT = "healthcheck_heartbeat"
"""The file in it that moves as long as the firmware looks; how fast it does is not published."""

REPLACE = "replace the instance"
RELOAD = "load the kernel module anew, or reboot the node"

_CORE = re.compile(r"neuron_core(0|[1-9][0-9]?)", re.ASCII)
_PASSED_OVER = "memory_usage"
_DEPTH = 6
_MAX_BYTES = 256


@frozen
class Counter:
    """Something that is counted.

    `path` is below the device's directory, as documented; `neuron_core*` is each of its cores, whose sum is reported.
    `limit` names the option of health that says how many are a fault; "" where none are. `remedy` is what then helps.
    """

    path: str
    meaning: str
    limit: str = ""
    remedy: str = REPLACE
    end: FaultEnd = FaultEnd.CLEARED


def _hardware(name: str) -> str:
    return f"stats/hardware/{name}"


def _status(name: str) -> str:
    return f"neuron_core*/stats/status/{name}/total"


COUNTERS: Mapping[str, Counter] = MappingProxyType(
    {
        "mem_ecc_uncorrected": Counter(
            _hardware("mem_ecc_uncorrected"), "errors of the device's memory that lost data", "uncorrected_ecc"
        ),
        "sram_ecc_uncorrected": Counter(
            _hardware("sram_ecc_uncorrected"), "errors of the memory on the chip that lost data", "uncorrected_ecc"
        ),
        "mem_ecc_repairable_uncorrected": Counter(
            _hardware("mem_ecc_repairable_uncorrected"),
            "errors of the device's memory that lost data and can be repaired",
            "repairable_ecc",
            RELOAD,
        ),
        "mem_ecc_corrected": Counter(
            _hardware("mem_ecc_corrected"),
            "errors of the device's memory that were corrected",
            "corrected_ecc",
            end=FaultEnd.STEADY,
        ),
        "sram_ecc_corrected": Counter(
            _hardware("sram_ecc_corrected"),
            "errors of the memory on the chip that were corrected",
            "corrected_ecc",
            end=FaultEnd.STEADY,
        ),
        "hw_error": Counter(_status("hw_error"), "executions that ended with a hardware error", "hardware_errors"),
        "hw_hbm_ue_error": Counter(
            _status("hw_hbm_ue_error"), "executions that met an error of memory that lost data", "hardware_errors"
        ),
        "hw_nc_ue_error": Counter(
            _status("hw_nc_ue_error"), "executions that met an error of a core that lost data", "hardware_errors"
        ),
        "hw_dma_abort_error": Counter(
            _status("hw_dma_abort_error"), "executions that a DMA engine aborted", "hardware_errors"
        ),
        "hw_repairable_hbm_ue_error": Counter(
            _status("hw_repairable_hbm_ue_error"),
            "executions that met an error of memory that lost data and can be repaired",
            "repairable_ecc",
            RELOAD,
        ),
        "hw_collectives_error": Counter(
            _status("hw_collectives_error"), "executions that hung in a collective, perhaps through another worker"
        ),
        "timeout": Counter(_status("timeout"), "executions that took too long"),
        "reset_fail_count": Counter(
            "neuron_core*/stats/other_info/reset_fail_count/total", "resets that failed, each counted on every core"
        ),
    }
)
"""Every counter that is reported, by its name in the metrics, and, where it is one, as a fault."""

EXPECTED = ("mem_ecc_uncorrected", "sram_ecc_uncorrected")
"""Counters that every device has, since release 2.14 of the module."""
WITHOUT_EXPECTED = ("Inf1",)
"""But for those of these architectures."""

COMPONENT_MEANINGS: Mapping[str, tuple[str, FaultEnd]] = MappingProxyType(
    {
        "hbm": ("its memory", FaultEnd.CLEARED),
        "sram": ("the memory on its chip", FaultEnd.CLEARED),
        "firmware_service_api": ("the interface of its firmware", FaultEnd.CLEARED),
        "firmware_service_processor": ("the processor of its firmware", FaultEnd.CLEARED),
        "axi_fabric": ("the fabric on its chip", FaultEnd.CLEARED),
        "link_intraserver": ("a link to another device of this node", FaultEnd.STEADY),
        "link_interserver": ("a link to a device of another node", FaultEnd.STEADY),
        "link_host": ("its link to the host", FaultEnd.STEADY),
        "link_efa": ("its link to an EFA adapter", FaultEnd.STEADY),
        "link_switch": ("its link to a switch", FaultEnd.STEADY),
    }
)
"""What the firmware may call unhealthy, and when that is over. Links come and go; the rest stays."""

_HEALTHY_WORDS = frozenset({"none", "ok", "healthy"})
_COMPONENT = re.compile(r"[a-z](?:[a-z0-9_-]{0,46}[a-z0-9])?", re.ASCII)
_STATUS = re.compile(r"[a-z0-9](?:[a-z0-9_]{0,46}[a-z0-9])?", re.ASCII)
"""A file of `health_status` that can be the name of a fault, which has room for 63 characters; others are left out."""

_KINDS: tuple[tuple[re.Pattern[str], Counter], ...] = (
    (re.compile("repairable"), Counter("", "errors of memory that can be repaired", "repairable_ecc", RELOAD)),
    (re.compile("uncorrect|(^|_)ue(_|$)"), Counter("", "errors of memory that lost data", "uncorrected_ecc")),
    (
        re.compile("correct|(^|_)ce(_|$)"),
        Counter("", "errors of memory that were corrected", "corrected_ecc", end=FaultEnd.STEADY),
    ),
    (re.compile("ecc|heartbeat"), Counter("", "what the firmware counts")),
    (re.compile("err"), Counter("", "hardware errors that the firmware noticed", "hardware_errors")),
)


def described(name: str) -> Counter:
    """What is known of a counter, by its name in the metrics; of one in `health_status` only what its name says.

    An ECC count there that does not say whether data was lost is no fault: those that did lose some are counted
    elsewhere as well.
    """
    if name in COUNTERS:
        return COUNTERS[name]
    return next((kind for pattern, kind in _KINDS if pattern.search(name)), Counter("", "what the firmware counts"))


@frozen
class Files:
    """The files of one device that health reads, as absolute paths: found once, for finding takes longer than reading.

    `counters` are by name. `components` is "" where the module has no such file.
    """

    counters: Mapping[str, tuple[str, ...]] = field(factory=dict)
    components: str = ""
    health_status: tuple[str, ...] = ()
    """What the kernel notifies of: all in that directory but what moves all the time."""


def find_files(directory: str) -> Files:
    """Look for the files of a device. Never raises: what cannot be listed is not there.

    They are known by their names, wherever they are, since releases of the module have moved them; where there are two
    of a name the documented one counts.
    """
    best: dict[tuple[str, str], str] = {}
    status: dict[str, str] = {}
    for path in _files_below(directory):
        parts = path.removesuffix("/total").split("/")
        name = parts[-1]
        if HEALTH_STATUS in parts:
            file = "_".join(parts[parts.index(HEALTH_STATUS) + 1 :]).lower()
            if _STATUS.fullmatch(file):
                status[file] = path
        elif name in COUNTERS:
            core = next((part for part in parts if _CORE.fullmatch(part)), "")
            best[name, core] = min(best.get((name, core), path), path, key=lambda one: _rank(name, one))
    counters: dict[str, tuple[str, ...]] = {}
    for (name, _core), path in sorted(best.items()):
        counters[name] = (*counters.get(name, ()), f"{directory}/{path}")
    for name in sorted(status.keys() - {COMPONENTS} - counters.keys()):  # of one name it is a copy
        counters[f"health_{name}"] = (f"{directory}/{status[name]}",)
    return Files(
        counters=counters,
        components=f"{directory}/{status[COMPONENTS]}" if COMPONENTS in status else "",
        health_status=tuple(f"{directory}/{status[name]}" for name in sorted(status.keys() - {HEARTBEAT})),
    )


@frozen
class Reading:
    """What counters say now, by name, and of those that say nothing, which of their files are to blame."""

    counts: Mapping[str, int] = field(factory=dict)
    unread: Mapping[str, tuple[str, ...]] = field(factory=dict)


def read_counters(files: Files) -> Reading:
    """Read the counters, the sum where there are several files of one.

    Without one of its files a counter says nothing: the sum of the others would look as if it had fallen.
    """
    counts: dict[str, int] = {}
    unread: dict[str, tuple[str, ...]] = {}
    for name, paths in files.counters.items():
        found = {path: _read_count(path) for path in paths}
        bad = tuple(path for path, count in found.items() if count is None)
        if bad:
            unread[name] = bad
        else:
            counts[name] = sum(count for count in found.values() if count is not None)
    return Reading(counts, unread)


def read_components(files: Files) -> tuple[str, ...]:
    """What the firmware calls unhealthy now, each once, as it names them; what is no name is passed over."""
    raw = read_bytes(files.components) if files.components else None
    words = (raw or b"").decode(errors="replace").lower().replace(",", " ").split()
    return tuple(sorted({word for word in words if _COMPONENT.fullmatch(word)} - _HEALTHY_WORDS))


def read_bytes(path: str) -> bytes | None:
    """What a file of sysfs says; None where it does not."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, _MAX_BYTES)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _read_count(path: str) -> int | None:
    """The number in a file, the sum of several; None where it is none, or below 0."""
    raw = read_bytes(path)
    words = raw.replace(b",", b" ").split() if raw else []
    if not words or not all(word.isdigit() for word in words):
        return None
    return sum(map(int, words))


def _rank(name: str, path: str) -> tuple[bool, int, str]:
    return _CORE.sub("neuron_core*", path) != COUNTERS[name].path, len(path), path


def _files_below(directory: str, below: str = "", depth: int = _DEPTH) -> Iterator[str]:
    """Every file, as a path below the directory. Links are not followed."""
    for entry in _listed(f"{directory}/{below}"):
        if not entry.is_dir(follow_symlinks=False):
            yield below + entry.name
        elif depth and entry.name != _PASSED_OVER:
            yield from _files_below(directory, f"{below}{entry.name}/", depth - 1)


def _listed(directory: str) -> Iterable[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return ()
