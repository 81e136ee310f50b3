from __future__ import annotations

import contextlib

import pytest
from drakit import Version
from drakit.errors import ConfigError
from drakit_mock.template import MAX_REPETITIONS, attribute_value, fill, repetitions
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[a-z]{1,6}", fullmatch=True).filter(lambda name: name != "index")
VALUES = st.text("abc019", min_size=1, max_size=3)


@st.composite
def axes(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    result = []
    for name in names:
        length = draw(st.integers(1, 4))
        result.append({name: tuple(draw(st.lists(VALUES, min_size=length, max_size=length)))})
    return result


@given(axes())
def test_every_combination_of_the_axes_is_there_once_and_numbered(for_each):
    rows = repetitions(None, for_each)
    expected = 1
    for axis in for_each:
        (values,) = axis.values()
        expected *= len(values)
    assert [row["index"] for row in rows] == [str(number) for number in range(expected)]


def test_the_first_axis_advances_slowest_and_variables_of_one_axis_together():
    rows = repetitions(None, [{"root": ("10", "20"), "numa": ("0", "1")}, {"slot": ("a", "b")}])
    assert [fill("{root}:{slot}/{numa}", row) for row in rows] == ["10:a/0", "10:b/0", "20:a/1", "20:b/1"]


def test_an_entry_without_repetition_is_there_once():
    assert repetitions(None, ()) == [{"index": "0"}]


def test_a_count_of_zero_is_none():
    assert repetitions(0, ()) == []


@pytest.mark.parametrize(
    ("count", "for_each", "said"),
    [
        (2, [{"a": ("1",)}], "both count and forEach"),
        (-1, (), "count must be from 0"),
        (MAX_REPETITIONS + 1, (), "count must be from 0"),
        (None, [{"a": ("1", "2"), "b": ("1",)}], "a has 2, b has 1"),
        (None, [{}], "an axis is empty"),
        (None, [{"a": ("1",)}, {"a": ("2",)}], "'a' is in two axes"),
        (None, [{"index": ("1",)}], "'index' is always there"),
        (None, [{"a-b": ("1",)}], "'a-b'"),
        (None, [{name: tuple("0123456789")} for name in "abcde"], f"more than {MAX_REPETITIONS}"),
    ],
)
def test_axes_that_do_not_fit_together_are_refused(count, for_each, said):
    with pytest.raises(ConfigError, match=said):
        repetitions(count, for_each)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("gpu-{indx}", r"uses \{indx\}, which is not defined here; placeholders: \{index\}, \{root\}"),
        ("gpu-{index", "brace"),
        ("gpu-{}", "brace"),
        ("{index.real}", "brace"),
        ("{index!r}", "brace"),
        ("{{index}}", "brace"),
    ],
)
def test_a_placeholder_that_means_nothing_is_refused(template, said):
    with pytest.raises(ConfigError, match=said):
        fill(template, {"index": "0", "root": "10"})


@given(st.text())
def test_a_template_is_filled_or_refused_whatever_it_is(template):
    with contextlib.suppress(ConfigError):
        assert "{" not in fill(template, {"index": "0"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (7, 7),
        ("rack-{index}", "rack-3"),
        ({"int": "{index}"}, 3),
        ({"bool": "false"}, False),
        ({"string": "3"}, "3"),
        ({"version": "1.{index}.0"}, Version("1.3.0")),
        (["a", "b-{index}"], ("a", "b-3")),
        ([{"int": "{index}"}, 4], (3, 4)),
    ],
)
def test_an_attribute_has_the_type_the_profile_gives_it(value, expected):
    resolved = attribute_value(value, {"index": "3"})
    assert resolved == expected
    assert type(resolved) is type(expected)


@pytest.mark.parametrize(
    "value", [1.5, None, {}, {"int": "x"}, {"int": 3}, {"bool": "yes"}, {"float": "1"}, {"int": "1", "bool": "true"}]
)
def test_an_attribute_of_no_known_type_is_refused(value):
    with pytest.raises(ConfigError):
        attribute_value(value, {"index": "3"})


def test_a_list_in_a_list_is_refused():
    with pytest.raises(ConfigError):
        attribute_value([["a"]], {})
