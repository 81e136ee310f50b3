"""What becomes of every device with every request, question by question: what explanations are made of.

Nothing here decides anything: it asks the same questions as the search, of each device by itself.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import cached_property

from attrs import frozen

from drakit.model import DeviceRef
from drakit.plan.candidates import Candidate
from drakit.plan.cel.conjuncts import Conjunct, conjuncts
from drakit.plan.cel.errors import CelRuntimeError
from drakit.plan.counters import CounterLedger
from drakit.plan.errors import SelectorFailed
from drakit.plan.requests import IN_CLASS, NOT_IN_CLASS, Criterion, Option
from drakit.plan.task import Bound, Slot, Task


class Stage(enum.Enum):
    """The first question that a device does not get past, as it stands before the search; USABLE passed all."""

    FAILED = "a selector fails on it"
    NOT_IN_CLASS = "not of the device class"
    NOT_SELECTED = "not selected by the request"
    OTHER_NODE = "for other nodes"
    IN_USE = "in use"
    NO_ROOM = "too little capacity, or none that the request names"
    NO_COUNTERS = "too little of its pool's counters is left"
    TAINTED = "has a taint that is not tolerated"
    USABLE = "usable"


@frozen(kw_only=True)
class ConjunctView:
    """What one condition of a selector says of a device. `holds` is None where it fails, with the `error`.

    `values` are what it reads of the device, by how that is written.
    """

    conjunct: Conjunct
    holds: bool | None
    error: str | None
    values: Mapping[str, object]


@frozen(kw_only=True)
class SelectorView:
    """What one selector says of a device."""

    criterion: Criterion
    conjuncts: tuple[ConjunctView, ...]


@frozen(eq=False, slots=False, kw_only=True)
class DeviceView:
    """One device as one request sees it. `error` is what a selector failed with."""

    candidate: Candidate
    option: Option
    stage: Stage
    error: SelectorFailed | None = None

    @property
    def ref(self) -> DeviceRef:
        """Which device it is."""
        return self.candidate.ref

    @cached_property
    def selectors(self) -> tuple[SelectorView, ...]:
        """The selectors of class and request, each condition by itself. Raises SelectorFailed if one is no CEL."""
        return tuple(
            SelectorView(
                criterion=criterion,
                conjuncts=tuple(_view(one, self.candidate) for one in conjuncts(self.option.selector(place))),
            )
            for place, criterion in enumerate(self.option.criteria)
        )


@frozen(eq=False, kw_only=True)
class RequestView:
    """One alternative of a request, and every device of the node in the order of the search. `needed`: None is all."""

    claim: str
    option: Option
    needed: int | None
    devices: tuple[DeviceView, ...]

    def at(self, stage: Stage) -> tuple[DeviceView, ...]:
        """The devices that got so far."""
        return tuple(device for device in self.devices if device.stage is stage)


def inspect(task: Task) -> tuple[RequestView, ...]:
    """Every alternative of every request, with every device."""
    return tuple(view_of(task, slot, bound) for slot in task.slots for bound in slot.options)


def view_of(task: Task, slot: Slot, bound: Bound) -> RequestView:
    """One alternative of a request, with every device."""
    return RequestView(
        claim=task.ask.claims[slot.claim].name,
        option=bound.option,
        needed=None if bound.everything is not None else bound.needed,
        devices=tuple(_device(task, bound, candidate) for candidate in task.candidates),
    )


def _device(task: Task, bound: Bound, candidate: Candidate) -> DeviceView:
    option = bound.option
    try:
        stage = _stage(task, option, candidate)
    except SelectorFailed as error:
        return DeviceView(candidate=candidate, option=option, stage=Stage.FAILED, error=error)
    return DeviceView(candidate=candidate, option=option, stage=stage)


def _stage(task: Task, option: Option, candidate: Candidate) -> Stage:
    verdict = option.verdict(candidate)
    features = task.profile.features
    draws = candidate.offer.draws
    begun = candidate.offer.shared and (candidate.shared_already or candidate.consumed is not None)
    questions = (
        (verdict == NOT_IN_CLASS, Stage.NOT_IN_CLASS),
        (verdict == IN_CLASS, Stage.NOT_SELECTED),
        (candidate.far, Stage.OTHER_NODE),
        (candidate.in_use and not option.request.admin_access, Stage.IN_USE),
        (features.consumable and not option.fits(candidate, candidate.consumed or {}), Stage.NO_ROOM),
        (bool(draws) and not begun and not _counted(task, candidate), Stage.NO_COUNTERS),
        (not option.tolerates(candidate.offer), Stage.TAINTED),
    )
    return next((stage for fails, stage in questions if fails), Stage.USABLE)


def _counted(task: Task, candidate: Candidate) -> bool:
    pool = candidate.pool
    return task.profile.features.partitionable and CounterLedger(pool, task.drawn(pool)).take(candidate.offer.draws)


def _view(conjunct: Conjunct, candidate: Candidate) -> ConjunctView:
    device = candidate.offer.value
    holds, problem = None, None
    try:
        holds = conjunct.verdict(device)
    except CelRuntimeError as error:
        problem = error.problem
    return ConjunctView(conjunct=conjunct, holds=holds, error=problem, values=conjunct.operands(device))
