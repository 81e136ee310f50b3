"""The course of faults: from what stood before and what is reported now to what stands. Pure.

Doing it again with the same report changes nothing, so whoever finds that others have changed the record meanwhile
does it again on theirs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from attrs import evolve, field, frozen

from drakit.faults.record import Memories, Memory, RememberedFault
from drakit.model import DeviceRef, Fault, FaultEnd, Health
from drakit.model.converters import frozen_mapping

EPOCH_SECONDS = 60.0
"""How often at most a device is taken to have been reset: a backend that tells another epoch each time is wrong."""

Key = tuple[DeviceRef, str]
"""A fault of a device."""
Faults = Mapping[str, RememberedFault]

_NOTHING = Memory()
_LASTING = {FaultEnd.GONE: 0, FaultEnd.STEADY: 1, FaultEnd.CLEARED: 2}


@frozen(kw_only=True)
class Course:
    """How things stand. Only `memories` outlive the process; times are seconds of a clock that only goes on."""

    memories: Memories = field(factory=dict, converter=frozen_mapping)
    passing: Mapping[DeviceRef, Faults] = field(factory=dict, converter=frozen_mapping)
    """Faults that end as soon as they are not reported."""
    words: Mapping[Key, str] = field(factory=dict, converter=frozen_mapping)
    """The messages of what is reported now: they may say more than those that are remembered."""
    quiet: Mapping[Key, float] = field(factory=dict, converter=frozen_mapping)
    """Since when a fault that ends by being steadily gone has not been seen."""
    counts: Mapping[Key, int] = field(factory=dict, converter=frozen_mapping)
    resets: Mapping[DeviceRef, float] = field(factory=dict, converter=frozen_mapping)
    """When another epoch of a device was last believed."""
    widespread: bool = False
    """Whether more than half of the devices, and two at least, are faulty."""

    @property
    def standing(self) -> Mapping[DeviceRef, Faults]:
        """Every fault that stands."""
        refs = dict.fromkeys((*(ref for ref, memory in self.memories.items() if memory.faults), *self.passing))
        return {ref: {**self.passing.get(ref, {}), **self.memories.get(ref, _NOTHING).faults} for ref in refs}


@frozen(kw_only=True)
class Moment:
    """When a report is taken up: `now` on the clock that only goes on, `stamp` as people write it."""

    now: float
    stamp: str
    steady_seconds: float


def advance(before: Course, reports: Sequence[Health], known: Collection[DeviceRef], moment: Moment) -> Course:
    """Take up a report of all devices. `known` are the devices the driver has, which need not all be reported."""
    steps = [_Step(before, report, moment) for report in _by_device(reports)]
    reported = {step.ref for step in steps}
    steps += [_Step(before, None, moment, unreported=ref) for ref in before.memories if ref not in reported]
    course = Course(
        memories={step.ref: step.memory for step in steps if not step.memory.is_empty},
        passing={step.ref: step.passing for step in steps if step.passing},
        words={key: text for step in steps for key, text in step.words.items()},
        quiet={key: since for step in steps for key, since in step.quiet.items()},
        counts={key: count for step in steps for key, count in step.counts.items()},
        resets={**before.resets, **{step.ref: moment.now for step in steps if step.was_reset}},
    )
    return _spared(course, reported.union(known))


def refused(before: Course, devices: Sequence[DeviceRef], fault: Fault, claim: str, moment: Moment) -> Course:
    """Take up that a claim, given by its uid, was refused for a fault of these devices."""
    memories = dict(before.memories)
    for ref in devices:
        memory = memories.get(ref, _NOTHING)
        known = memory.faults.get(fault.name) or _begun(fault, moment)
        memories[ref] = evolve(memory, faults={**memory.faults, fault.name: evolve(known, refused=claim)})
    quiet = {key: since for key, since in before.quiet.items() if key[1] != fault.name or key[0] not in devices}
    return evolve(before, memories=memories, quiet=quiet)


def _by_device(reports: Sequence[Health]) -> Sequence[Health]:
    """One report per device: a backend may tell of a device in several."""
    found: dict[DeviceRef, Health] = {}
    for report in reports:
        before = found.get(report.device)
        found[report.device] = (
            report
            if before is None
            else evolve(before, faults=before.faults + report.faults, epoch=before.epoch or report.epoch)
        )
    return list(found.values())


class _Step:
    """The step of one device; without a report, of one that the backend says nothing of."""

    def __init__(
        self, before: Course, report: Health | None, moment: Moment, unreported: DeviceRef | None = None
    ) -> None:
        ref = report.device if report is not None else unreported
        assert ref is not None
        self.ref = ref
        self._before = before
        self._moment = moment
        self.was_reset = False
        self.words: dict[Key, str] = {}
        self.quiet: dict[Key, float] = {}
        self.counts: dict[Key, int] = {}
        memory = before.memories.get(ref, _NOTHING)
        self.memory = self._in_epoch(memory, report.epoch if report is not None else "")
        self.passing: dict[str, RememberedFault] = {}
        seen = {fault.name for fault in (report.faults if report is not None else ()) if self._take(fault)}
        self._end_what_is_steadily_gone(seen)
        if report is not None and not self.memory.epoch and not self.memory.is_empty:
            self.memory = evolve(self.memory, epoch=report.epoch)

    def _in_epoch(self, memory: Memory, epoch: str) -> Memory:
        """What of a memory is left in an epoch. Where one is not known, nothing has ended."""
        if "" in (epoch, memory.epoch) or epoch == memory.epoch:
            return memory
        last = self._before.resets.get(self.ref)
        if last is not None and self._moment.now - last < EPOCH_SECONDS:
            return memory
        self.was_reset = True
        kept = {name: fault for name, fault in memory.faults.items() if fault.end is not FaultEnd.CLEARED}
        return Memory(faults=kept)

    def _take(self, fault: Fault) -> bool:
        """Take up one fault as it is reported; returns whether it is seen now."""
        key = (self.ref, fault.name)
        if fault.count is not None:
            self.counts[key] = fault.count
            self._set_baseline(fault.name, self._baseline(fault.name, fault.count))
            if fault.count - (self.memory.baselines.get(fault.name) or 0) < fault.threshold:
                return False
        elif fault.name in self.memory.baselines:
            self._set_baseline(fault.name, 0)
        self.words[key] = fault.message
        known = self.memory.faults.get(fault.name)
        if known is None and fault.end is FaultEnd.GONE:
            self.passing[fault.name] = self._before.passing.get(self.ref, {}).get(fault.name) or _begun(
                fault, self._moment
            )
        elif known is None or _LASTING[known.end] < _LASTING[fault.end]:
            began = evolve(known, end=fault.end) if known else _begun(fault, self._moment)
            self._set_faults({**self.memory.faults, fault.name: began})
        # What is counted stays counted: it is seen where the count grows.
        return fault.count is None or known is None or fault.count > self._before.counts.get(key, fault.count)

    def _baseline(self, name: str, count: int) -> int:
        baseline = self.memory.baselines.get(name, 0)
        if baseline is None:
            return count  # it was cleared since the last report
        if count < baseline:
            self._set_faults({other: fault for other, fault in self.memory.faults.items() if other != name})
            return 0  # the count began again
        return baseline

    def _end_what_is_steadily_gone(self, seen: Collection[str]) -> None:
        for name, fault in self.memory.faults.items():
            key = (self.ref, name)
            if fault.end is FaultEnd.STEADY and name not in seen:
                self.quiet[key] = self._before.quiet.get(key, self._moment.now)
        over = {
            name for (_, name), since in self.quiet.items() if self._moment.now - since >= self._moment.steady_seconds
        }
        if over:
            self._set_faults({name: fault for name, fault in self.memory.faults.items() if name not in over})
            self.quiet = {key: since for key, since in self.quiet.items() if key[1] not in over}
        for name in over & {name for _, name in self.counts}:
            self._set_baseline(name, self.counts[self.ref, name])

    def _set_faults(self, faults: Faults) -> None:
        self.memory = evolve(self.memory, faults=faults)

    def _set_baseline(self, name: str, count: int) -> None:
        if self.memory.baselines.get(name, 0) == count:
            return
        others = {other: value for other, value in self.memory.baselines.items() if other != name}
        self.memory = evolve(self.memory, baselines={**others, name: count} if count else others)


def _begun(fault: Fault, moment: Moment) -> RememberedFault:
    return RememberedFault(message=fault.message, end=fault.end, since=moment.stamp)


def _spared(course: Course, known: Collection[DeviceRef]) -> Course:
    """Have nothing evicted by faults that stand while most devices are faulty: what is wrong then is not they.

    Refusals do not count: they are of claims, one of which may have every device of the node.
    """
    faulty = {ref for ref, faults in course.standing.items() if any(not fault.refused for fault in faults.values())}
    if len(faulty) < 2 or 2 * len(faulty) <= len(faulty.union(known)):
        return course
    return evolve(
        course,
        widespread=True,
        memories={ref: evolve(memory, faults=_all_spared(memory.faults)) for ref, memory in course.memories.items()},
        passing={ref: _all_spared(faults) for ref, faults in course.passing.items()},
    )


def _all_spared(faults: Faults) -> Faults:
    return {name: evolve(fault, spared=True) for name, fault in faults.items()}
