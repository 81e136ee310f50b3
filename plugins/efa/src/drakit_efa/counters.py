"""What the efa driver counts of an adapter: where the files are, and what a count means.

Names are those of the driver's own source (amzn-drivers, release 3.1.0). Those of the adapter as a whole are counted by
the driver. Those of the port are asked of the adapter, by commands, when a file is read: so reading them shows whether
it still answers. Nothing is written.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from attrs import field, frozen
from drakit import FaultEnd

from drakit_efa.ports import PORT

COUNTERS_DIRECTORY = "hw_counters"
"""Of the port and, since release 1.14 of the driver, of the adapter itself: before, the port had those too."""

REBIND = "once no pod uses it, unbind the efa driver from it and bind it again, or reboot the node"

_LIFESPAN = "lifespan"
"""A file among the counters that is none: for how many milliseconds the kernel gives the same answer again."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_MAX_BYTES = 64
_SILENT = (errno.ENODEV, errno.ETIME)
"""What the driver says when the adapter did not answer a command, and to every command after that one."""


@frozen
class Counter:
    """Something that is counted.

    `limit` names the option of health that says how many are a fault; "" where none are. `remedy` is what then helps.
    """

    meaning: str
    limit: str = ""
    remedy: str = ""
    end: FaultEnd = FaultEnd.STEADY


_PEERS = "compare it with the adapters of other nodes, and look at the security group, the workload and its peers"
_WORKLOAD = "see the kernel's log and the workload's, and replace the instance if every workload meets it"
_DROPS = "see whether the receivers keep up, and replace the instance if they do"

PORT_COUNTERS: Mapping[str, Counter] = MappingProxyType(
    {
        "tx_bytes": Counter("bytes that were sent"),
        "tx_pkts": Counter("packets that were sent"),
        "rx_bytes": Counter("bytes that were received"),
        "rx_pkts": Counter("packets that were received"),
        "rx_drops": Counter("packets that were dropped on receipt", "rx_drops", _DROPS),
        "send_bytes": Counter("bytes of sends"),
        "send_wrs": Counter("sends"),
        "recv_bytes": Counter("bytes of receives"),
        "recv_wrs": Counter("receives"),
        "rdma_read_wrs": Counter("RDMA reads that were completed"),
        "rdma_read_bytes": Counter("bytes of RDMA reads"),
        "rdma_read_wr_err": Counter("RDMA reads that failed", "rdma_errors", _PEERS),
        "rdma_read_resp_bytes": Counter("bytes that others read by RDMA"),
        "rdma_write_wrs": Counter("RDMA writes that were completed"),
        "rdma_write_bytes": Counter("bytes of RDMA writes"),
        "rdma_write_wr_err": Counter("RDMA writes that failed", "rdma_errors", _PEERS),
        "rdma_write_recv_bytes": Counter("bytes that others wrote by RDMA"),
        "retrans_bytes": Counter("bytes that were sent again"),
        "retrans_pkts": Counter("packets that were sent again"),
        "retrans_timeout_events": Counter(
            "times that packets were sent again because no answer came", "retransmit_timeouts", _PEERS
        ),
        "unresponsive_remote_events": Counter("times that a peer did not answer", "unresponsive_remotes", _PEERS),
        "impaired_remote_conn_events": Counter(
            "times that the connection to a peer was poor", "impaired_connections", _PEERS
        ),
    }
)
"""What the port counts, by the name of its file and in the metrics. The last five since release 2.17 of the driver."""

DEVICE_COUNTERS: Mapping[str, Counter] = MappingProxyType(
    {
        "submitted_cmds": Counter("commands that the driver gave the adapter"),
        "completed_cmds": Counter("commands that the adapter completed"),
        "cmds_err": Counter("commands that failed", "command_errors", _WORKLOAD),
        "no_completion_cmds": Counter(
            "commands that the adapter did not complete in time; the driver gives it no more",
            "no_completion",
            f"{REBIND}, and replace the instance if it happens again",
            FaultEnd.CLEARED,
        ),
        "keep_alive_rcvd": Counter("signs of life from the adapter"),
        "alloc_pd_err": Counter("protection domains that could not be had", "verbs_errors", _WORKLOAD),
        "create_qp_err": Counter("queue pairs that could not be had", "verbs_errors", _WORKLOAD),
        "create_cq_err": Counter("completion queues that could not be had", "verbs_errors", _WORKLOAD),
        "reg_mr_err": Counter("regions of memory that could not be registered", "verbs_errors", _WORKLOAD),
        "alloc_ucontext_err": Counter("processes that could not open the adapter", "verbs_errors", _WORKLOAD),
        "create_ah_err": Counter("addresses of peers that were refused", "verbs_errors", _WORKLOAD),
        "mmap_err": Counter("mappings of the adapter's memory that failed", "verbs_errors", _WORKLOAD),
        "alloc_mr_err": Counter("regions of memory that could not be had for the kernel", "verbs_errors", _WORKLOAD),
        "get_dma_mr_err": Counter("regions of the kernel's memory that were refused", "verbs_errors", _WORKLOAD),
    }
)
"""What the driver counts of the adapter as a whole. The last two only where it serves users within the kernel."""

COUNTERS: Mapping[str, Counter] = MappingProxyType({**PORT_COUNTERS, **DEVICE_COUNTERS})
"""Every counter that is known. Others that a release of the driver has are reported too, and are never a fault."""


@frozen
class Files:
    """The counters of one adapter, as absolute paths by name: found once, for they do not change while it is there."""

    port: Mapping[str, str] = field(factory=dict)
    device: Mapping[str, str] = field(factory=dict)

    @property
    def complete(self) -> bool:
        """Whether there are both kinds; a device that is just coming up shows them one by one."""
        return bool(self.port and self.device)


@frozen
class Counted:
    """What could be read, and whether the adapter left its driver without an answer."""

    counters: Mapping[str, int]
    silent: bool


def find_files(directory: str) -> Files:
    """Look for the counters below the directory of an RDMA device. Never raises: what cannot be listed is not there."""
    return Files(
        port=dict(_counters_in(f"{directory}/{PORT}/{COUNTERS_DIRECTORY}")),
        device=dict(_counters_in(f"{directory}/{COUNTERS_DIRECTORY}")),
    )


def read_bytes(path: str) -> bytes:
    """What a small file of sysfs holds. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _MAX_BYTES)
    finally:
        os.close(descriptor)


def read_counters(files: Files, read: Callable[[str], bytes] = read_bytes) -> Counted:
    """Read what can be read now; the port's first, for that may be what the adapter does not answer.

    After one command without an answer no more are given: the first may have taken the driver half a minute.
    """
    found: dict[str, int] = {}
    silent = False
    for name, path in files.port.items():
        try:
            text = read(path)
        except OSError as error:
            silent = error.errno in _SILENT
            if silent:
                break
            continue
        _take(found, name, text)
    for name, path in files.device.items():
        try:
            text = read(path)
        except OSError:
            continue
        _take(found, name, text)
    return Counted(found, silent)


def _take(found: dict[str, int], name: str, text: bytes) -> None:
    digits = text.strip()
    if digits.isdigit():
        found[name] = int(digits)


def _counters_in(directory: str) -> Iterator[tuple[str, str]]:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in names:
        if name != _LIFESPAN and _NAME.fullmatch(name):
            yield name, f"{directory}/{name}"
