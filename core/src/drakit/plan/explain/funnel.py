"""What becomes of the devices with one request, step by step, and what each condition of its selectors finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

from drakit.model import DeviceRef, Quantity, TaintEffect
from drakit.plan.capacity import as_written
from drakit.plan.errors import SelectorFailed
from drakit.plan.explain.edits import Part, Place
from drakit.plan.explain.words import shown, tallied, value_text
from drakit.plan.inspection import DeviceView, RequestView, Stage
from drakit.plan.task import Task

STEPS = (
    Stage.FAILED,
    Stage.NOT_IN_CLASS,
    Stage.NOT_SELECTED,
    Stage.OTHER_NODE,
    Stage.IN_USE,
    Stage.NO_ROOM,
    Stage.NO_COUNTERS,
    Stage.TAINTED,
)
"""The questions, in the order in which they are asked of a device."""


@frozen(kw_only=True)
class Step:
    """One question: how many devices do not get past it, how many are left, and what is known of those lost."""

    stage: Stage
    lost: int
    left: int
    detail: str = ""


@frozen(kw_only=True)
class ConjunctCount:
    """One condition of a selector by itself: of how many devices it was asked, on how many it holds, or fails.

    `values` are what it reads of the devices on which it does not hold, with how many say so.
    """

    where: str
    text: str
    of: int
    holds: int
    fails: int
    values: Mapping[str, Mapping[str, int]] = field(factory=dict)


@frozen(kw_only=True)
class RequestFunnel:
    """One alternative of a request: `needed` is None for all devices. The steps' losses and `usable` make up `seen`."""

    claim: str
    part: Part
    request: str
    path: str
    device_class: str
    needed: int | None
    seen: int
    steps: tuple[Step, ...]
    usable: int
    conjuncts: tuple[ConjunctCount, ...] = ()

    @property
    def missing(self) -> int:
        """How many devices this request lacks, whatever the others take."""
        if self.needed is not None:
            return max(0, self.needed - self.usable)
        wanted = sum(step.lost for step in self.steps if step.stage not in _NOT_WANTED)
        return wanted or (not self.usable)


_NOT_WANTED = frozenset({Stage.NOT_IN_CLASS, Stage.NOT_SELECTED, Stage.OTHER_NODE})
"""What a request for all devices does without."""


def funnel(view: RequestView, task: Task, place: Place, holders: Mapping[DeviceRef, str]) -> RequestFunnel:
    """The funnel of one alternative of a request."""
    left = len(view.devices)
    steps = []
    for stage in STEPS:
        if lost := view.at(stage):
            left -= len(lost)
            steps.append(Step(stage=stage, lost=len(lost), left=left, detail=_detail(stage, lost, view, task, holders)))
    return RequestFunnel(
        claim=view.claim,
        part=("request", place.claim, place.request),
        request=view.option.label,
        path=place.path,
        device_class=view.option.request.device_class_name,
        needed=view.needed,
        seen=len(view.devices),
        steps=tuple(steps),
        usable=left,
        conjuncts=conjunct_counts(view),
    )


def _detail(
    stage: Stage, lost: Sequence[DeviceView], view: RequestView, task: Task, holders: Mapping[DeviceRef, str]
) -> str:
    if stage is Stage.FAILED:
        error = lost[0].error
        return shown(getattr(error and error.__cause__, "problem", None) or error)
    if stage is Stage.NOT_IN_CLASS:
        return f"class {shown(view.option.request.device_class_name)}"
    texts: Iterable[str] = ()
    match stage:
        case Stage.IN_USE:
            texts = (f"by {holders[one.ref]}" if one.ref in holders else "by others" for one in lost)
        case Stage.NO_ROOM:
            texts = map(_room, lost)
        case Stage.NO_COUNTERS:
            texts = (_draws(one, task) for one in lost)
        case Stage.TAINTED:
            texts = (text for one in lost for text in taints_of(one))
    return tallied(Counter(texts))


def _room(device: DeviceView) -> str:
    """What is too little on one device: `memory: 8Gi left, 16Gi asked`."""
    candidate, option = device.candidate, device.option
    offer, used = candidate.offer, candidate.consumed or {}
    wanted = option.request.capacity.requests
    if absent := sorted(name for name in wanted if name not in offer.device.capacity):
        return f"without capacity {shown(absent[0])}"
    consumed: Mapping[str, Quantity] = option.consumes(offer) or wanted
    for name, amount in sorted(consumed.items()):
        whole = offer.device.capacity[name]
        left = whole.nanos - used.get(name, 0)
        if amount.nanos > left:
            return f"with {as_written(left, whole)} of {shown(name)} left, {amount} asked"
    return "whose policy does not allow the amount asked"


def _draws(device: DeviceView, task: Task) -> str:
    if not task.profile.features.partitionable:
        return f"need counters, which are off in {task.profile.version}"
    pool = device.candidate.pool
    taken = Counter[tuple[str, str]]()
    for counter, amount in task.drawn(pool):
        taken[counter] += amount
    for counter, amount in device.candidate.offer.draws:
        left = pool.counters.get(counter, 0) - taken[counter]
        if amount > left:
            form = Quantity("1Ki")
            return f"draw {as_written(amount, form)} of {shown('/'.join(counter))}, {as_written(left, form)} left"
    return "of a pool whose counters are overdrawn"


def taints_of(device: DeviceView) -> tuple[str, ...]:
    """The taints of a device that its request does not tolerate, as kubectl writes them."""
    request = device.option.request
    return tuple(
        f"{shown(taint.key)}={shown(taint.value)}:{taint.effect}"
        for taint in device.candidate.offer.device.taints
        if taint.effect is not TaintEffect.NONE and not any(one.tolerates(taint) for one in request.tolerations)
    )


def conjunct_counts(view: RequestView) -> tuple[ConjunctCount, ...]:
    """The conditions of the request's selectors over the devices of its class; those of the class if it has none."""
    in_class = [one for one in view.devices if one.stage is not Stage.NOT_IN_CLASS]
    own = [place for place, one in enumerate(view.option.criteria) if one.otherwise]
    inherited = [place for place, one in enumerate(view.option.criteria) if not one.otherwise]
    try:
        return tuple(_counts(in_class, own) if in_class else _counts(view.devices, inherited))
    except SelectorFailed:  # one is no CEL, which the funnel says already
        return ()


def _counts(devices: Sequence[DeviceView], criteria: Sequence[int]) -> Iterable[ConjunctCount]:
    if not devices:
        return
    for place in criteria:
        for number, first in enumerate(devices[0].selectors[place].conjuncts):
            views = [one.selectors[place].conjuncts[number] for one in devices]
            against = [one for one in views if not one.holds]
            values: dict[str, Counter[str]] = {}
            for one in against:
                for name, value in one.values.items():
                    values.setdefault(name, Counter())[value_text(value)] += 1
            yield ConjunctCount(
                where=devices[0].selectors[place].criterion.where,
                text=first.conjunct.text,
                of=len(views),
                holds=len(views) - len(against),
                fails=sum(one.holds is None for one in against),
                values={name: dict(sorted(counts.items())) for name, counts in values.items()},
            )
