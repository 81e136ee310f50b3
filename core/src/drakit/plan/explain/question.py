"""What is to be explained, and trials: the planner asked again with something changed, within a budget."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from drakit.model import DeviceRef
from drakit.plan.allocated import Allocated
from drakit.plan.allocator import Allocator, Claim, Verdict
from drakit.plan.claims import DeviceClass
from drakit.plan.errors import PlanError, Undecided
from drakit.plan.nodes import NodeView
from drakit.plan.pools import SliceSet
from drakit.plan.profiles import KubeProfile, kube_profile
from drakit.plan.search import MAX_STEPS

NodeType = Callable[[], tuple[SliceSet, NodeView]]
"""Gives an empty node of some type, with its slices; what it raises of DRAError only costs this type."""


def _claims(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    return tuple(claims)


def _nodes(nodes: Iterable[NodeView]) -> tuple[NodeView, ...]:
    return tuple(nodes)


@frozen(kw_only=True, eq=False)
class Question:
    """The claims of one pod, the nodes they are to be met on, and all that decides: what an Allocator is given.

    `holders` says who holds a device, in words such as `claim team/a`, and `kinds` of what type a node is, as far as
    either is known. `node_types` are other types of nodes to be tried, by name.
    """

    claims: tuple[Claim, ...] = field(converter=_claims)
    nodes: tuple[NodeView, ...] = field(converter=_nodes)
    slices: SliceSet
    classes: Mapping[str, DeviceClass]
    allocated: Allocated = field(factory=Allocated)
    profile: KubeProfile = field(factory=kube_profile)
    holders: Mapping[DeviceRef, str] = field(factory=dict)
    kinds: Mapping[str, str] = field(factory=dict)
    node_types: Mapping[str, NodeType] = field(factory=dict)

    def survey(self, steps: int = MAX_STEPS) -> tuple[Verdict, ...]:
        """One verdict for all nodes that are alike. Raises PlanError where the claims themselves are at fault."""
        allocator = Allocator(self.slices, self.classes, self.allocated, profile=self.profile, steps=steps)
        return allocator.survey(self.claims, self.nodes)


@frozen(kw_only=True)
class Limits:
    """How much an explanation may cost. All are counts, so that the same question has the same explanation.

    `steps` are those of the first answer, `trial_steps` of each trial; `nodes`: so many kinds of nodes are looked at
    closely, the others are counted.
    """

    steps: int = MAX_STEPS
    trials: int = 240
    trial_steps: int = 3_000
    nodes: int = 4
    changes: int = 4


class Answer(enum.Enum):
    """What the planner says. UNKNOWN: it took too long, or no more trials may be made."""

    FITS = "fits"
    DOES_NOT_FIT = "does not fit"
    ERROR = "the scheduler stops with an error"
    UNKNOWN = "undecided"

    @property
    def refuses(self) -> bool:
        """Whether it is a definite no."""
        return self in (Answer.DOES_NOT_FIT, Answer.ERROR)


def answer_of(question: Question, steps: int) -> Answer:
    """What the planner says of the first node."""
    try:
        (verdict,) = evolve(question, nodes=question.nodes[:1]).survey(steps)
    except PlanError as error:
        return answer_to(error)
    if verdict.error is not None:
        return answer_to(verdict.error)
    return Answer.FITS if verdict.fits else Answer.DOES_NOT_FIT


def answer_to(error: PlanError) -> Answer:
    """The answer that an error is."""
    return Answer.UNKNOWN if isinstance(error, Undecided) else Answer.ERROR


class Trials:
    """Asks the planner about changed questions; the same one is asked once, and no more than `limits.trials`."""

    def __init__(self, limits: Limits) -> None:
        self._steps = limits.trial_steps
        self._left = limits.trials
        self._known: dict[object, tuple[Question, Answer]] = {}

    @property
    def spent(self) -> bool:
        """Whether no more can be made."""
        return self._left <= 0

    def ask(self, question: Question) -> Answer:
        """What the planner says of the question's first node."""
        key = _key(question)
        if key in self._known:
            return self._known[key][1]
        if self.spent:
            return Answer.UNKNOWN
        self._left -= 1
        answer = answer_of(question, self._steps)
        self._known[key] = question, answer  # the question is kept, for its parts are known by their ids
        return answer

    def all_fit(self, questions: Sequence[Question]) -> bool:
        """Whether every one of them is certain to be met."""
        return all(self.ask(question) is Answer.FITS for question in questions)


def _key(question: Question) -> object:
    parts: tuple[Any, ...] = (question.slices, question.classes, question.allocated)
    claims = json.dumps(question.claims, sort_keys=True, default=str)
    return claims, question.nodes[0].name, question.profile, tuple(map(id, parts))
