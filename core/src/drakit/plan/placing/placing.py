"""Pods, placed one after another: each comes to the first node, in the order given, that it may use and fits on.

That is the scheduler's filtering. Its scoring, which prefers one of several nodes that fit, is not modelled, and
neither are CPU and memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from drakit.plan.allocator import Verdict
from drakit.plan.errors import NotSupported, PlanError, Undecided
from drakit.plan.outcome import Allocation, Unsatisfied
from drakit.plan.placing.cluster import ClusterState, allocated_claims
from drakit.plan.placing.holdings import Holdings
from drakit.plan.placing.nodes import PlannedNode, eligibility, matches_terms
from drakit.plan.profiles import Bug
from drakit.plan.workload.manifest import ClaimUse, PlannedPod

MAX_CONSUMERS = 256
"""So many pods can share one claim."""


@frozen(eq=False, kw_only=True)
class Refusal:
    """Why some nodes do not take a pod. `verdict` is there where it is for their devices; `error`: nobody can tell."""

    nodes: tuple[str, ...]
    reason: str
    verdict: Verdict | None = None
    error: PlanError | None = None

    @property
    def undecided(self) -> bool:
        """Whether the planner could not decide."""
        return isinstance(self.error, Undecided | NotSupported)


@frozen(eq=False, kw_only=True)
class ClaimOutcome:
    """What a claim of a placed pod has. `allocation` is None where it was allocated before, to `held`."""

    use: ClaimUse
    allocation: Allocation | None = None
    held: Mapping[str, Any] | None = None


@frozen(eq=False, kw_only=True)
class PodOutcome:
    """What becomes of one pod. Without a `node`, the refusals or the `error` say why; `assumed` are labels of nodes.

    `pending` are the claims that were to be allocated for it, `asked` the nodes that were asked for their devices.
    `by_bugs`: it would not fit where it is placed without known bugs of the version, these or, if empty, several.
    """

    pod: PlannedPod
    node: PlannedNode | None = None
    claims: tuple[ClaimOutcome, ...] = ()
    verdict: Verdict | None = None
    refusals: tuple[Refusal, ...] = ()
    error: PlanError | None = None
    assumed: tuple[str, ...] = ()
    pending: tuple[ClaimUse, ...] = ()
    asked: tuple[PlannedNode, ...] = ()
    by_bugs: tuple[Bug, ...] | None = None

    @property
    def satisfied(self) -> bool:
        """Whether it is placed."""
        return self.node is not None

    @property
    def undecided(self) -> bool:
        """Whether it is not placed, and might have been where the planner could not decide."""
        return not self.satisfied and any(one.undecided for one in self.refusals)

    @property
    def one_of_several(self) -> bool:
        """Whether the scheduler may as well have given it other devices of the node."""
        return self.verdict is not None and self.verdict.one_of_several


class Placing:
    """Places pods on a cluster; what each is given is held when the next one comes."""

    def __init__(self, cluster: ClusterState, holdings: Holdings | None = None) -> None:
        self.cluster = cluster
        self.holdings = holdings or cluster.holdings()
        self._placed: dict[tuple[str, str], Mapping[str, Any]] = allocated_claims(cluster.claims)
        self._consumers: dict[tuple[str, str], int] = {}
        self._refused: dict[object, _Refused] = {}

    def on(self, node: PlannedNode) -> Placing:
        """The same, for one node alone: what is placed there is held here too."""
        other = Placing(evolve(self.cluster, nodes=(node,)), self.holdings)
        other._placed, other._consumers = self._placed, self._consumers
        return other

    def place_all(self, pods: Iterable[PlannedPod]) -> Iterator[PodOutcome]:
        """What becomes of each; of a DaemonSet, one pod for each node that is for it."""
        for pod in pods:
            if pod.per_node:
                yield from self._place_daemons(pod)
            else:
                yield self.place(pod)

    def place(self, pod: PlannedPod) -> PodOutcome:
        """Place one pod."""
        if pod.lacking:
            return PodOutcome(pod=pod, refusals=(Refusal(nodes=(), reason=pod.lacking),))
        allowed, refusals, assumed = self._allowed(pod)
        outcome = self._try(pod, allowed)
        return evolve(outcome, refusals=(*refusals, *outcome.refusals), assumed=assumed)

    def _place_daemons(self, pod: PlannedPod) -> Iterator[PodOutcome]:
        for node in self.cluster.nodes:
            may = eligibility(pod.spec, node, daemon=True)
            if not may.refusal:
                name = f"{pod.name}-{node.name}"
                own = evolve(pod, name=name, claims=tuple(renamed(use, name) for use in pod.claims), alike=object())
                yield evolve(self._try(own, [node]), assumed=may.assumed)

    def _allowed(self, pod: PlannedPod) -> tuple[list[PlannedNode], list[Refusal], tuple[str, ...]]:
        allowed: list[PlannedNode] = []
        refused: dict[str, list[str]] = {}
        assumed: dict[str, None] = {}
        held = [(use, self._placed[use.key]) for use in pod.claims if use.shared and use.key in self._placed]
        for node in self.cluster.nodes:
            may = eligibility(pod.spec, node)
            why = may.refusal or next((text for use, one in held if (text := _elsewhere(use, one, node))), "")
            if why:
                refused.setdefault(why, []).append(node.name)
            else:
                allowed.append(node)
                assumed |= dict.fromkeys(may.assumed)
        return allowed, [Refusal(nodes=tuple(names), reason=why) for why, names in refused.items()], tuple(assumed)

    def _try(self, pod: PlannedPod, nodes: Sequence[PlannedNode]) -> PodOutcome:
        if (full := self._overused(pod)) is not None:
            return PodOutcome(pod=pod, refusals=(Refusal(nodes=tuple(node.name for node in nodes), reason=full),))
        pending = [use for use in pod.claims if not (use.shared and use.key in self._placed)]
        if not pending:
            return self._bind(pod, nodes[0], [], None) if nodes else PodOutcome(pod=pod)
        documents = [use.document for use in pending]
        refused = self._refused.setdefault(pod.alike, _Refused()) if not _any_shared(pod) else _Refused()
        asked = PodOutcome(pod=pod, pending=tuple(pending), asked=tuple(nodes))
        try:
            chosen, verdict = self._first_fit(documents, nodes, refused)
        except PlanError as error:
            return evolve(asked, error=error)
        if chosen is None or verdict is None:
            return evolve(asked, refusals=refused.merged(), error=refused.fatal)
        by_bugs = self._by_bugs(documents, chosen)
        bound = self._bind(pod, chosen, pending, verdict)
        return evolve(bound, refusals=refused.merged(), pending=asked.pending, asked=asked.asked, by_bugs=by_bugs)

    def _by_bugs(self, documents: Sequence[Mapping[str, Any]], node: PlannedNode) -> tuple[Bug, ...] | None:
        """The bugs without any single one of which claims would not fit that do; None where they do without all."""
        profile = self.cluster.profile

        def refused(bugs: frozenset[Bug]) -> bool:
            other = evolve(self.cluster, profile=evolve(profile, bugs=bugs), pools={})
            try:
                (verdict,) = other.survey(documents, [node], self.holdings)
            except Undecided:
                return False
            return not verdict.fits and not isinstance(verdict.error, Undecided)

        if not profile.bugs or not refused(frozenset()):
            return None
        return tuple(bug for bug in sorted(profile.bugs, key=lambda one: one.value) if refused(profile.bugs - {bug}))

    def _first_fit(
        self, documents: Sequence[Mapping[str, Any]], nodes: Sequence[PlannedNode], refused: _Refused
    ) -> tuple[PlannedNode | None, Verdict | None]:
        """The first node that fits.

        Nodes that refused a pod of the same template are not asked again: they have no more now than they had then.
        """
        if not refused.asked:
            refused.asked = True
            verdicts = self.cluster.survey(documents, nodes, self.holdings)
            refused.add(verdicts)
            if refused.fatal is not None:
                return None, None
            by_node = {view.name: verdict for verdict in verdicts for view in verdict.nodes}
            return next(((node, by_node[node.name]) for node in nodes if by_node[node.name].fits), (None, None))
        if refused.fatal is not None:
            return None, None
        waiting, size = [node for node in nodes if node.name not in refused.names], 1
        while waiting:
            verdicts = self.cluster.survey(documents, waiting[:size], self.holdings)
            refused.add(verdicts)
            by_node = {view.name: verdict for verdict in verdicts for view in verdict.nodes}
            for node in waiting[:size]:
                if by_node[node.name].fits:
                    return node, by_node[node.name]
            waiting, size = waiting[size:], size * 2
        return None, None

    def _bind(
        self, pod: PlannedPod, node: PlannedNode, pending: Sequence[ClaimUse], verdict: Verdict | None
    ) -> PodOutcome:
        found: Sequence[Allocation] = ()
        if verdict is not None:
            outcome = verdict.outcome(node.name)
            assert not isinstance(outcome, Unsatisfied)
            found = outcome
        given = {id(use): allocation for use, allocation in zip(pending, found, strict=True)}
        claims = []
        for use in pod.claims:
            allocation = given.get(id(use))
            held = self._placed.get(use.key) if use.shared else None
            claims.append(ClaimOutcome(use=use, allocation=allocation, held=None if allocation else held))
            if allocation is not None:
                self.holdings.add(allocation, f"pod {pod.namespace}/{pod.name}")
                if use.shared:
                    self._placed[use.key] = allocation.to_api()
            if use.shared:
                self._consumers[use.key] = self._consumers.get(use.key, 0) + 1
        return PodOutcome(pod=pod, node=node, claims=tuple(claims), verdict=verdict)

    def _overused(self, pod: PlannedPod) -> str | None:
        for use in pod.claims:
            if use.shared and self._consumers.get(use.key, 0) >= MAX_CONSUMERS:
                return f"claim {use.key[1]!r} is reserved for {MAX_CONSUMERS} pods, which is the most there can be"
        return None


class _Refused:
    """The nodes that refused a pod, to be remembered for others like it."""

    def __init__(self) -> None:
        self.asked = False
        self.names: set[str] = set()
        self.fatal: PlanError | None = None
        self._found: dict[str, Refusal] = {}

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Remember the verdicts that are none to fit."""
        for verdict in verdicts:
            if verdict.fits:
                continue
            if verdict.ends_attempt:
                self.fatal = self.fatal or verdict.error
            names = tuple(view.name for view in verdict.nodes)
            self.names.update(names)
            reason = reason_of(verdict)
            before = self._found.get(reason)
            nodes = (*(before.nodes if before else ()), *names)
            self._found[reason] = Refusal(nodes=nodes, reason=reason, verdict=verdict, error=verdict.error)

    def merged(self) -> tuple[Refusal, ...]:
        """One refusal for each reason."""
        return tuple(self._found.values())


def reason_of(verdict: Verdict) -> str:
    """Why nodes that are alike do not fit, without the name of any of them."""
    if verdict.error is not None:
        return str(verdict.error)
    outcome = verdict.outcome()
    return str(outcome).removeprefix(f"node {verdict.nodes[0].name!r} cannot serve: ")


def _any_shared(pod: PlannedPod) -> bool:
    return any(use.shared for use in pod.claims)


def renamed(use: ClaimUse, pod: str) -> ClaimUse:
    """The claim of the same template for another pod; a claim that pods share stays what it is."""
    if use.shared:
        return use
    metadata = use.document["metadata"] | {"name": f"{pod}-{use.name}"}
    return evolve(use, document=use.document | {"metadata": metadata})


def _elsewhere(use: ClaimUse, allocation: Mapping[str, Any], node: PlannedNode) -> str:
    selector = allocation.get("nodeSelector")
    if not selector or matches_terms(selector, node):
        return ""
    return f"claim {use.key[1]!r} is allocated already, for other nodes than this one"
