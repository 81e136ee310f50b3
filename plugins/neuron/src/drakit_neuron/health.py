"""The health of the devices, as the kernel module counts errors, the firmware judges, and the kernel's log has it.

Only what is seen now is reported; what is remembered of it is the core's. A round over 16 devices of 8 cores reads some
1,150 files; measured at 15 µs each in sysfs.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from attrs import evolve, frozen
from drakit import DeviceRef, Fault, FaultEnd, Finding, Health, HealthStatus, PluginContext, Severity

from drakit_neuron.counters import (
    COMPONENT_MEANINGS,
    COUNTERS,
    RELOAD,
    REPLACE,
    Files,
    described,
    find_files,
    read_components,
    read_counters,
)
from drakit_neuron.devices import NODE_DEVICE, device_name
from drakit_neuron.kmsg import ERRORS, KMSG, HardwareError, HardwareErrors
from drakit_neuron.options import options_of
from drakit_neuron.sysfs import CLASS, MODULE, Unreadable, read_text
from drakit_neuron.watching import Watcher

VANISHED = "vanished"


def component_fault(component: str) -> str:
    """The fault of a component that the firmware calls unhealthy."""
    return f"unhealthy_{component}"


def log_fault(kind: str) -> str:
    """The fault of a kind of error in the kernel's log."""
    return f"kmsg_{kind.lower()}"


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
`unhealthy_<component>` for components that are not known here.
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
            return reports
        return [*(reports if self._singly else ()), self._node(reports)]

    def findings(self) -> list[Finding]:
        """What of the health of the devices cannot be told on this node, for `drakit check`.

        A log that cannot be read is no warning: that is how containers are.
        """
        found = [
            Finding(Severity.WARNING, f"health of {report.device.name}", report.message)
            for report in self._look()
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

    def _look(self) -> list[Health]:
        """The reports on all devices, by id."""
        module = self._inode(MODULE)
        logged = self._logged(self._numbers)
        return [self._examine(number, module, logged.get(number, ())) for number in sorted(self._numbers)]

    def _node(self, reports: Sequence[Health]) -> Health:
        """The report on the device that stands for the whole node: all that is wrong with any device of it."""
        return Health(
            self._ref(NODE_DEVICE),
            max((report.status for report in reports), key=_SEVERITIES.index, default=HealthStatus.UNKNOWN),
            "; ".join(report.message for report in reports if report.message),
            faults=_joined(fault for report in reports for fault in report.faults),
            counters=_summed(report.counters for report in reports),
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
        counters = read_counters(files)
        faults = [*self._counted(number, counters), *self._ill(number, files), *logged]
        status, message = HealthStatus.HEALTHY, ""
        if not counters:
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
            limit = getattr(self._options, counter.limit) if counter.limit else 0
            if limit:
                text = f"neuron{number} has counted {count} {counter.meaning} ({name}); {counter.remedy}"
                yield Fault(name, text if count else "", end=counter.end, count=count, threshold=limit)

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
        tells a module that was loaded anew, and a device that was; not a reset, which every runtime does at its start.
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


def _joined(faults: Iterable[Fault]) -> list[Fault]:
    """The faults of many devices as those of one: of one name one, with the sum of what was counted."""
    joined: dict[str, Fault] = {}
    for fault in faults:
        known = joined.get(fault.name)
        if known is None:
            joined[fault.name] = fault
        else:
            count = None if fault.count is None else fault.count + (known.count or 0)
            message = "; ".join(text for text in (known.message, fault.message) if text)
            joined[fault.name] = evolve(known, message=message, count=count)
    return list(joined.values())


def _summed(many: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for counters in many:
        for name, count in counters.items():
            total[name] = total.get(name, 0) + count
    return total
