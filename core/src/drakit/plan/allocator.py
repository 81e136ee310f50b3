"""The allocator: claims and a node in, the allocation the scheduler would write out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from drakit.model import DeviceRef, ResolvedPool
from drakit.plan.candidates import candidates, reached
from drakit.plan.claims import DeviceClass
from drakit.plan.errors import Unallocatable
from drakit.plan.nodes import NodeView, allocation_selector, reaches
from drakit.plan.outcome import Allocation, AllocationResult, Unsatisfied, merged_config
from drakit.plan.pools import UnusablePool
from drakit.plan.pruning import funnels, look_ahead, tables
from drakit.plan.search import MAX_STEPS, Choice, Search
from drakit.plan.task import Task, prepare

Claim = Mapping[str, Any]


class Allocator:
    """Answers for a fixed set of pools. `allocated` are the devices that claims hold, admin access not counted.

    Pools may be an agent's own (THIS_NODE: they belong to whatever node is asked about) or read from slices;
    `unusable` are those that `read_slices` set aside. A search that takes more than `steps` is Undecided. An allocation
    is not remembered: give the next allocator its devices as allocated.
    """

    def __init__(
        self,
        pools: Sequence[ResolvedPool],
        classes: Mapping[str, DeviceClass],
        allocated: Collection[DeviceRef] = (),
        unusable: Sequence[UnusablePool] = (),
        *,
        steps: int = MAX_STEPS,
    ) -> None:
        self._pools = {(pool.driver, pool.name): pool for pool in pools}
        self._classes = classes
        self._in_use = frozenset(allocated)
        self._unusable = unusable
        self._steps = steps
        self._candidates = candidates(pools, self._in_use)

    def allocate(self, claim: Claim, node: NodeView) -> Allocation | Unsatisfied:
        """What one claim is given on the node, or why nothing. See `allocate_all`."""
        outcome = self.allocate_all([claim], node)
        return outcome if isinstance(outcome, Unsatisfied) else outcome[0]

    def allocate_all(self, claims: Sequence[Claim], node: NodeView) -> tuple[Allocation, ...] | Unsatisfied:
        """What the claims of one pod are given together on the node, in their order.

        Raises PlanError where the scheduler would stop with an error, and where the planner cannot answer.
        """
        unusable = [pool for pool in self._unusable if any(reaches(nodes, node) for nodes in pool.nodes)]
        task = prepare(claims, reached(self._candidates, node), self._classes, unusable)
        search = Search(task, self._pools, self._in_use, self._steps)
        if look_ahead(task) and search.run():
            return tuple(self._allocation(task, index, search.chosen, node) for index in range(len(claims)))
        for pool in unusable:
            if not pool.incomplete:
                raise Unallocatable(f"no devices, and pool {pool.driver}/{pool.name} is invalid: {pool.reason}")
        notes = tuple(f"pool {pool.driver}/{pool.name} is not used: {pool.reason}" for pool in unusable)
        return Unsatisfied(node=node.name, funnels=funnels(task), constraints=tables(task), notes=notes)

    def _allocation(self, task: Task, claim: int, chosen: Sequence[Choice], node: NodeView) -> Allocation:
        own = [choice for choice in chosen if choice.wanted.claim == claim]
        found = [task.candidates[choice.place] for choice in own]
        results = tuple(
            AllocationResult(
                request=choice.option.label,
                device=candidate.ref,
                admin_access=choice.option.request.admin_access,
                tolerations=choice.option.request.tolerations,
                binding=candidate.device.binding,
            )
            for choice, candidate in zip(own, found, strict=True)
        )
        used = [(choice.option.label, choice.option.request) for choice in own]
        binds = [(one.nodes, bool(one.device.binding and one.device.binding.binds_to_node)) for one in found]
        return Allocation(
            results=results,
            config=merged_config(task.claims[claim].spec, used, self._classes),
            node_selector=allocation_selector(binds, node),
        )
