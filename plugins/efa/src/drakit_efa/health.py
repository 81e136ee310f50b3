"""The health of the adapters: whether they are there, their ports, and what their driver counts.

Only what is seen now is reported; what is remembered of it is the core's. The kernel does not notify of any of it, so
it is looked at in every round: some 40 files of an adapter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from attrs import frozen
from drakit import DeviceRef, Fault, FaultEnd, Finding, Health, HealthStatus, PluginContext, Severity

from drakit_efa.counters import COUNTERS, REBIND, Counter, Files, find_files, read_bytes, read_counters
from drakit_efa.devices import device_name, port_health
from drakit_efa.options import options_of
from drakit_efa.ports import ACTIVE, PORT, read_state
from drakit_efa.sysfs import DRIVER, MODULE, PCI_DEVICES, VERBS_DEVICES, Adapter, Unreadable, list_names, verbs_nodes

VANISHED = "vanished"
UNBOUND = "driver_unbound"
VERBS_LOST = "verbs_lost"
PORT_DOWN = "port_down"
NOT_ANSWERING = "not_answering"

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        VANISHED: "the PCI function of the adapter is no longer there",
        UNBOUND: f"the adapter is no longer bound to the {DRIVER} driver",
        VERBS_LOST: "the adapter no longer has its RDMA device, or its verbs node",
        PORT_DOWN: "the port of the adapter is not active",
        NOT_ANSWERING: "the adapter left a command of its driver without an answer, and is given no more",
        **{name: counter.meaning for name, counter in COUNTERS.items() if counter.limit},
    }
)
"""What can be wrong with an adapter, by the name of the fault."""

_UNKNOWN = Counter("")


@frozen
class _Found:
    """The counters of an adapter, in an epoch."""

    epoch: str
    files: Files


@frozen
class _Look:
    """What one look at an adapter gave: the report, and how discovery would find it; None if it would not."""

    report: Health
    status: HealthStatus | None


class HealthReporter:
    """Reports on the adapters of one instance. Not for two threads at once."""

    def __init__(self, context: PluginContext, read: Callable[[str], bytes] = read_bytes) -> None:
        """`read` gives what a file of sysfs holds, or raises OSError."""
        self._context = context
        self._options = options_of(context).health
        self._read = read
        self._known: dict[str, Adapter] = {}
        self._discovered: Mapping[str, HealthStatus] = {}
        self._told: Mapping[str, HealthStatus | None] = {}
        self._found: dict[str, _Found] = {}

    def know(self, states: Mapping[Adapter, str | None]) -> None:
        """Take note of the adapters that were discovered, with their ports' states; they stay known when they go."""
        self._known |= {adapter.address: adapter for adapter in states}
        self._discovered = {adapter.address: port_health(state) for adapter, state in states.items()}

    def report(self) -> list[Health]:
        """Report on every adapter that was ever found, also on one that has gone since.

        What discovery has to know of as well, since it finds other adapters now or other states of their ports, it is
        told of by `context.changed()`, once.
        """
        looks = self._look()
        differing = {
            address: look.status for address, look in looks.items() if look.status != self._discovered.get(address)
        }
        news = differing.items() - self._told.items()
        self._told = differing
        if news:
            self._context.changed()
        return [look.report for look in looks.values()]

    def findings(self) -> list[Finding]:
        """What of the health of the adapters cannot be told on this node, for `drakit check`."""
        return [
            Finding(Severity.WARNING, f"health of {look.report.device.name}", look.report.message)
            for look in self._look().values()
            if look.report.status is HealthStatus.UNKNOWN
        ]

    def _look(self) -> dict[str, _Look]:
        """One look at every adapter, by address."""
        module, nodes = _inode(self._directory(MODULE)), verbs_nodes(self._context)
        return {address: self._examine(self._known[address], module, nodes) for address in sorted(self._known)}

    def _examine(self, adapter: Adapter, module: str, nodes: Mapping[str, str]) -> _Look:
        ref = DeviceRef(self._context.driver, self._context.pool, device_name(adapter.address))
        verbs = self._verbs_device(adapter)
        lost = self._lost(adapter, verbs, nodes)
        if lost is not None:
            self._found.pop(adapter.address, None)
            return _Look(Health(ref, HealthStatus.UNHEALTHY, lost.message, faults=[lost]), None)
        directory = self._directory(f"{VERBS_DEVICES}/{verbs}")
        epoch = f"{module}-{_inode(directory)}"
        state = self._state(verbs)
        counted = read_counters(self._files(adapter.address, directory, epoch), self._read)
        faults = [*self._counted(adapter, counted.counters)]
        if state not in (None, ACTIVE) and self._options.port_down:
            faults.append(_port_down(adapter, state))
        if counted.silent:
            faults.append(_not_answering(adapter))
        unknown = _unknown(adapter, state, counted.counters)
        status = HealthStatus.UNKNOWN if unknown else HealthStatus.HEALTHY
        report = Health(ref, status, unknown, faults=faults, counters=counted.counters, epoch=epoch)
        return _Look(report, port_health(state))

    def _lost(self, adapter: Adapter, verbs: str, nodes: Mapping[str, str]) -> Fault | None:
        """What an adapter lacks without which no container could use it, as discovery sees it too.

        `nodes` are the verbs nodes of all: the one it had may be another adapter's by now.
        """
        function = self._directory(f"{PCI_DEVICES}/{adapter.address}")
        if not function:
            return Fault(
                VANISHED,
                f"{_name(adapter)} has gone: {PCI_DEVICES}/{adapter.address} is no longer there; if its network "
                "interface was not detached from the instance, look for it in the kernel's log, and replace the "
                "instance if a reboot does not bring it back",
            )
        if (driver := _target(f"{function}/driver")) != DRIVER:
            return Fault(
                UNBOUND,
                f"{_name(adapter)} is bound to {driver or 'no driver'}, and no longer to {DRIVER}; load the {DRIVER} "
                f"module, or bind it again: echo {adapter.address} > /sys/bus/pci/drivers/{DRIVER}/bind",
            )
        if not verbs:
            return Fault(
                VERBS_LOST,
                f"{_name(adapter)} has lost its RDMA device: look in the kernel's log for why its driver gave it up; "
                f"{REBIND}",
            )
        if verbs not in nodes:
            return Fault(
                VERBS_LOST, f"{_name(adapter)} has lost its verbs node: check that the ib_uverbs module is loaded"
            )
        return None

    def _verbs_device(self, adapter: Adapter) -> str:
        """The name of an adapter's RDMA device, which may have been renamed since; "" if it has none."""
        below = self._directory(f"{PCI_DEVICES}/{adapter.address}/infiniband")
        names = list_names(Path(below)) if below else []
        name = names[0] if names and adapter.verbs not in names else adapter.verbs
        return name if self._directory(f"{VERBS_DEVICES}/{name}") else ""

    def _directory(self, path: str) -> str:
        """A directory of the host as it can be opened here; "" where there is none."""
        try:
            found = str(self._context.path(path))
        except OSError:  # a circle of links
            return ""
        return found if os.path.isdir(found) else ""

    def _state(self, verbs: str) -> str | None:
        try:
            return read_state(self._context, verbs)
        except (Unreadable, OSError):
            return None

    def _counted(self, adapter: Adapter, counters: Mapping[str, int]) -> Iterator[Fault]:
        """What is counted and can be a fault: at 0 too, for the core compares."""
        for name, count in counters.items():
            counter = COUNTERS.get(name, _UNKNOWN)
            limit = getattr(self._options, counter.limit) if counter.limit else 0
            if limit:
                text = f"{_name(adapter)} has counted {count} {counter.meaning} ({name}); {counter.remedy}"
                yield Fault(name, text if count else "", end=counter.end, count=count, threshold=limit)

    def _files(self, address: str, verbs: str, epoch: str) -> Files:
        """The adapter's files; looked for anew when the kernel has made them anew, or some were not there."""
        found = self._found.get(address)
        if found is None or found.epoch != epoch or not found.files.complete:
            found = self._found[address] = _Found(epoch, find_files(verbs))
        return found.files


def _port_down(adapter: Adapter, state: str | None) -> Fault:
    return Fault(
        PORT_DOWN,
        f"{_name(adapter)}: its port is {state}, and not {ACTIVE}: nothing gets through it; if this lasts, {REBIND}, "
        "and replace the instance if that does not help",
        end=FaultEnd.STEADY,
    )


def _not_answering(adapter: Adapter) -> Fault:
    return Fault(
        NOT_ANSWERING,
        f"{_name(adapter)} left a command of its driver without an answer and is given no more, so that no process can "
        f"begin to use it; {REBIND}, and replace the instance if it happens again",
        end=FaultEnd.STEADY,
    )


def _unknown(adapter: Adapter, state: str | None, counters: Mapping[str, int]) -> str:
    """What cannot be told of an adapter that is there; "" if all can."""
    where = f"{VERBS_DEVICES}/{adapter.verbs}"
    reasons = []
    if state is None:
        reasons.append(f"{where}/{PORT}/state cannot be read: see the kernel's log")
    if not counters:
        reasons.append(
            f"no counter below {where} can be read: give the agent the host's /sys, and update the EFA driver"
        )
    return f"the health of {_name(adapter)} is not known: {'; '.join(reasons)}" if reasons else ""


def _name(adapter: Adapter) -> str:
    return f"EFA adapter {adapter.address} ({adapter.verbs})"


def _inode(directory: str) -> str:
    """The number of a directory's inode; "" where there is no such directory.

    In sysfs it is that of the kernel's own object: another when a module was loaded anew, or an adapter bound anew,
    which is when its counters begin again.
    """
    try:
        return f"{os.stat(directory).st_ino:x}" if directory else ""
    except OSError:
        return ""


def _target(link: str) -> str:
    """The last name of what a link leads to; "" where there is no such link."""
    try:
        return os.path.basename(os.readlink(link))
    except OSError:
        return ""
