"""The smallest changes under which claims would be met. Each is tried, and only what the planner then meets is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice

from attrs import evolve, field, frozen

from drakit.errors import DRAError
from drakit.plan.allocated import Allocated
from drakit.plan.explain.question import Answer, Question, Trials

PAIRED = 12
"""So many of the smallest changes are tried two and two, where none is enough by itself."""

MAX_TYPES = 12
"""So many other types of nodes are tried."""


@frozen(kw_only=True)
class Edit:
    """One thing that is changed: where it stands, what was there and what is there now, and all of it in words.

    `claim` and `path` say where; both are empty for what is changed on the node. `apply` makes the change. `late`
    orders two: what takes an entry out of a list comes last, the last entry first.
    """

    claim: str
    path: str
    was: str
    now: str
    text: str
    apply: Callable[[Question], Question] = field(eq=False, repr=False)
    late: int = 0


@frozen(kw_only=True)
class Option:
    """A change that may help. Its `steps` are the same change, larger and larger: the least that is enough is wanted.

    Of several with one `subject` only the first that helps is told.
    """

    cost: int
    subject: str
    steps: tuple[tuple[Edit, ...], ...]


@frozen(kw_only=True)
class Change:
    """Under these edits the claims are met on `nodes`, of those that were looked at closely.

    `question` is the changed one, as it was tried and met.
    """

    edits: tuple[Edit, ...]
    nodes: tuple[str, ...]
    question: Question = field(eq=False, repr=False)


def applied(question: Question, edits: Sequence[Edit]) -> Question:
    """The question after the edits."""
    for edit in sorted(edits, key=lambda one: one.late):
        question = edit.apply(question)
    return question


def changes_of(questions: Sequence[tuple[Question, Sequence[Option]]], trials: Trials, most: int) -> tuple[Change, ...]:
    """The smallest changes, at most so many, least first. Each question is of one kind of node, with its options."""
    found: list[tuple[int, tuple[Edit, ...]]] = []
    subjects: set[str] = set()
    every = [(option, question) for question, options in questions for option in options]
    every.sort(key=lambda one: one[0].cost)
    for option, question in every:
        if len(found) >= most or option.subject in subjects:
            continue
        if (edits := _least(question, option, trials)) is not None:
            found.append((option.cost, edits))
            subjects.add(option.subject)
    if not found:
        found = list(islice(_pairs(questions, trials), most))
    return tuple(_change(edits, [question for question, _ in questions], trials) for _, edits in found)


def _least(question: Question, option: Option, trials: Trials) -> tuple[Edit, ...] | None:
    """The first of the steps that is enough: if the last one is, by halving, and what is told was tried itself."""
    steps = option.steps

    def enough(place: int) -> bool:
        return trials.ask(applied(question, steps[place])) is Answer.FITS

    low, high = 0, len(steps) - 1
    if high < 0 or not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return steps[high]


def _pairs(
    questions: Sequence[tuple[Question, Sequence[Option]]], trials: Trials
) -> Iterator[tuple[int, tuple[Edit, ...]]]:
    for question, options in questions:
        smallest = sorted(options, key=lambda one: one.cost)[:PAIRED]
        pairs = sorted(combinations(smallest, 2), key=lambda pair: pair[0].cost + pair[1].cost)
        for first, second in pairs:
            if first.subject == second.subject:
                continue
            edits = (*first.steps[-1], *second.steps[-1])
            if trials.ask(applied(question, edits)) is not Answer.FITS:
                continue
            held = Option(cost=0, subject="", steps=tuple((*one, *second.steps[-1]) for one in first.steps))
            edits = _least(question, held, trials) or edits
            own = edits[: len(edits) - len(second.steps[-1])]
            held = Option(cost=0, subject="", steps=tuple((*own, *one) for one in second.steps))
            yield first.cost + second.cost, _least(question, held, trials) or edits


def _change(edits: tuple[Edit, ...], questions: Sequence[Question], trials: Trials) -> Change:
    changed = [applied(question, edits) for question in questions]
    fitting = [one for one in changed if trials.ask(one) is Answer.FITS]
    nodes = tuple(node.name for one in fitting for node in one.nodes)
    return Change(edits=edits, nodes=nodes, question=fitting[0])


def types_of(question: Question, trials: Trials) -> tuple[str, ...]:
    """The other types of nodes on which the claims, as they are, would be met on an empty node."""
    found = []
    for name, made in islice(question.node_types.items(), MAX_TYPES):
        if trials.spent:
            break
        try:
            slices, node = made()
        except DRAError:  # the type is only an offer, and it is not this question that asks about it
            continue
        other = evolve(question, slices=slices, nodes=(node,), allocated=Allocated(), holders={})
        if trials.ask(other) is Answer.FITS:
            found.append(name)
    return tuple(found)
