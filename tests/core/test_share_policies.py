"""What a device may be divided by: the limits of a request policy, on both sides of each boundary (KEP-5075)."""

from __future__ import annotations

import pytest
from drakit import Quantity, RequestPolicy, SharePolicy, ValidRange
from drakit.errors import LimitExceeded


def policy(**more) -> RequestPolicy:
    return RequestPolicy(**more)


# What stands just inside a limit, and just outside it; then what the message must name.
LIMITS = {
    "valid values": (
        lambda: policy(default=1, valid_values=range(1, 11)),
        lambda: policy(default=1, valid_values=range(1, 12)),
        ("RequestPolicy.valid_values", "at most 10", "got 11"),
    ),
    "valid values ascend": (
        lambda: policy(default=1, valid_values=(1, 2)),
        lambda: policy(default=1, valid_values=(1, "1000m")),
        ("RequestPolicy.valid_values", "ascend", "1000m"),
    ),
    "default is a valid value": (
        lambda: policy(default="1Gi", valid_values=(2**30,)),
        lambda: policy(default=3, valid_values=(1, 2)),
        ("RequestPolicy.default", "one of valid_values", "'3'"),
    ),
    "default is required with values": (
        lambda: policy(default=1, valid_values=(1,)),
        lambda: policy(valid_values=(1,)),
        ("RequestPolicy.default", "required", "None"),
    ),
    "default is required with a range": (
        lambda: policy(default=1, valid_range=ValidRange(minimum=1)),
        lambda: policy(valid_range=ValidRange(minimum=1)),
        ("RequestPolicy.default", "required", "None"),
    ),
    "values or range": (
        lambda: policy(default=1, valid_range=ValidRange(minimum=1)),
        lambda: policy(default=1, valid_values=(1,), valid_range=ValidRange(minimum=1)),
        ("RequestPolicy", "not both", "valid_values"),
    ),
    "default is not under the minimum": (
        lambda: policy(default=2, valid_range=ValidRange(minimum=2)),
        lambda: policy(default=1, valid_range=ValidRange(minimum=2)),
        ("RequestPolicy.default", "within valid_range", "'1'"),
    ),
    "default is not over the maximum": (
        lambda: policy(default=4, valid_range=ValidRange(minimum=2, maximum=4)),
        lambda: policy(default=5, valid_range=ValidRange(minimum=2, maximum=4)),
        ("RequestPolicy.default", "within valid_range", "'5'"),
    ),
    "maximum is not under the minimum": (
        lambda: policy(default=2, valid_range=ValidRange(minimum=2, maximum=2)),
        lambda: policy(default=2, valid_range=ValidRange(minimum=2, maximum=1)),
        ("ValidRange.maximum", "under the minimum", "'1'"),
    ),
    "step is over zero": (
        lambda: policy(default=2, valid_range=ValidRange(minimum=2, step=1)),
        lambda: policy(default=2, valid_range=ValidRange(minimum=2, step=0)),
        ("ValidRange.step", "over 0", "'0'"),
    ),
    "default lies on a step": (
        lambda: policy(default=5, valid_range=ValidRange(minimum=1, step=2)),
        lambda: policy(default=4, valid_range=ValidRange(minimum=1, step=2)),
        ("RequestPolicy.default", "multiple of step", "'4'"),
    ),
    "maximum lies on a step": (
        lambda: policy(default=1, valid_range=ValidRange(minimum=1, maximum=7, step=3)),
        lambda: policy(default=1, valid_range=ValidRange(minimum=1, maximum=8, step=3)),
        ("ValidRange.maximum", "multiple of step", "'8'"),
    ),
    "minimum is of whole thousandths": (
        lambda: policy(default="1m", valid_range=ValidRange(minimum="1m", maximum="2m", step="1m")),
        lambda: policy(default="1m", valid_range=ValidRange(minimum="500u")),
        ("ValidRange.minimum", "thousandth", "500u"),
    ),
    "step is of whole thousandths": (
        lambda: policy(default="1500m", valid_range=ValidRange(minimum=1, step="250m")),
        lambda: policy(default=1, valid_range=ValidRange(minimum=1, step="0.2505")),
        ("ValidRange.step", "thousandth", "0.2505"),
    ),
    "default lies on a fractional step": (
        lambda: policy(default="1500m", valid_range=ValidRange(minimum=1, step="250m")),
        lambda: policy(default="1600m", valid_range=ValidRange(minimum=1, step="250m")),
        ("RequestPolicy.default", "multiple of step", "1600m"),
    ),
    "valid values are not over the capacity": (
        lambda: policy(default=1, valid_values=(1, 8)).check_capacity("memory", Quantity(8)),
        lambda: policy(default=1, valid_values=(1, 9)).check_capacity("memory", Quantity(8)),
        ("capacity 'memory'", "over 8", "'9'"),
    ),
    "default is not over the capacity": (
        lambda: policy(default=8).check_capacity("memory", Quantity(8)),
        lambda: policy(default=9).check_capacity("memory", Quantity(8)),
        ("capacity 'memory'", "over 8", "'9'"),
    ),
    "maximum is not over the capacity": (
        lambda: policy(default=1, valid_range=ValidRange(minimum=1, maximum=8)).check_capacity("m", Quantity(8)),
        lambda: policy(default=1, valid_range=ValidRange(minimum=1, maximum=9)).check_capacity("m", Quantity(8)),
        ("capacity 'm'", "over 8", "'9'"),
    ),
    "a first step is not over the capacity": (
        lambda: policy(default=1, valid_range=ValidRange(minimum=1, step=7)).check_capacity("m", Quantity(8)),
        lambda: policy(default=1, valid_range=ValidRange(minimum=1, step=8)).check_capacity("m", Quantity(8)),
        ("minimum + step", "over 8", "'8'"),
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_policy_at_the_limit_is_taken(name):
    LIMITS[name][0]()


@pytest.mark.parametrize("name", LIMITS)
def test_a_policy_past_the_limit_is_refused_naming_field_limit_and_value(name):
    _, outside, parts = LIMITS[name]
    with pytest.raises(LimitExceeded) as caught:
        outside()
    for part in parts:
        assert part in str(caught.value)


def test_a_share_policy_needs_no_request_policies():
    assert SharePolicy().policies == {}
