"""The answer as plain data. What is here is documented in docs/plan.md, and stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from drakit.cli.plan.why import Why
from drakit.plan import KubeProfile, changed_gates
from drakit.plan.explain import Explanation
from drakit.plan.explain import to_document as explained_document
from drakit.plan.placing import ClaimOutcome, Fit, GroupUse, PlannedNode, PodOutcome, Remedy


@frozen(kw_only=True)
class Told:
    """One pod's outcome, with the reasons that are told of it. Of pods alike, the first has the others."""

    outcome: PodOutcome
    reasons: Sequence[Why] = ()
    explanation: Explanation | None = None
    remedies: Sequence[Remedy] = ()


@frozen(kw_only=True)
class Answer:
    """All that a run of the command has to say."""

    profile: KubeProfile
    nodes: Sequence[PlannedNode]
    pods: Sequence[Told] = ()
    groups: Sequence[GroupUse] = ()
    fit: Fit | None = None
    notes: Sequence[str] = ()
    hints: Sequence[str] = ()
    problems: Sequence[str] = ()

    @property
    def satisfied(self) -> bool:
        """Whether every pod is placed; of copies, whether one is."""
        if self.fit is not None:
            return self.fit.total > 0
        return all(told.outcome.satisfied for told in self.pods)


def to_document(answer: Answer) -> dict[str, Any]:
    """The whole answer."""
    document: dict[str, Any] = {
        "kubernetes": {
            "version": answer.profile.version,
            "allocator": str(answer.profile.allocator),
            "bugs": "as-is" if answer.profile.bugs else "none",
            "gates": changed_gates(answer.profile),
        },
        "satisfied": answer.satisfied,
        "nodes": _nodes(answer.nodes),
    }
    if answer.fit is not None:
        document["fit"] = _fit(answer.fit)
    else:
        document["pods"] = [_pod(told) for told in answer.pods]
        document["groups"] = [_group(use) for use in answer.groups]
    return document | {
        "notes": list(answer.notes),
        "hints": list(answer.hints),
        "problems": list(answer.problems),
    }


def _nodes(nodes: Sequence[PlannedNode]) -> list[dict[str, Any]]:
    return [{"name": node.name, "type": node.kind} for node in nodes]


def verdict_of(outcome: PodOutcome) -> str:
    """placed, unsatisfied, undecided or error."""
    if outcome.satisfied:
        return "placed"
    if outcome.error is not None:
        return "error"
    return "undecided" if outcome.undecided else "unsatisfied"


def _pod(told: Told) -> dict[str, Any]:
    outcome = told.outcome
    document: dict[str, Any] = {
        "namespace": outcome.pod.namespace,
        "name": outcome.pod.name,
        "owner": outcome.pod.owner,
        "outcome": verdict_of(outcome),
        "node": outcome.node.name if outcome.node else None,
        "oneOfSeveral": outcome.one_of_several,
        "claims": [_claim(one) for one in outcome.claims],
        "assumedLabels": list(outcome.assumed),
        "reasons": [{"nodes": list(why.nodes), "reason": why.text} for why in told.reasons],
    }
    if told.remedies:
        document["remedies"] = [{"node": one.node, "changes": list(one.changes)} for one in told.remedies]
    if told.explanation is not None:
        document["explanation"] = explained_document(told.explanation)
    return document


def _claim(claim: ClaimOutcome) -> dict[str, Any]:
    allocation = claim.allocation.to_api() if claim.allocation is not None else claim.held
    return {
        "name": claim.use.name,
        "claim": claim.use.document["metadata"]["name"],
        "template": claim.use.template,
        "shared": claim.use.shared,
        "allocatedBefore": claim.allocation is None,
        "allocation": allocation,
    }


def _group(use: GroupUse) -> dict[str, Any]:
    return {
        "node": use.node,
        "attribute": use.attribute,
        "driver": use.driver,
        "size": use.size,
        "groups": use.groups,
        "free": use.free,
        "stranded": [ref.name for ref in use.stranded],
        "blockedBy": list(use.blocked_by),
    }


def _fit(fit: Fit) -> dict[str, Any]:
    return {
        "namespace": fit.pod.namespace,
        "pod": fit.pod.name,
        "owner": fit.pod.owner,
        "total": fit.total,
        "complete": fit.complete,
        "perNode": [
            {
                "nodes": list(one.nodes),
                "type": one.kind,
                "copies": one.copies,
                "limitedByPods": one.limited,
                "reason": one.refusal.reason if one.refusal else None,
            }
            for one in fit.nodes
        ],
    }
