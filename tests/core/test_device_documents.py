"""Devices, taints, counters and node selection: to the API's JSON and back."""

from __future__ import annotations

import enum
import json
import string

import pytest
from drakit import (
    ALL_NODES,
    BindingConditions,
    CounterConsumption,
    CounterSet,
    Device,
    NodeSelector,
    NodeSelectorRequirement,
    Quantity,
    RequestPolicy,
    SharePolicy,
    Taint,
    TaintEffect,
    ValidRange,
    Version,
)
from drakit.documents import (
    attribute_from_api,
    attribute_to_api,
    counter_set_from_api,
    counter_set_to_api,
    device_from_api,
    device_to_api,
    nodes_from_api,
    taint_from_api,
)
from hypothesis import given
from hypothesis import strategies as st

labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
identifiers = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,31}", fullmatch=True)
names = identifiers | st.builds("{}/{}".format, labels, identifiers)
quantities = st.builds(Quantity, st.integers(0, 2**62) | st.from_regex(r"[0-9]{1,6}(Ki|Gi|m|k|)", fullmatch=True))
versions = st.builds("{}.{}.{}".format, *[st.integers(0, 99)] * 3).map(Version)
texts = st.text(string.ascii_letters + "äöü-", max_size=20)
scalars = st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts | versions
lists = st.one_of(*(st.lists(kind, min_size=1, max_size=4).map(tuple) for kind in (st.booleans(), texts, versions)))
counters = st.dictionaries(labels, quantities, min_size=1, max_size=3)
taints = st.builds(Taint, labels, st.just("") | labels, st.sampled_from(TaintEffect))
conditions = st.lists(labels, min_size=2, max_size=8, unique=True).map(
    lambda found: BindingConditions(found[: (len(found) + 1) // 2], found[(len(found) + 1) // 2 :])
)
sets = st.sampled_from(["In", "NotIn"])
requirements = st.one_of(
    st.builds(NodeSelectorRequirement, labels, sets, st.lists(labels, min_size=1, max_size=3)),
    st.builds(NodeSelectorRequirement, labels, st.sampled_from(["Exists", "DoesNotExist"])),
    st.builds(NodeSelectorRequirement, labels, st.sampled_from(["Gt", "Lt"]), st.lists(labels, min_size=1, max_size=1)),
    st.builds(
        NodeSelectorRequirement, st.just("metadata.name"), sets, st.lists(labels, min_size=1, max_size=1), st.just(True)
    ),
)
selectors = st.lists(requirements, min_size=1, max_size=3).map(
    # The API keeps expressions over labels apart from those over fields.
    lambda found: NodeSelector(sorted(found, key=lambda requirement: requirement.on_fields))
)


@st.composite
def policies(draw) -> RequestPolicy:
    low, step, count = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 5))
    values = [low + step * index for index in range(count)]
    if draw(st.booleans()):
        return RequestPolicy(default=draw(st.sampled_from(values)), valid_values=values)
    limits = ValidRange(
        minimum=low, maximum=draw(st.none() | st.just(values[-1])), step=draw(st.none() | st.just(step))
    )
    return RequestPolicy(default=low, valid_range=limits)


@st.composite
def devices(draw) -> tuple[Device, SharePolicy | None]:
    capacity = draw(st.dictionaries(identifiers, quantities, max_size=4))
    device = Device(
        draw(labels),
        attributes=draw(st.dictionaries(names, scalars | lists, max_size=8)),
        capacity=capacity,
        taints=draw(st.lists(taints, max_size=3)),
        consumes=draw(
            st.lists(st.builds(CounterConsumption, labels, counters), max_size=2, unique_by=lambda c: c.counter_set)
        ),
        binding=draw(st.none() | conditions),
        nodes=draw(st.none() | st.just(ALL_NODES) | selectors),
    )
    share = draw(st.none() | st.fixed_dictionaries({}, optional=dict.fromkeys(capacity, policies())).map(SharePolicy))
    return device, share


@given(devices())
def test_a_device_comes_back_from_the_api_as_it_was(pair):
    device, share = pair
    back = device_from_api(json.loads(json.dumps(device_to_api(device, share))))
    assert back == (device, share)
    kinds = {name: type(value) for name, value in device.attributes.items()}
    assert {name: type(value) for name, value in back[0].attributes.items()} == kinds


@given(labels, counters)
def test_a_counter_set_comes_back_as_it_was(name, found):
    counter_set = CounterSet(name, found)
    assert counter_set_from_api(json.loads(json.dumps(counter_set_to_api(counter_set)))) == counter_set


def test_what_a_device_does_not_have_is_left_out():
    assert device_to_api(Device("gpu-0")) == {"name": "gpu-0"}
    assert device_to_api(Device("gpu-0"), SharePolicy()) == {"name": "gpu-0", "allowMultipleAllocations": True}


class Model(enum.StrEnum):
    A1 = "a1"


class Generation(enum.IntEnum):
    THIRD = 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, {"bool": True}),
        (1, {"int": 1}),
        ("a", {"string": "a"}),
        ("", {"string": ""}),
        (Version("1.2.3"), {"version": "1.2.3"}),
        ((False,), {"bools": [False]}),
        ((0, 1), {"ints": [0, 1]}),
        (("a",), {"strings": ["a"]}),
        ((Version("1.0.0"),), {"versions": ["1.0.0"]}),
        (Model.A1, {"string": "a1"}),
        (Generation.THIRD, {"int": 3}),
        ((Model.A1,), {"strings": ["a1"]}),
    ],
)
def test_an_attribute_is_one_of_the_apis_kinds(value, expected):
    assert attribute_to_api(Device("d", attributes={"a": value}).attributes["a"]) == expected
    assert attribute_from_api(expected) == value


def test_an_attribute_of_no_known_kind_is_a_key_error():
    with pytest.raises(KeyError):
        attribute_from_api({"float": 1.5})


def test_a_taint_is_read_without_the_time_it_was_added():
    document = {"key": "example.com/hot", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}
    assert taint_from_api(document) == Taint("example.com/hot", "", TaintEffect.NO_EXECUTE)


def test_a_node_name_is_the_selector_of_that_node():
    assert nodes_from_api({"nodeName": "node-1"}) == NodeSelector(
        (NodeSelectorRequirement("metadata.name", "In", ("node-1",), on_fields=True),)
    )
    assert nodes_from_api({}) is None
