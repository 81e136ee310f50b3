"""Which taint a faulty device gets, and which claims put up with it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from drakit.faults.record import RememberedFault
from drakit.model import AllocatedDevice, Taint, TaintEffect, TolerationOperator


@frozen
class TaintPolicy:
    """What the operator has configured for the faults of one driver."""

    key: str
    effect: TaintEffect = field(default=TaintEffect.NO_SCHEDULE, converter=TaintEffect)


def default_key(driver: str) -> str:
    """The key of the taints where the operator gives none."""
    return f"{driver}/unhealthy"


def first_of(faults: Mapping[str, RememberedFault]) -> list[str]:
    """The names of a device's faults, those that began first first: the same order as long as they stand."""
    return sorted(faults, key=lambda name: (faults[name].since, name))


def taint_of(faults: Mapping[str, RememberedFault], policy: TaintPolicy, *, evict_refused: bool) -> Taint:
    """The taint of a device with these faults, of which there is one at least.

    `evict_refused`: whether whoever was refused the device may be evicted, for nobody else holds it.
    """
    evicts = any(
        (fault.refused and evict_refused) or (policy.effect is TaintEffect.NO_EXECUTE and not fault.spared)
        for fault in faults.values()
    )
    effect = TaintEffect.NO_EXECUTE if evicts else TaintEffect.NO_SCHEDULE
    return Taint(policy.key, first_of(faults)[0], effect)


def puts_up_with(wanted: AllocatedDevice, driver: str, taint: Taint | None) -> bool:
    """Whether a claim takes a device though it is faulty: for admin access, or because it tolerates the taint.

    Where faults make no taints, a toleration of the key that they would have by default says the same.
    """
    if wanted.admin_access:
        return True
    if taint is not None:
        return any(toleration.tolerates(taint) for toleration in wanted.tolerations)
    key = default_key(driver)
    return any(
        one.key == key or (not one.key and one.operator is TolerationOperator.EXISTS) for one in wanted.tolerations
    )
