"""Why a pod is not placed, or how its devices were chosen: the one place where the command asks for explanations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from drakit.plan import Allocated
from drakit.plan.explain import Explanation, NodeType, Question, explain
from drakit.plan.placing import Placing, PlannedNode, PodOutcome, Refusal

MAX_NAMED = 4
"""So many nodes are named; of more, only their number is told."""


@frozen
class Why:
    """One thing there is to say, and of which nodes. `explained`: an explanation of their devices says it better."""

    nodes: tuple[str, ...]
    text: str
    explained: bool = False

    @property
    def where(self) -> str:
        """The nodes, for people."""
        return named_nodes(self.nodes)


def why_not(outcome: PodOutcome) -> Iterator[Why]:
    """Why a pod is not placed, in short."""
    if outcome.error is not None:
        where = next((one.nodes for one in outcome.refusals if one.error is outcome.error), ())
        yield Why(where, f"{outcome.error}; the scheduler gives the pod up for that, whatever other nodes have")
        return
    for refusal in outcome.refusals:
        yield Why(refusal.nodes, _told(refusal), explained=refusal.verdict is not None)
    if not outcome.refusals:
        yield Why((), "there is no node")


def explained(
    outcome: PodOutcome, placing: Placing, allocated: Allocated, node_types: Mapping[str, NodeType]
) -> Explanation | None:
    """What becomes of the pod's claims on the nodes that were asked, or the one it is placed on.

    `allocated` is what was held when it was placed. None where it is not devices that decided.
    """
    asked: Sequence[PlannedNode] = outcome.asked if outcome.node is None else [outcome.node]
    if not outcome.pending or not asked:
        return None
    state, holdings = placing.cluster, placing.holdings
    question = Question(
        claims=[use.document for use in outcome.pending],
        nodes=[node.view for node in asked],
        slices=state.slices,
        classes=state.classes,
        allocated=allocated,
        profile=state.profile,
        holders={ref: ", ".join(holdings.holders(ref)) for ref in allocated.every},
        kinds={node.name: node.kind for node in asked if node.kind},
        node_types=node_types,
    )
    return explain(question)


def _told(refusal: Refusal) -> str:
    return f"undecided: {refusal.reason}" if refusal.undecided else refusal.reason


def named_nodes(names: tuple[str, ...]) -> str:
    """Nodes for people: by name where they are few."""
    if len(names) <= MAX_NAMED:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1} more nodes"
