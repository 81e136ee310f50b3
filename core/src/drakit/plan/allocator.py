"""The allocator: claims and nodes in, the allocations the scheduler would write out."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drakit.model import DeviceRef
from drakit.plan.allocated import Allocated
from drakit.plan.candidates import Candidate, Held, candidates, pools_and_mark
from drakit.plan.capacity import as_written
from drakit.plan.claims import DeviceClass, ExactRequest
from drakit.plan.errors import NotSupported, PlanError, PoolsInvalid, Undecided
from drakit.plan.nodes import NodeView, allocation_selector
from drakit.plan.outcome import Allocation, AllocationResult, Unsatisfied, merged_config
from drakit.plan.pools import NodePool, SliceSet
from drakit.plan.profiles import KubeProfile, kube_profile
from drakit.plan.reasons import funnels, tables
from drakit.plan.requests import Ask, read_claims
from drakit.plan.search import MAX_STEPS, Choice
from drakit.plan.shortcuts import Solver
from drakit.plan.task import Task, bind

Claim = Mapping[str, Any]


@frozen(eq=False, slots=False)
class Verdict:
    """What becomes of the claims on nodes that are alike. `task` is what was searched, for explanations.

    `chosen` is the solution, `error` what the scheduler would report, or why the planner cannot answer; with neither
    there is none. `one_of_several`: the version tries pools in random order, and it mattered which came first.
    """

    nodes: tuple[NodeView, ...]
    task: Task | None
    chosen: tuple[Choice, ...] | None = None
    error: PlanError | None = None
    one_of_several: bool = False
    _pools: Mapping[str, tuple[NodePool, ...]] = field(factory=dict, repr=False)

    @property
    def fits(self) -> bool:
        """Whether the claims are met on these nodes."""
        return self.chosen is not None

    @property
    def ends_attempt(self) -> bool:
        """Whether the scheduler gives the pod up for `error`, whatever other nodes have, until it tries again.

        Source: Filter in the scheduler's plugin, of 1.34.4, 1.35.4, 1.36.3 and 1.37.2.
        """
        return self.error is not None and not isinstance(self.error, PoolsInvalid | NotSupported | Undecided)

    def outcome(self, node: str | None = None) -> tuple[Allocation, ...] | Unsatisfied:
        """What the claims are given on one of the nodes, the first by default, or why nothing. Raises `error`."""
        if self.error is not None:
            raise self.error
        name, task = node or self.nodes[0].name, self.task
        if task is None:
            raise PlanError(f"node {name!r}: nothing was searched")
        pools = self._pools[name]
        if self.chosen is None:
            notes = tuple(f"pool {one.driver}/{one.name} is not used: {one.problem}" for one in pools if one.unused)
            return Unsatisfied(node=name, funnels=funnels(task), constraints=tables(task), notes=notes)
        return tuple(
            _allocation(task, claim, [one for one in self.chosen if one.claim == claim], NodeView(name), pools)
            for claim in range(len(task.ask.claims))
        )


class Allocator:
    """Answers for a fixed state of a cluster: its slices, its classes and what is allocated.

    A search that takes more than `steps` is Undecided; those of one survey share them. An allocation is not remembered:
    give the next allocator its devices as allocated.
    """

    def __init__(
        self,
        slices: SliceSet,
        classes: Mapping[str, DeviceClass],
        allocated: Allocated | None = None,
        *,
        profile: KubeProfile | None = None,
        steps: int = MAX_STEPS,
    ) -> None:
        self._slices = slices
        self._classes = classes
        self._held = Held(allocated or Allocated())
        self._profile = profile or kube_profile()
        self._steps = steps

    def allocate(self, claim: Claim, node: NodeView) -> Allocation | Unsatisfied:
        """What one claim is given on the node, or why nothing. See `allocate_all`."""
        outcome = self.allocate_all([claim], node)
        return outcome if isinstance(outcome, Unsatisfied) else outcome[0]

    def allocate_all(self, claims: Sequence[Claim], node: NodeView) -> tuple[Allocation, ...] | Unsatisfied:
        """What the claims of one pod are given together on the node, in their order.

        Raises PlanError where the scheduler would stop with an error, and where the planner cannot answer.
        """
        return self.survey(claims, [node])[0].outcome()

    def survey(self, claims: Sequence[Claim], nodes: Iterable[NodeView]) -> tuple[Verdict, ...]:
        """The same for each of several nodes on its own: one verdict for all that are alike, in order of the nodes.

        Raises PlanError where the claims themselves are at fault.
        """
        ask = read_claims(claims, self._classes, self._profile)
        alike: dict[object, list[NodeView]] = {}
        pools: dict[str, tuple[NodePool, ...]] = {}
        for node in nodes:
            pools[node.name], mark = pools_and_mark(self._slices, node, self._held, self._profile)
            alike.setdefault(mark, []).append(node)
        solver = Solver(self._steps)
        return tuple(self._verdict(ask, tuple(group), pools, solver) for group in alike.values())

    def _verdict(
        self, ask: Ask, nodes: tuple[NodeView, ...], pools: Mapping[str, tuple[NodePool, ...]], solver: Solver
    ) -> Verdict:
        of_first = pools[nodes[0].name]
        several = not self._profile.ordered and len({(pool.driver, pool.name) for pool in of_first}) > 1
        task = None
        try:
            task = bind(ask, of_first, candidates(of_first, nodes[0], self._held), self._held)
            chosen = solver.solve(task)
            if chosen is None and task.dead_end is None:
                _check_pools(of_first)
        except PlanError as error:
            return Verdict(nodes, task, None, error, several, pools)
        return Verdict(nodes, task, chosen, None, several, pools)


def _check_pools(pools: Sequence[NodePool]) -> None:
    for pool in pools:
        if pool.invalid:
            raise PoolsInvalid(f"no devices, and pool {pool.driver}/{pool.name} is invalid: {pool.problem}")


def _allocation(task: Task, claim: int, own: Sequence[Choice], node: NodeView, pools: Sequence[NodePool]) -> Allocation:
    names = {id(pool): other.name for pool, other in zip(task.pools, pools, strict=True)}
    found = [task.candidates[choice.place] for choice in own]
    used: dict[str, tuple[str, ExactRequest]] = {}
    for choice in own:
        used.setdefault(choice.bound.option.name, (choice.bound.option.label, choice.bound.option.request))
    results = [
        _result(task, choice, candidate, names[id(candidate.pool)], index)
        for index, (choice, candidate) in enumerate(zip(own, found, strict=True))
    ]
    config = merged_config(
        task.ask.claims[claim].spec,
        list(used.values()),
        task.ask.classes,
        empties_requests=task.profile.empties_requests,
    )
    selector = allocation_selector([(one.nodes, one.offer.binds) for one in found], node)
    return Allocation(results=tuple(results), config=config, node_selector=selector)


def _result(task: Task, choice: Choice, candidate: Candidate, pool: str, index: int) -> AllocationResult:
    option, offer, features = choice.bound.option, candidate.offer, task.profile.features
    ref = DeviceRef(candidate.pool.driver, pool, offer.device.name)
    shared = offer.shared and features.consumable
    consumed = (option.consumes(offer) or {}) if shared else {}
    claim = task.ask.claims[choice.claim]
    return AllocationResult(
        request=option.label,
        device=ref,
        admin_access=option.request.admin_access,
        tolerations=option.request.tolerations if task.profile.results_tolerate else (),
        conditions=offer.conditions if features.binding else (),
        failure_conditions=offer.failure_conditions if features.binding else (),
        share_id=str(uuid.uuid5(_SHARES, f"{claim.uid}/{claim.name}/{index}/{ref}")) if shared else None,
        consumed={name: as_written(amount.nanos, amount) for name, amount in consumed.items()},
    )


_SHARES = uuid.UUID("6f3b1f0e-5d3c-4f43-9a57-0d5c6a0c7f52")
