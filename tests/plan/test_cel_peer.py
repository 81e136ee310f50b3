"""Our CEL beside the one of Google in C++, in what both can say: the language, without devices.

That library has neither Kubernetes' types nor its functions, so it vouches for the language only; the rest is held to
what the Go code answered (`corpus`, `test_cel_cost`, `test_regex`).
"""

from __future__ import annotations

import pytest
from drakit.model import Device
from drakit.plan.cel import CelError, CelRuntimeError, compile_selector, device_value
from hypothesis import assume, given, settings
from hypothesis import strategies as st

cel = pytest.importorskip("cel_expr_python.cel", reason="the CEL library of Google is not installed")

DEVICE = device_value(Device(name="d"), "d.x", shared=False)

INTS = st.sampled_from(["0", "1", "-2", "7", "9223372036854775807", "-9223372036854775808"])
STRINGS = st.sampled_from(['""', '"a"', '"ab"', '"B"', "'é'", 'r"\\d"', '"\\u00e9"', '"a\\tb"'])
DOUBLES = st.sampled_from(["0.0", "1.5", "-2.0", "1e3"])


def joined(left, right, operators):
    return st.tuples(left, st.sampled_from(operators), right).map(lambda parts: f"({' '.join(parts)})")


def called(subject, names, argument):
    return st.tuples(subject, st.sampled_from(names), argument).map(lambda parts: "{}.{}({})".format(*parts))


def listed(elements):
    return st.lists(elements, max_size=3).map(lambda items: f"[{', '.join(items)}]")


def deeper(bools):
    ints = st.recursive(
        INTS,
        lambda inner: (
            joined(inner, inner, ["+", "-", "*", "/", "%"])
            | inner.map(lambda text: f"int(string({text}))")
            | STRINGS.map(lambda text: f"size({text})")
        ),
        max_leaves=4,
    )
    strings = st.recursive(STRINGS, lambda inner: joined(inner, inner, ["+"]), max_leaves=3)
    lists = listed(ints)
    comparisons = ["==", "!=", "<", "<=", ">", ">="]
    macros = st.tuples(
        lists,
        st.sampled_from(["all", "exists", "exists_one"]),
        joined(st.just("x"), ints, comparisons),
    )
    return (
        joined(bools, bools, ["&&", "||", "=="])
        | bools.map(lambda text: f"!({text})")
        | st.tuples(bools, bools, bools).map(lambda parts: "({} ? {} : {})".format(*parts))
        | joined(ints, ints, comparisons)
        | joined(strings, strings, comparisons)
        | joined(DOUBLES, DOUBLES, comparisons)
        | joined(ints, lists, ["in"])
        | joined(lists, lists, ["==", "!="])
        | called(strings, ["startsWith", "endsWith", "contains", "matches"], strings)
        | macros.map(lambda parts: "{}.{}(x, {})".format(*parts))
        | st.tuples(lists, ints).map(lambda parts: "{}.map(x, x + {}) == []".format(*parts))
        | st.tuples(lists, ints).map(lambda parts: "{}.filter(x, x > {}).size() > 1".format(*parts))
        | st.tuples(strings, ints).map(lambda parts: "{{{0}: {1}}}[{0}] == {1}".format(*parts))
    )


EXPRESSIONS = st.recursive(st.sampled_from(["true", "false", "(1 / 0 == 1)"]), deeper, max_leaves=8)
PEER = cel.NewEnv()


def theirs(expression):
    try:
        value = PEER.compile(expression).eval()
    except RuntimeError:
        return "error"
    return value.plain_value() if value.type() == cel.Type.BOOL else "error"


def ours(expression):
    try:
        selector = compile_selector(expression)
    except CelError:
        return "error"
    try:
        return selector.matches_value(DEVICE)
    except CelRuntimeError:
        return "error"


@settings(max_examples=500)
@given(EXPRESSIONS)
def test_both_say_the_same(expression):
    assume(len(expression) < 1000)
    assert ours(expression) == theirs(expression), expression
