"""The explanation of one question, put together."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, field, frozen

from drakit.plan.allocator import Verdict
from drakit.plan.claims import claim_name
from drakit.plan.errors import PlanError
from drakit.plan.explain.candidates import counts_of, options_of
from drakit.plan.explain.changes import Change, Option, changes_of, types_of
from drakit.plan.explain.drift import Drift, drift_of
from drakit.plan.explain.edits import places
from drakit.plan.explain.funnel import RequestFunnel, funnel
from drakit.plan.explain.given import Given, given_of
from drakit.plan.explain.problems import Misspelling, Poison, misspellings, nearest, poisons
from drakit.plan.explain.question import Answer, Limits, Question, Trials, answer_to
from drakit.plan.explain.reasons import Found, Reason, reasons_of
from drakit.plan.explain.values import ValueTable, value_tables
from drakit.plan.explain.words import shown
from drakit.plan.inspection import inspect


@frozen(kw_only=True)
class NodeExplanation:
    """What becomes of the claims on nodes that are alike.

    `kind` is their type, where it is known and the same; `whole_kind`: these are all nodes of it.
    `error` is what the scheduler would report, or why there is no answer. `reasons` say why not, smallest first found;
    none where nothing short was found within the limits. `pools` are the pools that are not used, with why.
    """

    nodes: tuple[str, ...]
    kind: str | None
    answer: Answer
    whole_kind: bool = False
    error: str | None = None
    one_of_several: bool = False
    reasons: tuple[Reason, ...] = ()
    funnels: tuple[RequestFunnel, ...] = ()
    tables: tuple[ValueTable, ...] = ()
    poisons: tuple[Poison, ...] = ()
    pools: tuple[str, ...] = ()
    misspellings: tuple[Misspelling, ...] = ()
    given: tuple[Given, ...] = ()
    drift: Drift | None = None


@frozen(kw_only=True)
class Explanation:
    """Why claims are met on no node, or how they are met, and the least that would have to change.

    `error` is what is wrong with the claims themselves: then no node was looked at. `others` are the nodes that were
    not looked at closely, by answer. `complete` is false where the limits kept something from being tried.
    """

    claims: tuple[str, ...]
    nodes: tuple[NodeExplanation, ...] = ()
    others: tuple[tuple[Answer, int], ...] = ()
    changes: tuple[Change, ...] = ()
    node_types: tuple[str, ...] = ()
    error: str | None = None
    hint: str = ""
    complete: bool = True
    fits: tuple[str, ...] = field(default=())

    @property
    def satisfied(self) -> bool:
        """Whether the claims are met on any node."""
        return bool(self.fits)


def explain(question: Question, limits: Limits | None = None) -> Explanation:
    """Explain what becomes of the claims. Nothing is raised of what is wrong with claims, classes or devices."""
    limits = limits or Limits()
    names = tuple(shown(_name(claim)) for claim in question.claims)
    try:
        verdicts = question.survey(limits.steps)
    except PlanError as error:
        return Explanation(claims=names, error=shown_error(error), hint=_class_hint(question))
    trials = Trials(limits)
    fits = tuple(node.name for verdict in verdicts if verdict.fits for node in verdict.nodes)
    wanted = [one for one in verdicts if one.fits] if fits else sorted(verdicts, key=_distance)
    close, rest = wanted[: limits.nodes], [one for one in verdicts if one not in wanted[: limits.nodes]]
    looks = [_look(question, verdict, trials) for verdict in close]
    changes: tuple[Change, ...] = ()
    node_types: tuple[str, ...] = ()
    if not fits:
        changes = changes_of([(own, options) for _, own, options in looks], trials, limits.changes)
        node_types = types_of(question, trials)
    return Explanation(
        claims=names,
        nodes=tuple(one for one, _, _ in looks),
        others=_others(rest),
        changes=changes,
        node_types=node_types,
        complete=not trials.spent,
        fits=fits,
    )


def shown_error(error: PlanError) -> str:
    """What an error says, on one line."""
    return " ".join("".join(one if one.isprintable() or one == "\n" else " " for one in str(error)).split())


def _name(claim: object) -> str:
    try:
        return claim_name(claim)  # type: ignore[arg-type]
    except (TypeError, KeyError, AttributeError, ValueError, PlanError):
        return "?"


def _class_hint(question: Question) -> str:
    for place in places(question.claims):
        name = str(place.find(question.claims).get("deviceClassName") or "")
        if name not in question.classes and (close := nearest(name, sorted(question.classes))):
            return f"did you mean {shown(close)}?"
    return ""


def _distance(verdict: Verdict) -> int:
    """How far nodes are from meeting the claims: those with nothing of what is asked for come last."""
    if verdict.task is None:
        return 0
    views = inspect(verdict.task)
    return sum(max(0, (view.needed or 1) - sum(one.stage.name == "USABLE" for one in view.devices)) for view in views)


def _look(question: Question, verdict: Verdict, trials: Trials) -> tuple[NodeExplanation, Question, tuple[Option, ...]]:
    """What there is to say of nodes that are alike, and the changes worth a trial on them."""
    own = evolve(question, nodes=verdict.nodes)
    error = None if verdict.error is None else shown_error(verdict.error)
    answer = Answer.FITS if verdict.fits else Answer.DOES_NOT_FIT
    if verdict.error is not None:
        answer = answer_to(verdict.error)
    names = tuple(shown(node.name) for node in verdict.nodes)
    kinds = {question.kinds.get(node.name) for node in verdict.nodes}
    kind = kinds.pop() if len(kinds) == 1 else None
    seen = NodeExplanation(
        nodes=names,
        kind=None if kind is None else shown(kind),
        whole_kind=sum(question.kinds.get(node.name) == kind for node in question.nodes) == len(names),
        answer=answer,
        error=error,
        one_of_several=verdict.one_of_several,
        pools=_pools(verdict),
    )
    if verdict.task is None:
        return seen, own, tuple(counts_of(own))
    views = inspect(verdict.task)
    found = Found(
        question=own,
        task=verdict.task,
        views=views,
        places=tuple(places(question.claims)),
        tables=value_tables(verdict.task, views),
    )
    poisoned = poisons(views)
    misspelt = misspellings(views, found.places, found.tables)
    options = () if verdict.fits else options_of(found, poisoned, misspelt)
    pairs = zip(views, found.places, strict=True)
    seen = evolve(
        seen,
        reasons=() if verdict.fits else reasons_of(found, trials),
        funnels=tuple(funnel(view, verdict.task, place, question.holders) for view, place in pairs),
        tables=found.tables,
        poisons=poisoned,
        misspellings=misspelt,
        given=given_of(verdict, found, question.holders) if verdict.fits else (),
        drift=drift_of(own, trials),
    )
    return seen, own, options


def _pools(verdict: Verdict) -> tuple[str, ...]:
    return tuple(
        f"pool {shown(pool.driver)}/{shown(pool.name)} is not used: {shown(pool.problem)}"
        for pool in (verdict.task.pools if verdict.task else ())
        if pool.problem
    )


def _others(verdicts: Sequence[Verdict]) -> tuple[tuple[Answer, int], ...]:
    counts = dict.fromkeys(Answer, 0)
    for verdict in verdicts:
        answer = answer_to(verdict.error) if verdict.error else Answer.FITS if verdict.fits else Answer.DOES_NOT_FIT
        counts[answer] += len(verdict.nodes)
    return tuple((answer, count) for answer, count in counts.items() if count)
