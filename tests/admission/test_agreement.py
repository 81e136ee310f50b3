"""Admission and driver agree: what one refuses the other does, for the shipped classes and for any other.

Not compared, as the policy cannot see it: a key that a JSON object has twice, and a number such as 1e300, which the API
server does not tell from an integer of more than 64 bits.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from attrs import field
from drakit import AtMost, Between, Each, EachKey, Length, Matches, NoneOf, OneOf, Quantity
from drakit.admission import expression
from drakit.admission.shapes import Listing, Mapped, Object, Scalar, Shape, shape_of
from drakit.loading import load
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.admission.documents import BAD, GOOD
from tests.admission.evaluating import admission, driver
from tests.admission.test_expressions import Mode, SharingConfig, Window

PLUGINS = load(["neuron", "efa", "mock"]).loaded
SHIPPED = {name: plugin.declarations.config_types for name, plugin in PLUGINS.items()}

WORDS = st.sampled_from(
    ["", "a", "abc", "A b", "é", "1", "\n", '"', "FI_PROVIDER", "fast", "slow", "80Gi", "1e3", "-5", "z"]
)
NUMBERS = st.integers(-3, 100) | st.sampled_from([2**32 - 2, 2**32 - 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**70])
FLOATS = st.floats(-100, 100, width=32)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | FLOATS | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)


def values(shape: Shape) -> st.SearchStrategy[Any]:
    """Values that are mostly of the shape, so that what is refused has one fault rather than ten."""
    return st.one_of(*[likely(shape)] * 12, JSON)


def likely(shape: Shape) -> st.SearchStrategy[Any]:
    if isinstance(shape, Object):
        known = {key.name: values(key.shape) | st.none() if key.nullable else values(key.shape) for key in shape.keys}
        return st.tuples(st.fixed_dictionaries({}, optional=known), st.sampled_from([{}] * 8 + [{"stranger": 1}])).map(
            lambda parts: parts[0] | parts[1]
        )
    if isinstance(shape, Mapped):
        return st.dictionaries(WORDS, values(shape.values), max_size=3)
    if isinstance(shape, Listing):
        return st.lists(values(shape.entries), max_size=3)
    if not isinstance(shape, Scalar):
        return JSON
    kinds: dict[type, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: NUMBERS,
        float: FLOATS | NUMBERS,
        str: WORDS,
        Quantity: NUMBERS
        | st.sampled_from(["1", "1Ki", "500m", "1.5G", "2e3", "-1Mi", "1 Gi", "Gi", "", "0.0001n", "+1"]),
    }
    allowed = [one for rule in shape.conditions if isinstance(rule, OneOf) for one in rule.values]
    return st.one_of(kinds[shape.kind], *([st.sampled_from(allowed)] if allowed else []))


def documents(kinds: tuple[Any, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.sampled_from(kinds).flatmap(_of)


def _of(kind: Any) -> st.SearchStrategy[dict[str, Any]]:
    header = {"apiVersion": kind.api_version, "kind": kind.kind} if kind.kind else {}
    wrong = st.sampled_from([header] * 10 + [{}, header | {"kind": "Other"}, header | {"apiVersion": None}])
    shape = shape_of(kind, lambda _: None, depth=8)
    return st.tuples(wrong, likely(shape)).map(lambda parts: parts[0] | parts[1])


@pytest.mark.parametrize("name", SHIPPED)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_of_the_shipped_classes_admission_refuses_what_the_driver_does_and_no_more(name: str, data: st.DataObject):
    agree(SHIPPED[name], data.draw(documents(SHIPPED[name])))


@settings(max_examples=120, deadline=None)
@given(document=documents((SharingConfig,)))
def test_every_rule_is_the_same_to_both(document: dict[str, Any]):
    agree((SharingConfig,), {"clients": 1} | document)


def agree(kinds: tuple[type, ...], document: dict[str, Any]) -> None:
    refused, said = driver(kinds, document), admission(kinds, document)
    assert bool(refused) == bool(said), f"driver: {refused or 'takes it'}; admission: {said or 'admits it'}"


class Loose(enum.Enum):
    ONE = "one"

    @classmethod
    def _missing_(cls, value: object) -> Loose:
        return cls.ONE


def _positive(_instance: Any, _attribute: Any, value: Any) -> None:
    if value == 2:
        raise ValueError("is 2")


RULES = st.sampled_from(
    [
        OneOf((1, 2)),
        OneOf(("a", "abc")),
        NoneOf(("a",)),
        NoneOf((3,)),
        Between(0, 50),
        Between(least=1),
        Between(most=2**63 - 1),
        Between(0.5, 1.5),
        Between(Quantity("1Ki"), Quantity(2**70)),
        Matches("[a-z]*", says="must be letters"),
        Matches(r"(?:a|ab)(?:c|bcd)?", says="must be odd"),
        Length(1, 2),
        Length(most=1),
        Length(least=1),
        Each(Between(0, 50)),
        Each(Matches(r"\w+", says="must be words")),
        EachKey(Length(1)),
        Each(Each(Length(1))),
        _positive,
    ]
)
TYPES = st.sampled_from(
    [
        bool,
        int,
        float,
        str,
        Path,
        Quantity,
        Mode,
        Loose,
        Literal["a", "b"],
        Literal[1, 2],
        Window,
        Any,
        bytes,
        tuple[int, ...],
        list[str],
        set[int],
        frozenset[str],
        tuple[int, str],
        list[Window],
        list[int | None],
        dict[str, int],
        Mapping[str, list[str]],
        Mapping[int, int],
        dict[str, Window],
    ]
)
CONVERTERS = st.sampled_from([None, None, None, str, abs])


@st.composite
def classes(draw: st.DrawFn) -> Any:
    """Classes as somebody may write them, sensible or not."""
    fields: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(["one", "two_words", "three"]), unique=True, max_size=3)):
        kind, optional = draw(TYPES), draw(st.booleans())
        fields[name] = field(
            default=None if draw(st.booleans()) else attrs.NOTHING,
            type=kind | None if optional and kind is not Any else kind,
            validator=draw(st.lists(RULES, max_size=2)),
            converter=draw(CONVERTERS),
        )
    kind = attrs.make_class("Drawn", fields, frozen=True, kw_only=True)
    kind.api_version, kind.kind = "drawn.example.com/v1", "Drawn"
    if len(fields) > 1 and draw(st.booleans()):
        kind.cross_checks = (AtMost(count=1, fields=tuple(fields), says="are too many"),)
    return kind


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_of_any_class_admission_refuses_nothing_that_the_driver_takes(data: st.DataObject):
    kind = data.draw(classes())
    document = data.draw(_of(kind))
    if not driver((kind,), document):
        assert admission((kind,), document) == ""


@pytest.mark.parametrize(("name", "parameters"), GOOD)
def test_good_parameters_of_the_shipped_plugins_are_admitted(name: str, parameters: dict[str, Any]):
    assert driver(SHIPPED[name], parameters) == ""
    assert admission(SHIPPED[name], parameters) == ""


@pytest.mark.parametrize(("name", "parameters", "said"), BAD)
def test_bad_parameters_of_the_shipped_plugins_are_refused(name: str, parameters: dict[str, Any], said: list[str]):
    assert driver(SHIPPED[name], parameters)
    message = admission(SHIPPED[name], parameters)
    assert all(part in message for part in said), message


def test_nothing_of_the_shipped_plugins_is_left_to_the_driver():
    assert {name: expression(kinds)[1] for name, kinds in SHIPPED.items()} == {name: [] for name in SHIPPED}
