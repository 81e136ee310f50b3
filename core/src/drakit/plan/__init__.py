"""The offline planner: what the scheduler would allocate, and why.

`Allocator` answers for one node: it takes the first solution in the scheduler's own order, so it names the same
devices. The order and the rules are those of the allocator that is the default since Kubernetes 1.36, without its
known bugs. Nothing here talks to a cluster: documents and pools come in, an allocation document comes out.
"""

from drakit.plan.allocator import Allocator
from drakit.plan.claims import DeviceClass, claim_from_template, read_claim
from drakit.plan.errors import InvalidDocument, NotSupported, PlanError, SelectorFailed, Unallocatable, Undecided
from drakit.plan.nodes import NodeView
from drakit.plan.outcome import Allocation, AllocationResult, Unsatisfied
from drakit.plan.pools import UnusablePool, pools_from_slices, read_slices

__all__ = [
    "Allocation",
    "AllocationResult",
    "Allocator",
    "DeviceClass",
    "InvalidDocument",
    "NodeView",
    "NotSupported",
    "PlanError",
    "SelectorFailed",
    "Unallocatable",
    "Undecided",
    "Unsatisfied",
    "UnusablePool",
    "claim_from_template",
    "pools_from_slices",
    "read_claim",
    "read_slices",
]
