"""How many copies of a pod fit: on each node, and in all."""

from __future__ import annotations

from attrs import evolve, frozen

from drakit.plan.placing.cluster import ClusterState
from drakit.plan.placing.nodes import PlannedNode, eligibility
from drakit.plan.placing.placing import Placing, PodOutcome, Refusal, renamed
from drakit.plan.workload.manifest import PlannedPod

MAX_COPIES = 20_000
"""So many copies are tried in all."""


@frozen(eq=False, kw_only=True)
class NodeFit:
    """Nodes that take the same number of copies for the same reason. `limited`: by the pods a node takes, not devices.

    `refusal` is why no more fit, None where `limited`.
    """

    nodes: tuple[str, ...]
    kind: str
    copies: int
    limited: bool = False
    refusal: Refusal | None = None


@frozen(eq=False, kw_only=True)
class Fit:
    """What the nodes take of one pod. `complete`: every copy was tried to the end; else there may be more."""

    pod: PlannedPod
    nodes: tuple[NodeFit, ...]
    total: int
    complete: bool = True
    outcome: PodOutcome | None = None
    """What was said of the first copy where not one fits."""


def fit_of(cluster: ClusterState, pod: PlannedPod) -> Fit:
    """Fill node after node with copies of a pod; devices that several nodes reach go to the first that takes them.

    Raises PlanError where the pod's claims are at fault.
    """
    placing = Placing(cluster)
    marks = _marks(placing, pod)
    found: dict[tuple[object, ...], NodeFit] = {}
    known: dict[object, NodeFit] = {}
    total = tried = 0
    for node in cluster.nodes:
        mark = marks.get(node.name)
        here = known.get(mark) if mark is not None else None
        if here is None:
            here = _filled(placing.on(node), pod, node, total, min(node.pods, MAX_COPIES - tried))
            tried += here.copies
            known[mark] = here
        total += here.copies
        key = (node.kind, here.copies, here.limited, here.refusal.reason if here.refusal else "")
        before = found.get(key)
        found[key] = evolve(here, kind=node.kind, nodes=(*(before.nodes if before else ()), node.name))
    first = None if total else Placing(cluster).place(pod)
    return Fit(pod=pod, nodes=tuple(found.values()), total=total, complete=tried < MAX_COPIES, outcome=first)


def _filled(placing: Placing, pod: PlannedPod, node: PlannedNode, before: int, most: int) -> NodeFit:
    """One node, filled."""
    for copies in range(most):
        outcome = placing.place(copy_of(pod, before + copies))
        if not outcome.satisfied:
            why = outcome.refusals[-1] if outcome.refusals else None
            if why is None or outcome.error is not None:
                why = Refusal(nodes=(node.name,), reason=str(outcome.error), error=outcome.error)
            return NodeFit(nodes=(node.name,), kind=node.kind, copies=copies, refusal=why)
    return NodeFit(nodes=(node.name,), kind=node.kind, copies=most, limited=True)


def copy_of(pod: PlannedPod, number: int) -> PlannedPod:
    """Another pod like it: with claims of its own where they are made of templates."""
    return evolve(
        pod,
        name=f"{pod.name}-{number}",
        claims=tuple(renamed(use, f"{pod.name}-{number}") for use in pod.claims),
        per_node=False,
    )


def _marks(placing: Placing, pod: PlannedPod) -> dict[str, object]:
    """Nodes with the same mark take the same number of copies; one that shares devices with others has none."""
    cluster = placing.cluster
    claims = [use.document for use in pod.claims]
    if not claims or any(use.shared for use in pod.claims):
        return {}
    local = [node for node in cluster.nodes if cluster.is_local(node)]
    by_name = {node.name: node for node in local}
    return {
        view.name: (index, eligibility(pod.spec, by_name[view.name]).refusal, by_name[view.name].pods)
        for index, verdict in enumerate(cluster.survey(claims, local, placing.holdings))
        for view in verdict.nodes
    }
