from __future__ import annotations

import pytest
from drakit.model import CounterConsumption, CounterSet, Device, DeviceRef, ResolvedPool, SharePolicy, Taint
from drakit.plan import Allocated, Allocator, DeviceClass, NodeView, SelectorFailed, SliceSet, Stage, inspect
from drakit.plan.cel import compile_selector, conjuncts, device_value

GPU = "gpu.example.com"
CLASSES = {"gpu": DeviceClass("gpu", (f'device.driver == "{GPU}"',)), "none": DeviceClass("none", ("false",))}
NODE = NodeView("n1")


def views(devices, *expressions, class_name="gpu", allocated=(), pool=(), **fields):
    selectors = [{"cel": {"expression": text}} for text in expressions]
    exactly = {"deviceClassName": class_name, "selectors": selectors} | fields
    claim = {"metadata": {"name": "c"}, "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}}}
    own = ResolvedPool(driver=GPU, name="n1", devices=tuple(devices), **dict(pool))
    held = Allocated(devices=[DeviceRef(GPU, "n1", name) for name in allocated])
    (verdict,) = Allocator(SliceSet.of_pools([own]), CLASSES, held).survey([claim], [NODE])
    (request,) = inspect(verdict.task)
    return request


def test_every_device_is_shown_with_the_first_question_it_does_not_get_past():
    counted = {"consumes": (CounterConsumption("c", {"m": 2}),)}
    devices = [
        Device(name="free", attributes={"x": 1}),
        Device(name="other", attributes={"x": 2}),
        Device(name="poison"),
        Device(name="held", attributes={"x": 1}),
        Device(name="tainted", attributes={"x": 1}, taints=(Taint("k"),)),
        Device(name="small", attributes={"x": 1}, capacity={"m": 1}),
        Device(name="partition", attributes={"x": 1}, **counted),
    ]
    request = views(
        devices,
        f'device.attributes["{GPU}"].x == 1',
        allocated=["held"],
        pool={"counters": (CounterSet("c", {"m": 1}),), "shares": {"small": SharePolicy()}},
    )
    assert {device.ref.name: device.stage for device in request.devices} == {
        "free": Stage.USABLE,
        "other": Stage.NOT_SELECTED,
        "poison": Stage.FAILED,
        "held": Stage.IN_USE,
        "tainted": Stage.TAINTED,
        "small": Stage.USABLE,
        "partition": Stage.NO_COUNTERS,
    }
    assert [device.ref.name for device in request.at(Stage.USABLE)] == ["free", "small"]
    (poison,) = request.at(Stage.FAILED)
    assert "fails on device gpu.example.com/n1/poison: no such key: x" in str(poison.error)


def test_a_device_of_another_class_and_one_without_room_are_told():
    request = views([Device(name="a")], class_name="none")
    assert [device.stage for device in request.devices] == [Stage.NOT_IN_CLASS]
    request = views([Device(name="a", capacity={"m": 1})], capacity={"requests": {"m": "2"}})
    assert [device.stage for device in request.devices] == [Stage.NO_ROOM]


def test_each_condition_of_a_selector_speaks_for_itself_with_the_values_it_reads():
    text = f'device.attributes["{GPU}"].x == 1 && (device.driver.startsWith("g") && has(device.attributes["d"].y))'
    request = views([Device(name="a", attributes={"x": 2})], text)
    of_class, own = request.devices[0].selectors
    assert of_class.criterion.where == "class 'gpu': selector 0"
    assert [(one.conjunct.text, one.holds) for one in own.conjuncts] == [
        (f'device.attributes["{GPU}"].x == 1', False),
        ('device.driver.startsWith("g")', True),
        ('has(device.attributes["d"].y)', False),
    ]
    assert own.conjuncts[0].values == {f'device.attributes["{GPU}"].x': 2}
    assert own.conjuncts[1].values == {"device.driver": GPU}
    assert own.conjuncts[2].values == {'has(device.attributes["d"].y)': False}


def test_a_condition_that_fails_says_so_and_so_does_what_it_reads():
    request = views([Device(name="a", attributes={"x": 2})], f'true && device.attributes["{GPU}"].y')
    own = request.devices[0].selectors[1].conjuncts[1]
    assert own.holds is None
    assert own.error == "no such key: y"
    assert str(next(iter(own.values.values()))) == "no such key: y"


def test_a_selector_that_is_no_cel_has_no_conditions():
    request = views([Device(name="a")], "1 +")
    assert request.devices[0].stage is Stage.FAILED
    with pytest.raises(SelectorFailed, match="does not compile"):
        _ = request.devices[0].selectors


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("true", ["true"]),
        ("true && false", ["true", "false"]),
        ("((true && false))", ["true", "false"]),
        ("(true) && (false)", ["(true)", "(false)"]),
        ("true && (false || true && false)", ["true", "(false || true && false)"]),
        ("true || false && true", ["true || false && true"]),
        ('["&&"].exists(x, x == "&&" && true) && true', ['["&&"].exists(x, x == "&&" && true)', "true"]),
        ("true // a && b\n && false", ["true // a && b", "false"]),
    ],
)
def test_a_selector_is_taken_apart_at_what_joins_it(text, parts):
    assert [one.text for one in conjuncts(compile_selector(text))] == parts


def test_the_conditions_of_a_selector_hold_together_exactly_if_it_does():
    device = device_value(Device(name="a", attributes={"x": 2, "y": "z"}), GPU, shared=False)
    for text in (
        f'device.attributes["{GPU}"].x == 2 && device.attributes["{GPU}"].y == "z"',
        f'device.attributes["{GPU}"].x == 2 && device.attributes["{GPU}"].y != "z"',
        f'cel.bind(a, device.attributes["{GPU}"], a.x == 2 && a.y == "z")',
    ):
        selector = compile_selector(text)
        assert all(one.verdict(device) for one in conjuncts(selector)) is selector.matches_value(device)
