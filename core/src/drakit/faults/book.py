"""The faults of one driver's devices, as its agent keeps them: fed by the backend's reports, asked before a claim.

A health round with nothing new looks at the file once, and neither reads nor writes it. Where the file cannot be used,
all goes on from memory: counts are then held against 0, so that nothing faulty passes for sound.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from attrs import evolve, frozen

from drakit.errors import ClaimError, describe
from drakit.faults.course import Course, Faults, Moment, advance, refused
from drakit.faults.record import FaultFile, FaultsLocked, FaultsUnreadable, Memories, Signature, merged
from drakit.faults.taints import TaintPolicy, first_of, puts_up_with, taint_of
from drakit.model import ClaimAllocation, DeviceRef, Fault, FaultEnd, Health, HealthStatus, Taint

RETRY_SECONDS = 60.0
"""How long a file that cannot be written is left alone."""


def _now() -> datetime:
    return datetime.now(UTC)


@frozen
class StandingFault:
    """One fault that stands, as people are told of it."""

    device: DeviceRef
    name: str
    message: str
    end: FaultEnd
    since: str

    def __str__(self) -> str:
        return f"{self.message or self.name} (since {self.since})"


class FaultBook:
    """What is wrong with the devices of one driver.

    `judge` is called by the observer thread, everything else by any thread; only `judge` and `open` touch the file.
    """

    def __init__(
        self,
        file: FaultFile,
        *,
        policy: TaintPolicy | None = None,
        steady_seconds: float = 300.0,
        log: logging.Logger | None = None,
        held_by_another: Callable[[DeviceRef, str], bool] = lambda _device, _uid: True,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _now,
    ) -> None:
        """Touches nothing yet. Without a `policy`, faults make no taints.

        `held_by_another` says whether a claim other than the one with this uid holds a device, or may.
        """
        self._file = file
        self._policy = policy
        self._steady_seconds = steady_seconds
        self._log = log or logging.getLogger(f"drakit.drivers.{file.driver}")
        self._held_by_another = held_by_another
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._course = Course()
        self._base: Memories = {}
        """What the file held when it was last read or written."""
        self._signature: Signature | None = None
        self._opened = self._silent = False
        self._write_at = 0.0
        self._warned: set[str] = set()
        self._standing: Mapping[DeviceRef, Faults] = MappingProxyType({})
        self.counters: Mapping[DeviceRef, Mapping[str, int]] = MappingProxyType({})
        """What devices have counted, as last reported."""

    def open(self) -> None:
        """Read what is remembered. Once, before the first claim."""
        with contextlib.suppress(FaultsLocked, OSError):  # the next write makes the file anew
            self._file.remove_unfinished()
        with self._lock:
            self._refresh()
            self._stand(self._course)

    @property
    def standing(self) -> Sequence[StandingFault]:
        """Every fault that stands, by device; those of one device in the order in which they began."""
        return [
            fault for ref, faults in sorted(self._standing.items()) for fault in _described(self._course, ref, faults)
        ]

    @property
    def widespread(self) -> bool:
        """Whether more than half of the devices are faulty, so that no fault evicts."""
        return self._course.widespread

    def judge(self, reports: Sequence[Health], known: Collection[DeviceRef] = ()) -> Sequence[Health]:
        """Take up a report; returns it as it is to be told, with the faults that stand in it.

        `known` are the devices that the driver has. A device that is not reported, and has a fault, is told of too.
        """
        with self._lock:
            if self._silent:
                # For the time the backend said nothing, nobody knows that all was well.
                self._silent, self._course = False, evolve(self._course, quiet={})
            self._refresh()
            moment = self._moment()
            course = advance(self._course, reports, known, moment)
            if course.memories != self._base and moment.now >= self._write_at:
                course = self._saved(course, reports, known, moment)
            self._stand(course)
            self.counters = MappingProxyType({one.device: one.counters for one in reports if one.counters})
            told: dict[DeviceRef, list[str]] = {}
            for fault in self.standing if self._standing else ():
                told.setdefault(fault.device, []).append(str(fault))
        reported = {report.device for report in reports}
        judged = [_judged(report, told.get(report.device, ())) for report in reports]
        return judged + [
            Health(ref, HealthStatus.UNHEALTHY, "; ".join(texts)) for ref, texts in told.items() if ref not in reported
        ]

    def silence(self) -> None:
        """The backend did not report: what is to be steadily gone has to begin anew with that."""
        self._silent = True

    def refuse(self, devices: Sequence[DeviceRef], fault: str, message: str, claim: str) -> None:
        """Remember that the claim with this uid was refused devices that cannot do what it needs of them.

        It is written down with the next report.
        """
        with self._lock:
            found = Fault(fault, message, end=FaultEnd.STEADY)
            self._stand(refused(self._course, devices, found, claim, self._moment()))

    def check(self, claim: ClaimAllocation) -> None:
        """Raise ClaimError where a device of a claim is faulty, unless the claim puts up with that."""
        if not self._standing:
            return
        for wanted in claim.devices:
            faults = self._standing.get(wanted.device)
            if faults and not puts_up_with(wanted, self._file.driver, self._taint(wanted.device, faults)):
                raise ClaimError(self._refusal(wanted.device, faults))

    def taints(self) -> Mapping[DeviceRef, Taint]:
        """The taints that faults make now."""
        found = {ref: self._taint(ref, faults) for ref, faults in self._standing.items()}
        return {ref: taint for ref, taint in found.items() if taint is not None}

    def remedy(self, fault: StandingFault) -> str:
        """What ends a fault, in words."""
        if fault.end is FaultEnd.GONE:
            return "it ends when the device is well again"
        clear = f"drakit device clear {fault.device.driver} {fault.device.name}"
        if fault.end is FaultEnd.STEADY:
            return f"it ends once it has not been seen for {self._steady_seconds:g} s, or by `{clear}` on the node"
        return (
            "it ends when the node is rebooted or the device's kernel module loaded anew, or after a repair or a reset "
            f"of the device by `{clear}` on the node"
        )

    def _taint(self, ref: DeviceRef, faults: Faults) -> Taint | None:
        if self._policy is None:
            return None
        claims = {fault.refused for fault in faults.values() if fault.refused}
        evict = bool(claims) and not any(self._held_by_another(ref, uid) for uid in claims)
        return taint_of(faults, self._policy, evict_refused=evict)

    def _refusal(self, ref: DeviceRef, faults: Faults) -> str:
        first = _described(self._course, ref, faults)[0]
        return f"device {ref} is faulty: {first}; delete the pod to have it scheduled anew; {self.remedy(first)}"

    def _moment(self) -> Moment:
        stamp = self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Moment(now=self._clock(), stamp=stamp, steady_seconds=self._steady_seconds)

    def _refresh(self) -> None:
        """Take up what others have made of the file, if they have."""
        theirs: Memories | None = None
        try:
            signature = self._file.signature()
            if self._opened and signature == self._signature:
                return
            self._opened, self._signature = True, signature
            theirs = self._file.read() if signature is not None else None
        except FaultsUnreadable as error:
            self._warn(f"{error}; what is known here of faults stands, and is written there anew")
        # A file that is removed, or cannot be read, has cleared nothing.
        memories = self._course.memories if theirs is None else merged(self._base, self._course.memories, theirs)
        self._base = theirs or {}
        self._course = evolve(self._course, memories=memories)

    def _saved(self, course: Course, reports: Sequence[Health], known: Collection[DeviceRef], moment: Moment) -> Course:
        """Write down what is remembered now; returns how things stand, with what others have written meanwhile."""
        try:
            with self._file.locked():
                self._refresh()
                course = advance(self._course, reports, known, moment)
                if course.memories != self._base:
                    self._file.write(course.memories)
                    self._base, self._signature = course.memories, self._file.signature()
            self._warned.clear()
        except FaultsLocked:
            pass  # by the other agent, or the command line: the next round finds what they wrote
        except (OSError, FaultsUnreadable) as error:
            self._write_at = moment.now + RETRY_SECONDS
            self._warn(
                f"{self._file.path} cannot be written: {describe(error)}; until it can be, faults of devices are "
                f"forgotten when this agent ends"
            )
        return course

    def _stand(self, course: Course) -> None:
        """Let this be how things stand, and log what has begun and ended by it."""
        before, self._course = self._course, course
        standing = course.standing
        for ref, faults in standing.items():
            for fault in _described(course, ref, faults):
                if fault.name not in self._standing.get(ref, {}):
                    self._log.warning("device %s is faulty: %s: %s; %s", ref, fault.name, fault, self.remedy(fault))
        for ref, faults in self._standing.items():
            for name in faults.keys() - standing.get(ref, {}).keys():
                self._log.info("device %s: fault %s is over", ref, name)
        if course.widespread and not before.widespread:
            self._log.error("more than half of the devices are faulty: no pod is evicted for that")
        self._standing = MappingProxyType(dict(standing))

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self._log.warning("%s", message)


def _described(course: Course, ref: DeviceRef, faults: Faults) -> list[StandingFault]:
    """The faults of a device in the order in which they began, in the words of the last report where it has some."""
    return [
        StandingFault(
            ref, name, course.words.get((ref, name), faults[name].message), faults[name].end, faults[name].since
        )
        for name in first_of(faults)
    ]


def _judged(report: Health, texts: Sequence[str]) -> Health:
    """A report with what stands, and without what only a book of faults needs."""
    if not texts:
        return Health(report.device, report.status, report.message, report.taint)
    return Health(report.device, HealthStatus.UNHEALTHY, "; ".join(texts), report.taint)
