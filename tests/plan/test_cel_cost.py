"""What selectors cost. The figures were recorded from Kubernetes 1.37.2, for the device below."""

from __future__ import annotations

import pytest
from drakit.model import Device, Version
from drakit.plan.cel import CelRuntimeError, compile_selector, device_value

DEVICE = device_value(
    Device(
        name="d",
        attributes={
            "s": "hello world, this is a text of some length",
            "n": 7,
            "v": Version("1.2.3"),
            "t": ("aa", "bb", "cc"),
            "o.x/b": True,
        },
        capacity={"m": "4Gi"},
    ),
    "d.x",
    shared=False,
)
DEVICE.attributes["d.x"]["l"] = tuple(range(48))

RECORDED = [
    ("true", 0, 0),
    ('device.driver == "d.x"', 3, 3),
    ('device.attributes["d.x"].n == 7', 5, 5),
    ('device.attributes["d.x"].s == "x"', 5, 5),
    ('device.attributes["d.x"].s == device.attributes["d.x"].s', 13, 15),
    ('has(device.attributes["d.x"].n)', 3, 3),
    ('"d.x" in device.attributes', 3, 3),
    ('"n" in device.attributes["d.x"]', 4, 4),
    ('device.attributes["d.x"].?n.orValue(3) == 7', 5, 6),
    ('device.attributes["d.x"].?zz.orValue(3) == 3', 4, 6),
    ('device.attributes["d.x"].l.all(x, x >= 0)', 245, 325),
    ('device.attributes["d.x"].l.exists(x, x == 40)', 254, 389),
    ('device.attributes["d.x"].l.exists_one(x, x == 4)', 104, 262),
    ('device.attributes["d.x"].l.map(x, x + 1).size() == 48', 679, 913),
    ('device.attributes["d.x"].l.filter(x, x > 3).size() > 2', 675, 977),
    ('device.attributes["d.x"].l.map(x, x > 3, x * 2).size() > 2', 719, 1041),
    ("[1,2,3].all(x, [1,2,3].all(y, x + y > 0))", 76, 116),
    ("[1,2,3].exists(x, x > 5)", 19, 29),
    ('{"a": 1, "b": 2}.all(k, k != "c")', 11, 41),
    ('{"a": 1}.all(k, v, v == 1)', 6, 36),
    ("[1,2].all(i, v, v > i)", 13, 23),
    ('cel.bind(a, device.attributes["d.x"].n, a == 7 && a < 9)', 8, 18),
    ('cel.bind(a, device.attributes["d.x"], a.n == 7 && a.n < 9)', 9, 19),
    ('device.attributes["d.x"].s.matches("hel+o.*")', 14, 18),
    ('device.attributes["d.x"].s.startsWith("hello")', 5, 5),
    ('device.attributes["d.x"].s.contains("text")', 9, 11),
    ('device.attributes["d.x"].s.size() > 3', 6, 6),
    ('size(device.attributes["d.x"].s) > 3', 6, 6),
    ('device.attributes["d.x"].s.find("t.xt") == "text"', 10, 12),
    ('device.attributes["d.x"].s.split(" ").size() > 2', 15, 19),
    ('device.attributes["d.x"].s.lowerAscii() == "x"', 10, 12),
    ('device.attributes["d.x"].v.isGreaterThan(semver("1.0.0"))', 6, 6),
    ('device.capacity["d.x"].m.compareTo(quantity("1Gi")) > 0', 7, 7),
    ('device.capacity["d.x"].m == quantity("4Gi")', 6, 6),
    ('device.attributes["d.x"].v == semver("1.2.3")', 6, 12),
    ('device.attributes["d.x"].l.includes(3)', 52, 68),
    ('device.attributes["d.x"].n.includes(7)', 5, 68),
    ('7 in device.attributes["d.x"].l', 5, 68),
    ('device.attributes["d.x"].n in [1,2,7]', 4, 17),
    ('device.attributes["d.x"].n > 3 ? device.driver == "d.x" : false', 8, 8),
    ('!(device.driver == "y")', 4, 4),
    ('device.attributes["d.x"].n + 3 * 2 - 1 > 0', 8, 8),
    ('-device.attributes["d.x"].n < 0', 6, 6),
    ('"a" + device.driver == "ad.x"', 4, 10),
    ("[1,2] + [3] == [1,2,3]", 2, 32),
    ('device.attributes["d.x"].t.join(",") == "aa,bb,cc"', 7, 12),
    ('device.attributes["d.x"].l.sum() > 3', 53, 12),
    ('device.attributes["d.x"].l.isSorted()', 52, 11),
    ('device.attributes["d.x"].l[3] == 3', 6, 6),
    ("[1,2,3][1] == 2", 3, 12),
    ('{"a": 1}["a"] == 1', 3, 32),
    ('{"a": 1}.a == 1', 3, 32),
    ("sets.contains([1,2],[1])", 3, 23),
    ("sets.intersects([1,2],[1])", 3, 23),
    ('device.attributes["d.x"].l.transformList(i, v, v * i).size() == 48', 727, 977),
    ('device.attributes["d.x"].l.transformMap(i, v, v * i).size() == 48', 295, 421),
    ('device.attributes["d.x"].l.sortBy(x, -x).size() == 48', 682, 9538),
    ('dyn(device.attributes["d.x"].n) == 7', 6, 6),
    ('int("7") == device.attributes["d.x"].n', 5, 6),
    ('string(device.attributes["d.x"].n) == "7"', 6, 12),
    ('"%d".format([device.attributes["d.x"].n]) == "7"', 16, 16),
    ('type(device.attributes["d.x"].n) == int', 6, 1844674407370955270),
    ('device.attributes["d.x"].?n.hasValue()', 5, 5),
    ("optional.none().hasValue()", 2, 2),
    ('device.attributes["d.x"].?n.optMap(x, x + 1).orValue(2) == 8', 14, 25),
    ('false && device.driver == "x"', 0, 3),
    ('true || device.driver == "x"', 0, 3),
    ('device.driver == "x" && device.attributes["d.x"].n == 7', 3, 8),
    ("device.allowMultipleAllocations", 2, 2),
    ('device.attributes.all(d, d != "")', 11, 131),
    ('device.attributes["d.x"].all(n, n != "q")', 29, 164),
    ('device.attributes["d.x"].l.all(x, device.attributes["d.x"].l.exists(y, y == x))', 8762, 18446744073709551615),
    (
        'device.attributes["d.x"].l.all(x, device.attributes["d.x"].t.all(y, y.matches("[a-c]+")))',
        1253,
        18446744073709551615,
    ),
    ("lists.range(5).all(x, x < 5)", 42, 42),
    ("[[1,2],[3]].flatten() == [1,2,3]", 14, 54),
    ("[1,2,3].slice(0,2) == [1,2]", 14, 34),
    ("[3,1].sort() == [1,3]", 20, 40),
    ("[1,1].distinct() == [1]", 20, 40),
    ("[1,2].reverse() == [2,1]", 14, 34),
    ('"abc".charAt(1) == "b"', 2, 2),
    ('"abc".indexOf("c") == 2', 1, 2),
    ('"abc".replace("a","b") == "bbc"', 2, 2),
    ('"abc".substring(1) == "bc"', 2, 2),
    ('" a ".trim() == "a"', 2, 2),
    ('ip("1.2.3.4").family() == 4', 3, 3),
    ('cidr("10.0.0.0/8").containsIP("10.1.1.1")', 3, 6),
    ('url("https://a.b/c").getHost() == "a.b"', 4, 4),
    ('isQuantity("1")', 1, 1),
    ('("" < device.attributes["d.x"].s)', 4, 4),
    ('(device.attributes["d.x"].s + device.attributes["d.x"].s).contains(device.driver)', 20, 114),
    ('device.attributes["d.x"].l.filter(v1, false).all(w2, (w2 >= w2))', 6, 18446744073709551615),
    ('device.attributes["d.x"].l.map(v1, 48).exists(w2, false)', 294, 1040),
    ('((48 - device.attributes["d.x"].n) in [1,2,3].map(v1, device.attributes["d.x"].n))', 57, 77),
    ('!([5].size() in [device.attributes["d.x"].n].filter(v1, has(device.attributes["d.x"].n)))', 34, 54),
    ('(device.attributes["d.x"].s < device.attributes["d.x"].s)', 9, 15),
    ("device.attributes[\"d.x\"].s.replace('lo', 'ccc') == 'x'", 14, 18),
    ("[1].all(x, (true ? x : 2) == 1)", 5, 16),
    ('(device.attributes["d.x"].s + "a").replace("", "b").size() > 2', 20, 26),
]
"""Expression, what it costs on the device, and what it may cost at most."""


@pytest.mark.parametrize(("expression", "cost", "most"), RECORDED)
def test_a_selector_costs_what_the_scheduler_says(expression, cost, most):
    selector = compile_selector(expression)
    assert selector.cost(DEVICE) == cost
    assert selector.most_cost == most


def nested(depth, body):
    """Loops over 48 numbers in each other."""
    text = body
    for level in range(depth):
        text = f'device.attributes["d.x"].l.all(x{level}, {text})'
    return text


def test_an_evaluation_that_costs_more_than_a_million_is_cancelled():
    dear = nested(3, "x0 + x1 + x2 + 1 + 2 >= 0")
    with pytest.raises(CelRuntimeError, match="operation cancelled: actual cost limit exceeded"):
        compile_selector(dear).matches_value(DEVICE)
    assert compile_selector(nested(3, "x0 >= 0")).cost(DEVICE) < 1_000_000
    assert compile_selector(nested(3, "x0 >= 0")).matches_value(DEVICE)


def test_the_costs_of_deep_expressions_are_told_without_delay():
    deep = "(" * 30 + "device.driver" + ' + "a")' * 30 + ' == "b"'
    assert compile_selector(deep).most_cost > compile_selector(deep).cost(DEVICE) > 30
    assert compile_selector(f"[1].all(x, {deep})").matches_value(DEVICE) is False


def test_nothing_absorbs_that_it_was_cancelled():
    with pytest.raises(CelRuntimeError, match="cost limit exceeded"):
        compile_selector(f"{nested(4, 'x0 >= 0')} || true").matches_value(DEVICE)


def test_metering_changes_no_answer():
    for expression, _, _ in RECORDED:
        selector = compile_selector(expression)
        selector.cost(DEVICE)
        assert selector.matches_value(DEVICE) in (True, False)
