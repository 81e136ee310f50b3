"""What keeps a container from using its adapters: looked at from inside, where sysfs is the container's own.

libibverbs lists the verbs devices whose node is in the container, and libfabric's EFA provider gives up on all of them
where one cannot be opened (ofiwg/libfabric#12708). Memory that is registered is pinned: the kernel lets a process pin
what its limit of locked memory allows, or anything with CAP_IPC_LOCK in the host's user namespace; libfabric ends with
-12 (ENOMEM) beyond that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen
from drakit import DescribedDevice, Finding, PluginContext, Severity
from drakit.errors import describe

from drakit_efa.devices import address_of
from drakit_efa.sysfs import Unusable, read_adapter, verbs_nodes

NODES = "/dev/infiniband"
LIMITS, STATUS, ENVIRONMENT, USERS = (f"/proc/self/{name}" for name in ("limits", "status", "environ", "uid_map"))
FREE_PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
VARIABLES = ("FI_PROVIDER", "FI_EFA_USE_DEVICE_RDMA", "FI_EFA_FORK_SAFE", "RDMAV_FORK_SAFE")
"""What libfabric and libibverbs are told by; shown, whatever is in them."""

_LOCKED = "Max locked memory"
_HEX = re.compile(r"[0-9a-f]{1,16}", re.ASCII)
_IPC_LOCK = 14
"""The number of the capability."""
_ALL_USERS = ["0", "0", "4294967295"]
"""How the host's own user namespace maps users. Capabilities of another do not count for what is pinned."""


@frozen
class _Seen:
    """A verbs device whose node is in the container. `refused` says why it cannot be opened; empty if it can be."""

    verbs: str
    node: str
    refused: str

    def __str__(self) -> str:
        return f"{self.verbs} ({self.node}{', ' + self.refused if self.refused else ''})"


def verify(context: PluginContext, devices: Sequence[DescribedDevice]) -> list[Finding]:
    """Findings about the container that the context's root is of; none where it has nothing to do with adapters."""
    given = {address: device for device in devices if (address := _address(context, device))}
    nodes = verbs_nodes(context)
    seen = {
        verbs: _Seen(verbs, node, _refusal(context, f"{NODES}/{node}"))
        for verbs, node in nodes.items()
        if context.path(f"{NODES}/{node}").exists()
    }
    if not given and not seen:
        return [_nothing(len(nodes))] if nodes else []
    return [
        *(_given(context, given, nodes, seen) if given else _not_described(list(seen.values()))),
        _locked_memory(context),
        *_huge_pages(context),
        *_environment(context),
    ]


def _address(context: PluginContext, device: DescribedDevice) -> str | None:
    """The PCI address of a device that is an adapter, whatever its driver is called; None for another."""
    address = device.attributes.get("dra.net/pciAddress", address_of(device.device.name))
    is_adapter = "dra.net/rdmaDevice" in device.attributes or device.device.driver == context.driver
    return address if is_adapter and isinstance(address, str) else None


def _refusal(context: PluginContext, path: str) -> str:
    try:
        context.open_device(path).close()
    except OSError as error:
        return error.strerror or describe(error)
    return ""


def _nothing(number: int) -> Finding:
    return _ok(
        "verbs devices",
        f"none of the {number} of this node is in this container; if it was to have EFA adapters, see that it names "
        "their claim in resources.claims",
    )


def _given(
    context: PluginContext, given: Mapping[str, DescribedDevice], nodes: Mapping[str, str], seen: Mapping[str, _Seen]
) -> Iterator[Finding]:
    """Whether each adapter of the container can be used, and what else it sees."""
    own: set[str] = set()
    for address, device in given.items():
        try:
            adapter = read_adapter(context, address, nodes)
        except (Unusable, OSError) as error:
            yield _unusable(device, f"{error}; delete the pod to have it placed anew")
            continue
        own.add(adapter.verbs)
        path = f"{NODES}/{adapter.node}"
        if adapter.verbs not in seen:
            yield _unusable(
                device,
                f"{path}, which is {adapter.verbs}, is not in this container; see that it names the claim in "
                f"resources.claims and mounts nothing over {NODES}; if the node's efa module was loaded anew since it "
                "was started, delete the pod",
            )
        elif refused := seen[adapter.verbs].refused:
            yield _unusable(device, f"{path}, which is {adapter.verbs}, cannot be opened: {_denied(refused)}")
    if usable := [str(seen[verbs]) for verbs in own if verbs in seen and not seen[verbs].refused]:
        yield _ok("verbs devices", f"{len(usable)} of {len(given)} can be opened: {', '.join(sorted(usable))}")
    if foreign := [str(one) for verbs, one in seen.items() if verbs not in own]:
        yield _warning(
            "foreign verbs devices",
            f"{', '.join(sorted(foreign))}: seen here, and not given to this container; where one of them cannot be "
            "opened, libfabric gives up on all; take away what brings them: privileged, a hostPath volume of "
            f"{NODES}, or a device plugin that mounts every RDMA device",
        )


def _not_described(seen: Sequence[_Seen]) -> Iterator[Finding]:
    """The verbs devices of a container that is not told which ones it was given."""
    names = ", ".join(sorted(map(str, seen)))
    yield _ok("verbs devices", f"this container sees {names}; whether it was given them is not known")
    for one in seen:
        if one.refused:
            yield _warning(
                one.verbs,
                f"{NODES}/{one.node} cannot be opened, and libfabric then gives up on all: {_denied(one.refused)}",
            )


def _unusable(device: DescribedDevice, why: str) -> Finding:
    return Finding(Severity.ERROR, device.device.name, f"of claim {device.claim}, request {device.request}: {why}")


def _denied(reason: str) -> str:
    return (
        f"{reason}; if that is not permitted, the node was brought by a volume and is not among the devices that the "
        "runtime allows this container: let the claim alone bring it; else delete the pod"
    )


def _locked_memory(context: PluginContext) -> Finding:
    what = "locked memory"
    try:
        limit = _soft_limit(_read(context, LIMITS))
        is_capable, is_host = _has_ipc_lock(_read(context, STATUS)), _read(context, USERS).split() == _ALL_USERS
    except (OSError, ValueError) as error:
        return _warning(what, f"the limit cannot be read: {_why(error)}; libfabric needs it to be unlimited")
    if limit is None:
        return _ok(what, "unlimited")
    if is_capable and is_host:
        return _ok(what, f"limited to {limit} bytes, and CAP_IPC_LOCK lifts the limit")
    but = ", and CAP_IPC_LOCK does not count in a user namespace (hostUsers: false)" if is_capable else ""
    remedy = (
        "" if is_capable else "add the capability IPC_LOCK to the container, which must run as root to have it, or "
    )
    return _warning(
        what,
        f"limited to {limit} bytes{but}: libfabric fails with -12 (ENOMEM) when it registers more; {remedy}have the "
        "container runtime of the node give containers no limit (LimitMEMLOCK=infinity of its service)",
    )


def _why(error: OSError | ValueError) -> str:
    """What is wrong with a file, in words: the path is that of the container, wherever it is seen from."""
    if isinstance(error, OSError):
        return f"/proc/self/{os.path.basename(error.filename or '')}: {error.strerror or describe(error)}"
    return str(error)


def _soft_limit(limits: str) -> int | None:
    """How many bytes may be locked; None for any number. Raises ValueError."""
    for line in limits.splitlines():
        if line.startswith(_LOCKED):
            soft, *_ = line.removeprefix(_LOCKED).split() or [""]
            if soft != "unlimited" and not soft.isdecimal():
                raise ValueError(f"{LIMITS} says {soft!r} of {_LOCKED!r}")
            return None if soft == "unlimited" else int(soft)
    raise ValueError(f"{LIMITS} has no line {_LOCKED!r}")


def _has_ipc_lock(status: str) -> bool:
    """Whether this process has the capability in its own user namespace. Raises ValueError."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            if not _HEX.fullmatch(value.strip()):
                raise ValueError(f"{STATUS} says {value.strip()!r} of CapEff")
            return bool(int(value, 16) >> _IPC_LOCK & 1)
    raise ValueError(f"{STATUS} has no line CapEff")


def _huge_pages(context: PluginContext) -> Iterator[Finding]:
    """Told only: libfabric does without them."""
    try:
        free = int(_read(context, FREE_PAGES))
    except (OSError, ValueError):
        return
    yield _ok(
        "huge pages",
        f"{free} of 2 MiB are free on the node; libfabric uses some where the pod has hugepages-2Mi and fork safety is "
        "not asked for",
    )


def _environment(context: PluginContext) -> Iterator[Finding]:
    """Told only: libfabric has good defaults, and images have reasons of their own."""
    try:
        entries = [entry.partition("=") for entry in _read(context, ENVIRONMENT).split("\0")]
    except OSError:
        return
    values = {name: repr(value) for name, _, value in entries}
    yield _ok("environment", ", ".join(f"{name}={values.get(name, '(not set)')}" for name in VARIABLES))


def _read(context: PluginContext, path: str) -> str:
    return context.path(path).read_bytes().decode(errors="replace")


def _ok(what: str, found: str) -> Finding:
    return Finding(Severity.OK, what, found)


def _warning(what: str, found: str) -> Finding:
    return Finding(Severity.WARNING, what, found)
