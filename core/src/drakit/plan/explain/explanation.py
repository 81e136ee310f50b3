"""The explanation of one question, put together."""

from __future__ import annotations

from collections import Counter
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
from drakit.plan.explain.splitting import splits_of
from drakit.plan.explain.values import ValueTable, value_tables
from drakit.plan.explain.words import shown
from drakit.plan.inspection import Stage, inspect


@frozen(kw_only=True)
class NodeExplanation:
    """What becomes of the claims on nodes that are alike, and on those of which all counts are the same: `similar`.

    `kind` is their type, where it is known and the same; `whole_kind`: these are all nodes of it.
    `error` is what the scheduler would report, or why there is no answer. `reasons` say why not: none where nothing was
    found within the limits, and where only the bugs in `drift` are the reason. `pools` are those not used, with why.
    """

    nodes: tuple[str, ...]
    similar: tuple[str, ...] = ()
    kind: str | None = None
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
        return Explanation(claims=names, error=shown_error(error), hint=_hint(question, error))
    trials = Trials(limits)
    fits = tuple(node.name for verdict in verdicts if verdict.fits for node in verdict.nodes)
    wanted = [one for one in verdicts if one.fits] if fits else verdicts
    groups = _groups(wanted)
    close = groups[: limits.nodes]
    rest = [verdict for group in groups[limits.nodes :] for verdict in group]
    rest += [verdict for verdict in verdicts if fits and not verdict.fits]
    looks = [_look(question, group, trials) for group in close]
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


def _hint(question: Question, error: PlanError) -> str:
    return _class_hint(question) if "deviceClassName: there is no" in str(error) else ""


def _class_hint(question: Question) -> str:
    """The class that is meant where the first one that there is none of is the problem."""
    names = (str(place.find(question.claims).get("deviceClassName")) for place in places(question.claims))
    name = next((one for one in names if one not in question.classes), "")
    close = nearest(name, sorted(question.classes))
    return f"did you mean {shown(close)}?" if close else ""


def _groups(verdicts: Sequence[Verdict]) -> list[list[Verdict]]:
    """Nodes of which the same is to be said, the nearest misses first: those that have nothing of it come last."""
    groups: dict[object, list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault(_counts(verdict), []).append(verdict)
    return sorted(groups.values(), key=lambda group: _distance(group[0]))


def _counts(verdict: Verdict) -> object:
    """Everything that is counted of nodes; two that have it in common differ in names and values only."""
    if verdict.task is None or verdict.fits:
        return id(verdict)
    views = inspect(verdict.task)
    stages = tuple(tuple(sorted(Counter(one.stage.name for one in view.devices).items())) for view in views)
    tables = value_tables(verdict.task, views)
    rows = tuple(tuple(sorted((row.free, row.all, row.value is None) for row in table.rows)) for table in tables)
    return _answer(verdict), type(verdict.error), stages, rows


def _distance(verdict: Verdict) -> int:
    if verdict.task is None:
        return 0
    views = inspect(verdict.task)
    return sum(max(0, (view.needed or 1) - len(view.at(Stage.USABLE))) for view in views)


def _answer(verdict: Verdict) -> Answer:
    """A verdict as an answer."""
    if verdict.error is not None:
        return answer_to(verdict.error)
    return Answer.FITS if verdict.fits else Answer.DOES_NOT_FIT


def _look(
    question: Question, group: Sequence[Verdict], trials: Trials
) -> tuple[NodeExplanation, Question, tuple[Option, ...]]:
    """What there is to say of the first nodes of a group, and the changes worth a trial on them."""
    verdict = group[0]
    own = evolve(question, nodes=verdict.nodes)
    every = [node.name for one in group for node in one.nodes]
    kinds = {question.kinds.get(name) for name in every}
    kind = kinds.pop() if len(kinds) == 1 else None
    seen = NodeExplanation(
        nodes=tuple(shown(node.name) for node in verdict.nodes),
        similar=tuple(map(shown, every[len(verdict.nodes) :])),
        kind=None if kind is None else shown(kind),
        whole_kind=sum(question.kinds.get(node.name) == kind for node in question.nodes) == len(every),
        answer=_answer(verdict),
        error=None if verdict.error is None else shown_error(verdict.error),
        one_of_several=verdict.one_of_several,
        pools=_pools(verdict),
    )
    if verdict.task is None:
        return seen, own, (*splits_of(own), *counts_of(own))
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
    drift = drift_of(own, trials)
    blameless = verdict.fits or (drift is not None and drift.is_the_reason)
    pairs = zip(views, found.places, strict=True)
    seen = evolve(
        seen,
        reasons=() if blameless else reasons_of(found, trials),
        funnels=tuple(funnel(view, verdict.task, place, question.holders) for view, place in pairs),
        tables=found.tables,
        poisons=poisoned,
        misspellings=misspelt,
        given=given_of(verdict, found, question.holders) if verdict.fits else (),
        drift=drift,
    )
    return seen, own, options


def _pools(verdict: Verdict) -> tuple[str, ...]:
    return tuple(
        f"pool {shown(pool.driver)}/{shown(pool.name)} is not used: {shown(pool.problem)}"
        for pool in (verdict.task.pools if verdict.task else ())
        if pool.unused
    )


def _others(verdicts: Sequence[Verdict]) -> tuple[tuple[Answer, int], ...]:
    counts = dict.fromkeys(Answer, 0)
    for verdict in verdicts:
        counts[_answer(verdict)] += len(verdict.nodes)
    return tuple((answer, count) for answer, count in counts.items() if count)
