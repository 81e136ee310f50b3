"""How one device may serve several claims at once (KEP-5075)."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from drakit.errors import LimitExceeded
from drakit.model.converters import frozen_mapping, optional_quantity, quantity, quantity_tuple
from drakit.model.names import check_count
from drakit.model.quantity import Quantity

MAX_VALID_VALUES = 10
_MILLI = 10**6
"""A thousandth, in billionths."""


@frozen(kw_only=True)
class ValidRange:
    """Amounts from `minimum` to `maximum` (the capacity itself if absent), in steps of `step`.

    They may be fractions, of thousandths at the least: Kubernetes before 1.37 reckons with whole numbers only.
    """

    minimum: Quantity = field(converter=quantity)
    maximum: Quantity | None = field(default=None, converter=optional_quantity)
    step: Quantity | None = field(default=None, converter=optional_quantity)


@frozen(kw_only=True)
class RequestPolicy:
    """Which amounts of one capacity a request may consume (KEP-5075): at most one of values and range."""

    default: Quantity | None = field(default=None, converter=optional_quantity)
    valid_values: tuple[Quantity, ...] = field(default=(), converter=quantity_tuple)
    valid_range: ValidRange | None = None

    def __attrs_post_init__(self) -> None:
        where = "RequestPolicy"
        if self.valid_values and self.valid_range:
            raise LimitExceeded(where, "must have valid_values or valid_range, not both", self)
        if (self.valid_values or self.valid_range) and self.default is None:
            raise LimitExceeded(f"{where}.default", "is required with valid_values or valid_range", None)
        check_count(f"{where}.valid_values", self.valid_values, MAX_VALID_VALUES)
        if any(low >= high for low, high in zip(self.valid_values, self.valid_values[1:], strict=False)):
            raise LimitExceeded(f"{where}.valid_values", "must ascend", [str(v) for v in self.valid_values])
        if self.valid_values and self.default not in self.valid_values:
            raise LimitExceeded(f"{where}.default", "must be one of valid_values", str(self.default))
        if self.valid_range and self.default is not None:
            _check_range(self.valid_range, self.default)

    def check_capacity(self, name: str, value: Quantity) -> None:
        """Raise LimitExceeded where the policy allows more than the capacity it stands beside."""
        most = [*self.valid_values, *([self.default] if self.default else [])]
        if self.valid_range:
            most += [q for q in (self.valid_range.minimum, self.valid_range.maximum) if q]
            step = self.valid_range.step
            if step is not None and self.valid_range.minimum.nanos + step.nanos > value.nanos:
                raise LimitExceeded(f"capacity {name!r}: minimum + step", f"must not be over {value}", str(step))
        for amount in most:
            if amount > value:
                raise LimitExceeded(f"capacity {name!r}: its request policy", f"must not go over {value}", str(amount))


def _check_range(valid_range: ValidRange, default: Quantity) -> None:
    minimum, maximum, step = valid_range.minimum, valid_range.maximum, valid_range.step
    for name, amount in (("minimum", minimum), ("maximum", maximum), ("step", step)):
        if amount is not None and amount.nanos % _MILLI:
            raise LimitExceeded(f"ValidRange.{name}", "must be a multiple of a thousandth (1m)", str(amount))
    if maximum is not None and maximum < minimum:
        raise LimitExceeded("ValidRange.maximum", "must not be under the minimum", str(maximum))
    if default < minimum or (maximum is not None and default > maximum):
        raise LimitExceeded("RequestPolicy.default", "must lie within valid_range", str(default))
    if step is None:
        return
    if step.nanos <= 0:
        raise LimitExceeded("ValidRange.step", "must be over 0", str(step))
    for name, bound in (("RequestPolicy.default", default), ("ValidRange.maximum", maximum)):
        if bound is not None and (bound.nanos - minimum.nanos) % step.nanos:
            raise LimitExceeded(name, "must be the minimum plus a multiple of step", str(bound))


@frozen
class SharePolicy:
    """How one device may be allocated to several claims at once: per capacity, what a request may consume.

    An empty policy allows any number of claims. Capacities named here must be among the device's.
    """

    policies: Mapping[str, RequestPolicy] = field(factory=dict, converter=frozen_mapping)
