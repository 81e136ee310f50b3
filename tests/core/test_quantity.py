"""Quantities: apimachinery's `resource.Quantity`, compared by value."""

from __future__ import annotations

from fractions import Fraction

import pytest
from drakit import Quantity
from hypothesis import given
from hypothesis import strategies as st

SUFFIXES = {
    "": 1,
    **{letter + "i": 1024**power for power, letter in enumerate("KMGTPE", 1)},
    **{
        letter: Fraction(1000) ** power
        for letter, power in zip("numkMGTPE", (-3, -2, -1, 1, 2, 3, 4, 5, 6), strict=True)
    },
    **{f"{e}{power}": Fraction(10) ** power for e in "eE" for power in (-3, 0, 3)},
}
LARGEST = (2**63 - 1) * 10**9


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1Gi", 2**30),
        ("1024Mi", "1Gi"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("5.", "5"),
        ("1e3", "1k"),
        ("1E3", "1000"),
        ("1e+3", "1000"),
        ("1E", "1000P"),
        ("1.5Gi", "1536Mi"),
        ("-0", 0),
        ("+1", 1),
        ("1e-999", "1n"),
        ("0.0000000001", "1n"),
        ("-0.0000000001", "-1n"),
        ("1e999", "9223372036854775807"),
        ("-1e999", "-9223372036854775807"),
        (2**70, 2**63 - 1),
    ],
)
def test_quantities_of_one_value_are_equal_however_they_are_written(one, other):
    assert Quantity(one) == Quantity(other)
    assert hash(Quantity(one)) == hash(Quantity(other))


@pytest.mark.parametrize("text", ["80Gi", "1e3", "0.50", "+1"])
def test_a_quantity_is_written_as_it_was_given(text):
    assert str(Quantity(text)) == str(Quantity(Quantity(text))) == text
    assert repr(Quantity(text)) == f"Quantity({text!r})"


def test_a_quantity_is_no_number():
    assert Quantity(1) != 1
    with pytest.raises(TypeError):
        assert Quantity(1) < 2


@given(
    st.integers(-(10**25), 10**25),
    st.integers(0, 12),
    st.sampled_from(sorted(SUFFIXES)),
)
def test_a_quantity_has_the_value_of_its_number_and_suffix(digits, places, suffix):
    whole, part = divmod(abs(digits), 10**places)
    text = f"{'-' if digits < 0 else ''}{whole}" + (f".{part:0{places}}" if places else "") + suffix
    exact = abs(Fraction(digits, 10**places) * SUFFIXES[suffix]) * 10**9
    nanos = min(-(-exact.numerator // exact.denominator), LARGEST)
    assert Quantity(text).nanos == (-nanos if digits < 0 else nanos)


@given(st.integers(), st.integers())
def test_quantities_are_ordered_as_their_values(one, other):
    bounded = [max(-(2**63) + 1, min(2**63 - 1, value)) for value in (one, other)]
    assert (Quantity(one) < Quantity(other)) == (bounded[0] < bounded[1])
    assert (Quantity(str(one)) <= Quantity(other)) == (bounded[0] <= bounded[1])


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_refused_as_one(text):
    try:
        Quantity(text)
    except ValueError as error:
        assert repr(text)[:5] in str(error)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("1024Mi", "1Gi"),
        ("1536Mi", "1536Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Gi", "512Mi"),
        ("1023Ki", "1023Ki"),
        ("512", "512"),
        ("0.5Ki", "512"),
        ("1.1Ki", "1126400m"),
        (1000, "1k"),
        ("1000k", "1M"),
        ("1500", "1500"),
        ("0.5", "500m"),
        ("0.0000005", "500n"),
        ("1e3", "1e3"),
        ("1E4", "10e3"),
        ("1e-3", "1e-3"),
        ("1E", "1E"),
        ("1000P", "1E"),
        ("0Gi", "0"),
        ("-2048Ki", "-2Mi"),
        ("+1", "1"),
    ],
)
def test_a_quantity_is_canonical_as_an_api_server_writes_it(written, canonical):
    assert Quantity(written).canonical == canonical
    assert Quantity(canonical).canonical == canonical


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.sampled_from(["", "n", "m", "k", "Ki", "Mi", "e3", "e-3"]))
def test_a_canonical_quantity_is_the_same_quantity(number, suffix):
    assert Quantity(Quantity(f"{number}{suffix}").canonical) == Quantity(f"{number}{suffix}")
