"""Consumable capacity (KEP-5075): what a request consumes of a device's capacities, as their policies have it."""

from __future__ import annotations

from collections.abc import Mapping

from drakit.model import Quantity, RequestPolicy, ValidRange
from drakit.plan.contents import Offer

_UNIT = 10**9
_MILLI = 10**6


def consumption(offer: Offer, requested: Mapping[str, Quantity], *, fractional: bool) -> Mapping[str, Quantity] | None:
    """What is consumed of each capacity; None where the device lacks a capacity, is too small, or a policy forbids it.

    What is not asked for is consumed at the policy's default, or whole. `fractional`: ranges may be in thousandths.
    """
    capacities = offer.device.capacity
    if any(name not in capacities for name in requested):
        return None
    found = {}
    for name, value in capacities.items():
        policy = offer.policies.get(name)
        amount = _consumed(requested.get(name), value, policy, fractional=fractional)
        if _forbidden(amount, policy, fractional=fractional) or amount.nanos > value.nanos:
            return None
        found[name] = amount
    return found


def _consumed(
    requested: Quantity | None, value: Quantity, policy: RequestPolicy | None, *, fractional: bool
) -> Quantity:
    if requested is None:
        return policy.default if policy and policy.default is not None else value
    if policy and policy.valid_range:
        return _rounded_up(requested, policy.valid_range, fractional=fractional)
    if policy and policy.valid_values:
        return next((allowed for allowed in policy.valid_values if requested.nanos <= allowed.nanos), requested)
    return requested


def _rounded_up(requested: Quantity, limits: ValidRange, *, fractional: bool) -> Quantity:
    if requested.nanos < limits.minimum.nanos:
        return limits.minimum
    if limits.step is None:
        return requested
    unit = _unit(limits, fractional=fractional)
    minimum, step = _ceil(limits.minimum, unit), _ceil(limits.step, unit)
    steps = -(-(_ceil(requested, unit) - minimum) // step)
    form = limits.step if fractional else _BINARY
    return as_written((minimum + step * steps) * unit, form)


_BINARY = Quantity("1Ki")


def _forbidden(amount: Quantity, policy: RequestPolicy | None, *, fractional: bool) -> bool:
    if policy is None or amount == policy.default:
        return False
    if limits := policy.valid_range:
        if limits.maximum is not None and amount.nanos > limits.maximum.nanos:
            return True
        if limits.step is None:
            return False
        unit = _unit(limits, fractional=fractional)
        return (_ceil(amount, unit) - _ceil(limits.minimum, unit)) % _ceil(limits.step, unit) != 0
    return bool(policy.valid_values) and amount not in policy.valid_values


def _unit(limits: ValidRange, *, fractional: bool) -> int:
    """Whole numbers, or thousandths where a limit has them."""
    parts = [limits.minimum, limits.step, limits.maximum]
    return _MILLI if fractional and any(part and part.nanos % _UNIT for part in parts) else _UNIT


def _ceil(amount: Quantity, unit: int) -> int:
    return -(-amount.nanos // unit)


def as_written(nanos: int, like: Quantity) -> Quantity:
    """An amount as Kubernetes writes it: with the largest suffix it is a multiple of, of the family of `like`'s."""
    if nanos % _UNIT:
        for suffix, size in (("m", _MILLI), ("u", 10**3), ("n", 1)):
            if nanos % size == 0:
                return Quantity(f"{nanos // size}{suffix}")
    whole, base, suffixes = nanos // _UNIT, 1000, ("", "k", "M", "G", "T", "P", "E")
    if like.text.endswith("i") and abs(whole) >= 1024:
        base, suffixes = 1024, ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
    power = 0
    while whole and whole % base == 0 and power < len(suffixes) - 1:
        whole, power = whole // base, power + 1
    return Quantity(f"{whole}{suffixes[power]}")
