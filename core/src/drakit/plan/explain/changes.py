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
    found: list[_Tried] = []
    subjects: set[str] = set()
    every = [(option, question) for question, options in questions for option in options]
    every.sort(key=lambda one: one[0].cost)
    for option, question in every:
        if len(found) >= most or option.subject in subjects:
            continue
        if (tried := _least(question, option, trials)) is not None:
            found.append(tried)
            subjects.add(option.subject)
    if not found:
        found = list(islice(_pairs(questions, trials), most))
    return tuple(_change(tried, [question for question, _ in questions], trials) for tried in found)


@frozen
class _Tried:
    """Edits that are enough for one question, and what that is with them."""

    edits: tuple[Edit, ...]
    of: Question
    changed: Question


def _least(question: Question, option: Option, trials: Trials) -> _Tried | None:
    """The first of the steps that is enough: if the last one is, by halving, and what is told was tried itself."""
    steps = option.steps
    found: dict[int, Question] = {}

    def enough(place: int) -> bool:
        found[place] = applied(question, steps[place])
        return trials.ask(found[place]) is Answer.FITS

    low, high = 0, len(steps) - 1
    if high < 0 or not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return _Tried(steps[high], question, found[high])


def _pairs(questions: Sequence[tuple[Question, Sequence[Option]]], trials: Trials) -> Iterator[_Tried]:
    for question, options in questions:
        smallest = sorted(options, key=lambda one: one.cost)[:PAIRED]
        pairs = sorted(combinations(smallest, 2), key=lambda pair: pair[0].cost + pair[1].cost)
        for first, second in pairs:
            if first.subject == second.subject:
                continue
            held = Option(cost=0, subject="", steps=tuple((*one, *second.steps[-1]) for one in first.steps))
            if (tried := _least(question, held, trials)) is None:
                continue
            own = tried.edits[: len(tried.edits) - len(second.steps[-1])]
            held = Option(cost=0, subject="", steps=tuple((*own, *one) for one in second.steps))
            yield _least(question, held, trials) or tried


def _change(tried: _Tried, questions: Sequence[Question], trials: Trials) -> Change:
    """What was tried of one kind of node, tried of the others too."""
    changed = [tried.changed if one is tried.of else applied(one, tried.edits) for one in questions]
    fitting = [one for one in changed if one is tried.changed or trials.ask(one) is Answer.FITS]
    nodes = tuple(node.name for one in fitting for node in one.nodes)
    return Change(edits=tried.edits, nodes=nodes, question=tried.changed)


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
