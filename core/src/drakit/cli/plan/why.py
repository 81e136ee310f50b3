"""Why a pod is not placed, or how its devices were chosen: the one place where the command asks for explanations."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from drakit.plan.placing import Placing, PodOutcome, Refusal
from drakit.plan.reasons import funnels

MAX_NAMED = 4
"""So many nodes are named; of more, only their number is told."""


@frozen
class Why:
    """One thing there is to say, and of which nodes."""

    nodes: tuple[str, ...]
    text: str

    @property
    def where(self) -> str:
        """The nodes, for people."""
        return named_nodes(self.nodes)


def why_not(outcome: PodOutcome, _placing: Placing) -> Iterator[Why]:
    """Why a pod is not placed, as things stand now."""
    if outcome.error is not None:
        where = next((one.nodes for one in outcome.refusals if one.error is outcome.error), ())
        yield Why(where, f"{outcome.error}; the scheduler gives the pod up for that, whatever other nodes have")
        return
    for refusal in outcome.refusals:
        yield Why(refusal.nodes, _told(refusal))
    if not outcome.refusals:
        yield Why((), "there is no node")


def why_so(outcome: PodOutcome, _placing: Placing) -> Iterator[Why]:
    """What there was to choose from for a pod that is placed."""
    if outcome.node is None or outcome.verdict is None or outcome.verdict.task is None:
        return
    for funnel in funnels(outcome.verdict.task):
        yield Why((outcome.node.name,), str(funnel))
    for refusal in outcome.refusals:
        yield Why(refusal.nodes, _told(refusal))


def _told(refusal: Refusal) -> str:
    return f"undecided: {refusal.reason}" if refusal.undecided else refusal.reason


def named_nodes(names: tuple[str, ...]) -> str:
    """Nodes for people: by name where they are few."""
    if len(names) <= MAX_NAMED:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1} more nodes"
