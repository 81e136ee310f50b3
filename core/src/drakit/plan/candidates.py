"""The devices a search chooses from, and what each request makes of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import frozen

from drakit.model import PER_DEVICE, Device, DeviceRef, NodeSelection, ResolvedPool
from drakit.plan.cel import CelError, DeviceValue, Selector, compile_selector, device_value
from drakit.plan.claims import DeviceClass, ExactRequest
from drakit.plan.errors import SelectorFailed
from drakit.plan.nodes import NodeView, reaches

NOT_IN_CLASS, IN_CLASS, SELECTED = 0, 1, 2
"""How far a device gets with a request: not past the class's selectors, not past its own, or through."""


@frozen(eq=False)
class Candidate:
    """One device, with all that a search asks of it again and again."""

    ref: DeviceRef
    device: Device
    value: DeviceValue
    nodes: NodeSelection
    shared: bool
    in_use: bool


def candidates(pools: Sequence[ResolvedPool], in_use: Collection[DeviceRef]) -> tuple[Candidate, ...]:
    """Every device, in the order the scheduler tries them.

    Pools come by driver and name, those with devices that have binding conditions last; within a pool, devices come as
    the pool has them.
    """
    ordered = sorted(pools, key=lambda pool: (any(d.binding for d in pool.devices), pool.driver, pool.name))
    return tuple(_candidate(pool, device, in_use) for pool in ordered for device in pool.devices)


def _candidate(pool: ResolvedPool, device: Device, in_use: Collection[DeviceRef]) -> Candidate:
    ref = DeviceRef(pool.driver, pool.name, device.name)
    shared = device.name in pool.shares
    nodes = device.nodes if pool.nodes is PER_DEVICE and device.nodes is not None else pool.nodes
    return Candidate(ref, device, device_value(device, pool.driver, shared=shared), nodes, shared, ref in in_use)


def reached(found: Sequence[Candidate], node: NodeView) -> tuple[Candidate, ...]:
    """The devices that can be used from a node."""
    return tuple(candidate for candidate in found if reaches(candidate.nodes, node))


class Verdicts:
    """What the selectors of one request say of each device, asked once.

    Selectors are compiled when the first device is looked at, as the scheduler does: a broken one that is never
    reached breaks nothing.
    """

    def __init__(
        self, where: str, request: ExactRequest, device_class: DeviceClass, found: Sequence[Candidate]
    ) -> None:
        self._candidates = found
        self._known: list[int | None] = [None] * len(found)
        self._sources = (
            (NOT_IN_CLASS, f"class {device_class.name!r}", device_class.selectors),
            (IN_CLASS, where, tuple(selector.cel.expression for selector in request.selectors)),
        )
        self._compiled: dict[str, Selector] = {}

    def __getitem__(self, place: int) -> int:
        """How far the device gets. Raises SelectorFailed."""
        known = self._known[place]
        if known is None:
            known = self._known[place] = self._ask(self._candidates[place])
        return known

    def _ask(self, candidate: Candidate) -> int:
        for verdict, where, expressions in self._sources:
            for index, expression in enumerate(expressions):
                if not self._matches(f"{where}: selector {index}", expression, candidate):
                    return verdict
        return SELECTED

    def _matches(self, where: str, expression: str, candidate: Candidate) -> bool:
        try:
            selector = self._compiled.get(expression)
            if selector is None:
                selector = self._compiled[expression] = compile_selector(expression)
        except CelError as error:
            raise SelectorFailed(f"{where} does not compile: {error}") from error
        try:
            return selector.matches_value(candidate.value)
        except CelError as error:
            raise SelectorFailed(f"{where} fails on device {candidate.ref}: {error}") from error


def verdict_or_none(verdicts: Verdicts, place: int) -> int | None:
    """The verdict, or None where a selector fails."""
    try:
        return verdicts[place]
    except SelectorFailed:
        return None
