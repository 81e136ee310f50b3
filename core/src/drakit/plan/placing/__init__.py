"""Placing pods on the nodes of a cluster, one after another, as filtering by the scheduler would allow it.

state = ClusterState(nodes=…, slices=…, classes=…, profile=…, claims=…)
placing = Placing(state)
outcomes = list(placing.place_all(workload.pods))     which node, and which devices for which claim
remedies(outcome, placing)                            what would let a pod onto nodes that it is not for
fit_of(state, pod)                                    how many copies of a pod fit, per node and in all
groups_of(state, placing.holdings)                    device groups that are free as a whole; stranded devices
"""

from drakit.plan.placing.cluster import ClusterState, check_held
from drakit.plan.placing.fitting import Fit, NodeFit, fit_of
from drakit.plan.placing.groups import GroupUse, groups_of
from drakit.plan.placing.holdings import Holdings
from drakit.plan.placing.nodes import NodeTaint, PlannedNode, eligibility
from drakit.plan.placing.placing import ClaimOutcome, Placing, PodOutcome, Refusal, reason_of
from drakit.plan.placing.remedies import Remedy, remedies

__all__ = [
    "ClaimOutcome",
    "ClusterState",
    "Fit",
    "GroupUse",
    "Holdings",
    "NodeFit",
    "NodeTaint",
    "Placing",
    "PlannedNode",
    "PodOutcome",
    "Refusal",
    "Remedy",
    "check_held",
    "eligibility",
    "fit_of",
    "groups_of",
    "reason_of",
    "remedies",
]
