"""Every limit of the API server that the model checks, on both sides of its boundary.

Sources: validation of `resource.k8s.io/v1`, Kubernetes 1.34 to 1.37. A message names field, limit and value.
"""

from __future__ import annotations

import pytest
from drakit import (
    ALL_NODES,
    PER_DEVICE,
    THIS_NODE,
    BindingConditions,
    ContainerEdits,
    CounterConsumption,
    CounterSet,
    Device,
    DeviceGroup,
    DeviceNode,
    DeviceRef,
    Health,
    Mount,
    NodeSelector,
    NodeSelectorRequirement,
    Pool,
    PreparedDevice,
    Taint,
    Version,
)
from drakit.errors import DuplicateDevice, LimitExceeded


def device(**more) -> Device:
    return Device("gpu-0", **more)


def numbered(count: int, value=1) -> dict:
    return {f"a{index}": value for index in range(count)}


def consumption(*names: str, **counters: int) -> list[CounterConsumption]:
    return [CounterConsumption(name, counters or {"memory": 1}) for name in names]


def conditions(count: int, prefix: str = "c") -> list[str]:
    return [f"example.com/{prefix}{index}" for index in range(count)]


def selector() -> NodeSelector:
    return NodeSelector((NodeSelectorRequirement("rack", "In", ("a",)),))


DOMAIN_63 = "a" * 60 + ".io"
POOL_253 = "/".join(["a" * 63] * 3) + "/" + "b" * 61

# What stands just inside a limit, and just outside it; then what the message must name.
LIMITS = {
    "driver name length": (
        lambda: DeviceRef(DOMAIN_63, "p", "d"),
        lambda: DeviceRef("a" + DOMAIN_63, "p", "d"),
        ("DeviceRef.driver", "at most 63", "aaaa"),
    ),
    "pool name length": (
        lambda: DeviceRef("d.io", POOL_253, "d"),
        lambda: DeviceRef("d.io", POOL_253 + "b", "d"),
        ("DeviceRef.pool", "at most 253", "aaaa"),
    ),
    "device name length": (
        lambda: Device("g" * 63),
        lambda: Device("g" * 64),
        ("Device.name", "at most 63", "gggg"),
    ),
    "attributes and capacity together": (
        lambda: device(attributes=numbered(30), capacity={"x": 1, "y": 1}),
        lambda: device(attributes=numbered(31), capacity={"x": 1, "y": 1}),
        ("device 'gpu-0': attributes and capacity", "at most 32", "got 33"),
    ),
    "attribute values": (
        lambda: device(attributes={"a": tuple(range(24)), "b": tuple(range(24))}),
        lambda: device(attributes={"a": tuple(range(24)), "b": tuple(range(24)), "c": 1}),
        ("device 'gpu-0': attributes", "at most 48", "got 49"),
    ),
    "string attribute, in bytes": (
        lambda: device(attributes={"a": "ä" * 32}),
        lambda: device(attributes={"a": "ä" * 32 + "x"}),
        ("attribute 'a'", "at most 64 bytes", "ää"),
    ),
    "string attribute in a list": (
        lambda: device(attributes={"a": ("x" * 64,)}),
        lambda: device(attributes={"a": ("x" * 65,)}),
        ("attribute 'a'", "at most 64 bytes", "xxxx"),
    ),
    "highest int attribute": (
        lambda: device(attributes={"a": 2**63 - 1}),
        lambda: device(attributes={"a": 2**63}),
        ("attribute 'a'", "64-bit", "9223372036854775808"),
    ),
    "lowest int attribute": (
        lambda: device(attributes={"a": -(2**63)}),
        lambda: device(attributes={"a": -(2**63) - 1}),
        ("attribute 'a'", "64-bit", "-9223372036854775809"),
    ),
    "list attribute is not empty": (
        lambda: device(attributes={"a": (1,)}),
        lambda: device(attributes={"a": ()}),
        ("attribute 'a'", "empty list", "()"),
    ),
    "list attribute is of one type": (
        lambda: device(attributes={"a": (True, False)}),
        lambda: device(attributes={"a": (True, 1)}),
        ("attribute 'a'", "one type", "(True, 1)"),
    ),
    "attribute type": (
        lambda: device(attributes={"a": Version("1.0.0")}),
        lambda: device(attributes={"a": 1.5}),
        ("attribute 'a'", "bool, int, str, Version", "1.5"),
    ),
    "attribute name length": (
        lambda: device(attributes={"a" * 32: 1}),
        lambda: device(attributes={"a" * 33: 1}),
        ("attribute 'aaa", "at most 32", "got 'aaa"),
    ),
    "attribute domain length": (
        lambda: device(attributes={f"{DOMAIN_63}/a": 1}),
        lambda: device(attributes={f"a{DOMAIN_63}/a": 1}),
        ("the domain", "at most 63", "aaaa"),
    ),
    "capacity name": (
        lambda: device(capacity={"memory_1": 1}),
        lambda: device(capacity={"memory-1": 1}),
        ("capacity 'memory-1'", "C identifier", "memory-1"),
    ),
    "taints": (
        lambda: device(taints=[Taint(f"t{i}") for i in range(16)]),
        lambda: device(taints=[Taint(f"t{i}") for i in range(17)]),
        ("device 'gpu-0': taints", "at most 16", "got 17"),
    ),
    "taint key name length": (
        lambda: Taint("example.com/" + "k" * 63),
        lambda: Taint("example.com/" + "k" * 64),
        ("Taint.key", "63", "kkkk"),
    ),
    "taint key domain length": (
        lambda: Taint(".".join(["d" * 63] * 3 + ["e" * 61]) + "/k"),
        lambda: Taint(".".join(["d" * 63] * 3 + ["e" * 62]) + "/k"),
        ("Taint.key", "DNS domain", "dddd"),
    ),
    "taint value length": (
        lambda: Taint("k", "v" * 63),
        lambda: Taint("k", "v" * 64),
        ("Taint.value", "at most 63", "vvvv"),
    ),
    "counter sets consumed": (
        lambda: device(consumes=consumption("s1", "s2")),
        lambda: device(consumes=consumption("s1", "s2", "s3")),
        ("device 'gpu-0': consumes", "at most 2", "got 3"),
    ),
    "each counter set consumed once": (
        lambda: device(consumes=consumption("s1", "s2")),
        lambda: device(consumes=consumption("s1", "s1")),
        ("device 'gpu-0': consumes", "each counter set once", "s1"),
    ),
    "counters of a set": (
        lambda: CounterSet("s", numbered(32)),
        lambda: CounterSet("s", numbered(33)),
        ("counter set 's'", "at most 32", "got 33"),
    ),
    "a counter set is not empty": (
        lambda: CounterSet("s", {"c": 1}),
        lambda: CounterSet("s", {}),
        ("counter set 's'", "at least 1", "got 0"),
    ),
    "counters consumed": (
        lambda: CounterConsumption("s", numbered(32)),
        lambda: CounterConsumption("s", numbered(33)),
        ("consumption of 's'", "at most 32", "got 33"),
    ),
    "counter name": (
        lambda: CounterSet("s", {"memory-gb": 1}),
        lambda: CounterSet("s", {"memory_gb": 1}),
        ("counter set 's': the name of a counter", "DNS label", "memory_gb"),
    ),
    "counter set name": (
        lambda: CounterSet("s" * 63, {"c": 1}),
        lambda: CounterSet("s" * 64, {"c": 1}),
        ("CounterSet.name", "at most 63", "ssss"),
    ),
    "binding conditions": (
        lambda: BindingConditions(conditions(4), conditions(4, "f")),
        lambda: BindingConditions(conditions(5), conditions(4, "f")),
        ("BindingConditions.conditions", "at most 4", "got 5"),
    ),
    "binding failure conditions": (
        lambda: BindingConditions(conditions(1), conditions(4, "f")),
        lambda: BindingConditions(conditions(1), conditions(5, "f")),
        ("BindingConditions.failure_conditions", "at most 4", "got 5"),
    ),
    "binding conditions come with failure conditions": (
        lambda: BindingConditions(conditions(1), conditions(1, "f")),
        lambda: BindingConditions(conditions(1), ()),
        ("BindingConditions.failure_conditions", "at least 1", "got 0"),
    ),
    "binding conditions do not overlap": (
        lambda: BindingConditions(conditions(2), conditions(1, "f")),
        lambda: BindingConditions(conditions(2), conditions(1)),
        ("BindingConditions", "twice", "example.com/c0"),
    ),
    "binding condition name": (
        lambda: BindingConditions(["example.com/Ready"], ["Failed"]),
        lambda: BindingConditions(["not ready"], ["Failed"]),
        ("BindingConditions.conditions", "label name", "not ready"),
    ),
    "node selector operator": (
        lambda: NodeSelectorRequirement("rack", "NotIn", ("a",)),
        lambda: NodeSelectorRequirement("rack", "Is", ("a",)),
        ("NodeSelectorRequirement.operator", "one of In, NotIn", "'Is'"),
    ),
    "node selector key": (
        lambda: NodeSelectorRequirement("example.com/rack", "Exists"),
        lambda: NodeSelectorRequirement("my rack", "Exists"),
        ("NodeSelectorRequirement.key", "label name", "my rack"),
    ),
    "node selector without values": (
        lambda: NodeSelectorRequirement("rack", "Exists"),
        lambda: NodeSelectorRequirement("rack", "In"),
        ("NodeSelectorRequirement.values for In", "at least 1", "got 0"),
    ),
    "node selector with a value too many": (
        lambda: NodeSelectorRequirement("rack", "Gt", ("1",)),
        lambda: NodeSelectorRequirement("rack", "DoesNotExist", ("1",)),
        ("NodeSelectorRequirement.values for DoesNotExist", "at most 0", "got 1"),
    ),
    "node selector value": (
        lambda: NodeSelectorRequirement("rack", "In", ("a",)),
        lambda: NodeSelectorRequirement("rack", "In", ("a b",)),
        ("NodeSelectorRequirement.values", "label value", "a b"),
    ),
    "node selector on fields": (
        lambda: NodeSelectorRequirement("metadata.name", "In", ("node-1",), on_fields=True),
        lambda: NodeSelectorRequirement("spec.unschedulable", "In", ("true",), on_fields=True),
        ("NodeSelectorRequirement", "must be metadata.name", "spec.unschedulable"),
    ),
    "node selector on a name": (
        lambda: NodeSelectorRequirement("metadata.name", "NotIn", ("node-1",), on_fields=True),
        lambda: NodeSelectorRequirement("metadata.name", "In", ("node-1", "node-2"), on_fields=True),
        ("NodeSelectorRequirement", "with one value", "node-2"),
    ),
    "node selector is not empty": (
        selector,
        lambda: NodeSelector(()),
        ("NodeSelector.requirements", "at least 1", "got 0"),
    ),
    "device nodes only where the pool says so": (
        lambda: Pool([device(nodes=ALL_NODES)], nodes=PER_DEVICE),
        lambda: Pool([device(nodes=ALL_NODES)]),
        ("device 'gpu-0': nodes", "PER_DEVICE", "every node"),
    ),
    "device nodes wherever the pool says so": (
        lambda: Pool([device(nodes=selector())], nodes=PER_DEVICE),
        lambda: Pool([device()], nodes=PER_DEVICE),
        ("device 'gpu-0': nodes", "PER_DEVICE", "None"),
    ),
    "device nodes are nodes": (
        lambda: device(nodes=ALL_NODES),
        lambda: device(nodes=THIS_NODE),
        ("device 'gpu-0': nodes", "ALL_NODES or a NodeSelector", "THIS_NODE"),
    ),
    "consumed counters exist": (
        lambda: Pool([device(consumes=consumption("s"))], counters=[CounterSet("s", {"memory": 2})]),
        lambda: Pool([device(consumes=consumption("s", cores=1))], counters=[CounterSet("s", {"memory": 2})]),
        ("'gpu-0' consumes s/cores", "counter of the pool", "'s'"),
    ),
    "consumed counter sets exist": (
        lambda: Pool([device()], counters=[CounterSet("s", {"memory": 2})]),
        lambda: Pool([device(consumes=consumption("t"))], counters=[CounterSet("s", {"memory": 2})]),
        ("'gpu-0' consumes t/memory", "counter of the pool", "'s'"),
    ),
    "pool name": (
        lambda: Pool((), name="node-1/slice-a"),
        lambda: Pool((), name="node-1//a"),
        ("Pool.name", "joined by '/'", "node-1//a"),
    ),
    "group attribute has a domain": (
        lambda: DeviceGroup("example.com/group", "a", ()),
        lambda: DeviceGroup("group", "a", ()),
        ("DeviceGroup.attribute", "`domain/`", "'group'"),
    ),
    "group value": (
        lambda: DeviceGroup("example.com/group", "a" * 64, ()),
        lambda: DeviceGroup("example.com/group", "a" * 65, ()),
        ("example.com/group", "at most 64 bytes", "aaaa"),
    ),
    "version length": (
        lambda: Version("1.0.0-" + "a" * 58),
        lambda: Version("1.0.0-" + "a" * 59),
        ("Version", "at most 64", "1.0.0-aaa"),
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_value_at_the_limit_is_taken(name):
    LIMITS[name][0]()


@pytest.mark.parametrize("name", LIMITS)
def test_a_value_past_the_limit_is_refused_naming_field_limit_and_value(name):
    _, outside, parts = LIMITS[name]
    with pytest.raises(LimitExceeded) as caught:
        outside()
    for part in parts:
        assert part in str(caught.value)


def test_two_devices_of_one_name_are_refused_naming_pool_and_device():
    with pytest.raises(DuplicateDevice, match="pool 'rack' has device 'gpu-0' more than once"):
        Pool([device(), Device("gpu-1"), device()], name="rack")


def test_two_counter_sets_of_one_name_are_refused():
    with pytest.raises(DuplicateDevice, match="counter set 's' more than once"):
        Pool((), counters=[CounterSet("s", {"a": 1}), CounterSet("s", {"b": 1})])


def test_a_string_is_not_taken_for_a_sequence_of_letters():
    with pytest.raises(TypeError, match="not the string 'gpu-0'"):
        Pool("gpu-0")
    with pytest.raises(TypeError, match="not the string 'ro'"):
        Mount("/a", "/b", "ro")


@pytest.mark.parametrize("value", [True, 1.5, None, [], "", "x", "1 Gi", "1GB", "0x10", "1e", "--1", "1\n", "1_000"])
def test_what_is_no_quantity_is_refused(value):
    with pytest.raises(LimitExceeded, match="Quantity must be"):
        device(capacity={"memory": value})


def test_a_health_message_is_cut_to_what_the_kubelet_takes():
    report = Health(DeviceRef("d.io", "p", "d"), "Unhealthy", "x" * 2000)
    assert len(report.message) == 1024


def test_what_is_handed_in_is_copied_and_cannot_be_changed_later():
    attributes = {"index": 1}
    made = device(attributes=attributes)
    attributes["index"] = 2
    assert made.attributes["index"] == 1
    with pytest.raises(TypeError):
        made.attributes["index"] = 3


def test_more_attributes_make_another_device():
    made = device(attributes={"a": 1, "b": 1})
    assert dict(made.with_attributes({"b": 2, "c": 3}).attributes) == {"a": 1, "b": 2, "c": 3}
    assert dict(made.attributes) == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    "edits",
    [
        lambda: ContainerEdits(env={"INDEX": 1}),
        lambda: ContainerEdits(device_nodes=[7]),
        lambda: ContainerEdits(device_nodes=[DeviceNode(None)]),
        lambda: ContainerEdits(mounts=["/dev"]),
        lambda: ContainerEdits(mounts=[Mount("/a", None)]),
        lambda: ContainerEdits(additional_gids=["video"]),
        lambda: PreparedDevice("r", DeviceRef("d.io", "p", "d"), state={"index": 1}),
        lambda: PreparedDevice("r", DeviceRef("d.io", "p", "d"), edits=None),
    ],
)
def test_edits_of_another_type_are_refused_where_they_are_made(edits):
    """What the journal and the CDI file could not hold must not come as far as them."""
    with pytest.raises(TypeError):
        edits()
