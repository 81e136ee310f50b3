"""The offline planner: what the scheduler would allocate, where, and why not. Nothing here talks to a cluster.

How the pieces fit, from documents to an answer:

    slices = read_slices(documents)             ResourceSlices, indexed once (pools, contents); SliceSet.of_pools()
                                                takes an agent's own ResolvedPools
    classes = {name: DeviceClass.from_document(document)}
    allocated = Allocated.of_claims(documents)  what claims hold already
    profile = kube_profile("1.36")              a version's features, allocator and bugs (profiles)
    allocator = Allocator(slices, classes, allocated, profile=profile)

    allocator.allocate(claim, node)             one claim, one node: Allocation or Unsatisfied
    allocator.allocate_all(claims, node)        the claims of one pod, together
    allocator.survey(claims, nodes)             each node on its own: one Verdict for all nodes that are alike

Claims are documents; one of a template comes from `claim_from_template`. Nodes are NodeViews. A PlanError is raised, or
stands in `Verdict.error`, where the scheduler would report an error of its own, and as Undecided where the search was
too long; `Verdict.ends_attempt` tells the errors for which the scheduler gives up all nodes at once. Answers name the
same devices as the scheduler of that version; where it tries pools in random order, `Verdict.one_of_several` says so.
To plan several pods, give each next Allocator what the one before it allocated.

Inside: `requests` decodes claims to an Ask (options with their selectors, remembered per device); `candidates` lists a
node's devices in order; `task` binds the two; `search` walks as upstream does, bugs included; `guided` skips
what holds no solution, and `shortcuts` decides which of the two is right. For explanations, `Verdict.task` holds all of
it: `reasons` counts devices per request (Funnel) and values per constraint (ConstraintTable), and `inspect(task)` says
of every device how far it gets with every request, and what each condition of a selector says, with what it read;
`explain/` makes whole explanations of it, and says what would help. Whether versions differ is asked by asking two of
them: `profile.fixed()` is one without its bugs.

A compiled selector (`cel.compile_selector`) has its syntax tree as `root`, and `most_cost`, by which the API server
refuses what may cost more than `cel.MAX_COST`. An Allocator is cheap beside its SliceSet: make one per question.
"""

from drakit.plan.allocated import Allocated
from drakit.plan.allocator import Allocator, Verdict
from drakit.plan.claims import DeviceClass, claim_from_template, read_claim
from drakit.plan.errors import (
    InvalidDocument,
    NotSupported,
    PlanError,
    PoolsInvalid,
    SelectorFailed,
    Unallocatable,
    Undecided,
)
from drakit.plan.gates import GATES, changed_gates, gates_told, with_gates
from drakit.plan.inspection import ConjunctView, DeviceView, RequestView, SelectorView, Stage, inspect
from drakit.plan.nodes import NodeView
from drakit.plan.outcome import Allocation, AllocationResult, ConstraintTable, Funnel, Unsatisfied
from drakit.plan.pools import NodePool, SliceSet, read_slices
from drakit.plan.profiles import NEWEST, VERSIONS, AllocatorKind, Bug, Features, KubeProfile, kube_profile

__all__ = [
    "GATES",
    "NEWEST",
    "VERSIONS",
    "Allocated",
    "Allocation",
    "AllocationResult",
    "Allocator",
    "AllocatorKind",
    "Bug",
    "ConjunctView",
    "ConstraintTable",
    "DeviceClass",
    "DeviceView",
    "Features",
    "Funnel",
    "InvalidDocument",
    "KubeProfile",
    "NodePool",
    "NodeView",
    "NotSupported",
    "PlanError",
    "PoolsInvalid",
    "RequestView",
    "SelectorFailed",
    "SelectorView",
    "SliceSet",
    "Stage",
    "Unallocatable",
    "Undecided",
    "Unsatisfied",
    "Verdict",
    "changed_gates",
    "claim_from_template",
    "gates_told",
    "inspect",
    "kube_profile",
    "read_claim",
    "read_slices",
    "with_gates",
]
