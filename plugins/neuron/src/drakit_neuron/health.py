"""The health of the devices, as the kernel module counts errors, the firmware judges, and the kernel's log has it.

Only what is seen now is reported; what is remembered of it is the core's. A round over 16 devices of 8 cores reads some
1,150 files; measured at 15 µs each in sysfs.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType

from attrs import evolve, frozen
from drakit import DeviceRef, Fault, FaultEnd, Finding, Health, HealthStatus, PluginContext, Severity

from drakit_neuron.counters import (
    COMPONENT_MEANINGS,
    COUNTERS,
    EXPECTED,
    RELOAD,
    REPLACE,
    WITHOUT_EXPECTED,
    Files,
    Reading,
    described,
    find_files,
    read_bytes,
    read_components,
    read_counters,
)
from drakit_neuron.devices import NODE_DEVICE, device_name
from drakit_neuron.hardware import read_hardware
from drakit_neuron.kmsg import ERRORS, KMSG, HardwareError, HardwareErrors
from drakit_neuron.options import options_of
from drakit_neuron.sysfs import CLASS, MODULE, Unreadable, read_text
from drakit_neuron.telling import Teller
from drakit_neuron.watching import Watcher

VANISHED = "vanished"


def component_fault(component: str) -> str:
    """The fault of a component that the firmware calls unhealthy."""
    return f"unhealthy_{component}"


def log_fault(kind: str) -> str:
    """The fault of a kind of error in the kernel's log."""
    return f"kmsg_{kind.lower()}"


def of_device(name: str, number: int) -> str:
    """A fault or a counter of one device, as the device for the whole node has it: `mem_ecc_uncorrected-5`."""
    return f"{name}-{number}"


FAULTS: Mapping[str, str] = MappingProxyType(
    {
        VANISHED: "the kernel module no longer has the device",
        **{name: counter.meaning for name, counter in COUNTERS.items() if counter.limit},
        **{
            component_fault(name): f"the firmware finds {meaning} ill"
            for name, (meaning, _) in COMPONENT_MEANINGS.items()
        },
        **{log_fault(kind): f"the kernel's log tells of {meaning}" for kind, meaning in ERRORS.items()},
    }
)
"""What can be wrong with a device, by the name of the fault.

Beside these there are `health_<file>`, for files of `health_status` that count errors under names of their own, and
`unhealthy_<component>` for components that are not known here. Of the device for the whole node, each is followed by
the number of its device.
"""


@frozen
class _Found:
    """The files of a device, in an epoch; `settled` where they were looked for twice, for they come one by one."""

    epoch: str
    files: Files
    settled: bool = False


class HealthReporter:
    """Reports on the devices of one instance. Not for two threads at once."""

    def __init__(self, context: PluginContext) -> None:
        """Opens and starts nothing yet."""
        self._context = context
        self._options = options_of(context).health
        self._watcher = Watcher(context.changed)
        self._log = HardwareErrors(context) if self._options.kmsg else None
        self._found: dict[int, _Found] = {}
        self._numbers: set[int] = set()
        self._as_node = self._singly = False
        self._teller = Teller(context.log)
        self._lacking: list[str] = []
        self._last: Mapping[int, tuple[Files, Mapping[str, int]]] = MappingProxyType({})
        """By device, what it had counted when it was last looked at, and where. Replaced as a whole."""

    def know(self, numbers: Iterable[int], published: Iterable[str]) -> None:
        """Take note of devices that were found, by id, and of the names that are published: they stay known.

        A node that is published as one device is reported on as one.
        """
        self._numbers.update(numbers)
        names = set(published)
        self._as_node |= NODE_DEVICE in names
        self._singly |= bool(names - {NODE_DEVICE})

    def report(self) -> list[Health]:
        """Report on every device that was ever found, also on one that has gone since.

        From the first report on, the kernel is listened to about their health.
        """
        reports = self._look()
        self._watcher.follow([path for one in self._found.values() for path in one.files.health_status])
        if not self._as_node:
            return list(reports.values())
        return [*(reports.values() if self._singly else ()), self._node(reports)]

    def findings(self) -> list[Finding]:
        """What of the health of the devices cannot be told on this node, for `drakit check`.

        A log that cannot be read is no warning: that is how containers are.
        """
        found = [
            Finding(Severity.WARNING, f"health of {report.device.name}", report.message)
            for report in self._look().values()
            if report.status is HealthStatus.UNKNOWN
        ]
        if self._numbers and self._log is not None and self._log.problem:
            text = (
                f"not read, and need not be: {self._log.problem}; hardware errors are noticed by their counters alone, "
                "unless the agent's container is given the device and CAP_SYSLOG"
            )
            found.append(Finding(Severity.OK, KMSG, text))
        return found

    def close(self) -> None:
        """Stop listening, and release all that is held open. Idempotent."""
        self._watcher.close()
        if self._log is not None:
            self._log.close()

    def _look(self) -> dict[int, Health]:
        """The reports on all devices, by id."""
        module = self._inode(MODULE)
        logged = self._logged(self._numbers)
        self._lacking = []
        reports = {number: self._examine(number, module, logged.get(number, ())) for number in sorted(self._numbers)}
        self._teller.say("health", self._lacking)
        self._last = MappingProxyType(
            {number: (found.files, reports[number].counters) for number, found in self._found.items()}
        )
        return reports

    def gone_bad(self, number: int) -> list[str]:
        """What a device has counted since it was last looked at that is a fault by itself, in words.

        May be asked by another thread than the rest. What it counted since a fault was cleared, only the core knows:
        so that nothing is said where it takes more of them than that, or nobody has looked yet.
        """
        last = self._last  # which the other thread may replace meanwhile
        if number not in last:
            return []
        files, before = last[number]
        judged = {name: paths for name, paths in files.counters.items() if self._limit(name)}
        more = {
            name: count - before[name]
            for name, count in read_counters(Files(counters=judged)).counts.items()
            if name in before and count - before[name] >= self._limit(name)
        }
        return [f"{count} more {described(name).meaning} ({name})" for name, count in more.items()]

    def _node(self, reports: Mapping[int, Health]) -> Health:
        """The report on the device that stands for the whole node: all that is wrong with any device of it.

        Each fault and each counter is still that of one device, by its number: a sum over devices would fall when one
        of them goes away or begins anew, and what was cleared of another would come back with that.
        """
        return Health(
            self._ref(NODE_DEVICE),
            max((report.status for report in reports.values()), key=_SEVERITIES.index, default=HealthStatus.UNKNOWN),
            "; ".join(report.message for report in reports.values() if report.message),
            faults=[
                evolve(fault, name=of_device(fault.name, number))
                for number, report in reports.items()
                for fault in report.faults
            ],
            counters={
                of_device(name, number): count
                for number, report in reports.items()
                for name, count in report.counters.items()
            },
            epoch=self._inode(MODULE),
        )

    def _examine(self, number: int, module: str, logged: Iterable[Fault]) -> Health:
        ref = self._ref(device_name(number))
        inode = self._inode(f"{CLASS}/neuron{number}")
        if not inode:
            self._found.pop(number, None)
            message = (
                f"neuron{number} has gone: {CLASS}/neuron{number} is no longer there; look for it in the kernel's log, "
                f"and {REPLACE} if a reboot does not bring it back"
            )
            return Health(ref, HealthStatus.UNHEALTHY, message, faults=[Fault(VANISHED, message), *logged])
        files = self._files(number, f"{module}-{inode}")
        reading = read_counters(files)
        counters = reading.counts
        faults = [*self._counted(number, counters), *self._ill(number, files), *logged]
        status, message = HealthStatus.HEALTHY, ""
        if counters:
            self._lacking += self._unnoticed(number, files, reading)
        else:
            status = HealthStatus.UNKNOWN
            message = (
                f"the health of neuron{number} is not known: no error counter below {CLASS}/neuron{number} can be "
                "read; update the Neuron driver, and run the agent as root"
            )
        return Health(ref, status, message, faults=faults, counters=counters, epoch=f"{module}-{inode}")

    def _counted(self, number: int, counters: Mapping[str, int]) -> Iterator[Fault]:
        """What is counted and can be a fault: at 0 too, for the core compares."""
        for name, count in counters.items():
            counter = described(name)
            if limit := self._limit(name):
                text = f"neuron{number} has counted {count} {counter.meaning} ({name}); {counter.remedy}"
                yield Fault(name, text if count else "", end=counter.end, count=count, threshold=limit)

    def _limit(self, name: str) -> int:
        """How many of what a counter counts are a fault; 0 for none."""
        counter = described(name)
        return int(getattr(self._options, counter.limit)) if counter.limit else 0

    def _unnoticed(self, number: int, files: Files, reading: Reading) -> Iterator[str]:
        """What cannot be told of a device's health though other things can, for the log."""
        if not self._found[number].settled:
            return  # the module makes the files one by one
        remedy = "load the kernel module anew, and run the agent as root"
        own = f"{CLASS}/neuron{number}"
        below = str(self._context.path(own))
        for name, (first, *others) in reading.unread.items():
            if name not in COUNTERS:
                continue  # a file of the firmware's that need be no count
            more = f", nor {len(others)} more of its files" if others else ""
            file = first.replace(below, own, 1)
            yield f"{file} cannot be read as a count{more}: {name} of neuron{number} is not noticed; {remedy}"
        if files.components and self._options.components and read_bytes(files.components) is None:
            file = files.components.replace(below, own, 1)
            yield f"{file} cannot be read: what the firmware of neuron{number} calls unhealthy is not noticed; {remedy}"
        for name in EXPECTED:
            if name not in files.counters and self._should_count(number):
                yield (
                    f"{own}/{COUNTERS[name].path} is not there: {COUNTERS[name].meaning} are not "
                    f"noticed of neuron{number}; update the Neuron driver, or load the kernel module anew"
                )

    def _should_count(self, number: int) -> bool:
        architecture = read_hardware(self._context, number).architecture
        return architecture is None or architecture.name not in WITHOUT_EXPECTED

    def _ill(self, number: int, files: Files) -> Iterator[Fault]:
        """What the firmware calls unhealthy."""
        for component in read_components(files) if self._options.components else ():
            meaning, end = COMPONENT_MEANINGS.get(component, ("a component", FaultEnd.STEADY))
            remedy = RELOAD if end is FaultEnd.CLEARED else f"{REPLACE} if this lasts"
            text = f"neuron{number}: its firmware calls {meaning} unhealthy ({component}); {remedy}"
            yield Fault(component_fault(component), text, end=end)

    def _logged(self, numbers: Collection[int]) -> dict[int, list[Fault]]:
        """By device, what the kernel's log says: each kind, with the number of its last line as count.

        So what is cleared stays cleared, though the line is still there, and nothing is counted twice after a restart.
        """
        if self._log is None or not numbers:
            return {}
        errors = self._log.read()
        if self._log.problem and not errors:
            return {}
        last: dict[tuple[int, str], tuple[HardwareError, bool]] = {}
        serials = self._serials(numbers) if errors else {}
        for error in sorted(errors, key=lambda one: one.sequence):
            blamed = _blamed(error, numbers, serials)
            last |= {(number, error.kind): (error, len(blamed) == 1) for number in blamed}
        return {number: [_log_fault(number, kind, last.get((number, kind))) for kind in ERRORS] for number in numbers}

    def _serials(self, numbers: Iterable[int]) -> dict[str, int]:
        found = {}
        for number in numbers:
            try:
                found[read_text(self._context, f"{CLASS}/neuron{number}/info/serial_number").lower()] = number
            except Unreadable:
                continue
        return found

    def _files(self, number: int, epoch: str) -> Files:
        """The device's files; looked for anew when the kernel has made them anew, or there were none."""
        found = self._found.get(number)
        if found is None or found.epoch != epoch or not found.settled or not found.files.counters:
            settled = found is not None and found.epoch == epoch
            directory = str(self._context.path(f"{CLASS}/neuron{number}"))
            found = self._found[number] = _Found(epoch, find_files(directory), settled)
        return found.files

    def _inode(self, directory: str) -> str:
        """The number of a directory's inode; "" where there is no such directory.

        In sysfs it is that of the kernel's own object: stable while that lives, and another for the next one. So it
        tells a module that was loaded anew, and a device that was; not a reset. Of resets the module tells their number
        alone (`reset_req_count`), in which one by an operator is like those of every runtime at its start.
        """
        try:
            return f"{os.stat(f'{self._context.path(directory)}/').st_ino:x}"
        except OSError:
            return ""

    def _ref(self, name: str) -> DeviceRef:
        return DeviceRef(self._context.driver, self._context.pool, name)


_SEVERITIES = (HealthStatus.HEALTHY, HealthStatus.UNKNOWN, HealthStatus.UNHEALTHY)


def _blamed(error: HardwareError, numbers: Collection[int], serials: Mapping[str, int]) -> Collection[int]:
    """The devices that a line is about: all of them, if it names none that is here."""
    if error.serial in serials:
        return (serials[error.serial],)
    return (error.device,) if error.device is not None and error.device in numbers else numbers


def _log_fault(number: int, kind: str, found: tuple[HardwareError, bool] | None) -> Fault:
    name = log_fault(kind)
    if found is None:
        return Fault(name, "", end=FaultEnd.CLEARED, count=0)
    error, alone = found
    advice = f" (action {error.action})" if error.action else ""
    whom = f"neuron{number}" if alone else f"neuron{number}, perhaps, for the line names no device of this node"
    text = f"{whom}: the kernel's log has NEURON_HW_ERR={kind}{advice}, {ERRORS[kind]}; {REPLACE}"
    return Fault(name, text, end=FaultEnd.CLEARED, count=error.sequence + 1)
