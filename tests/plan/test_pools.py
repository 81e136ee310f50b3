from __future__ import annotations

import pytest
from drakit.model import ALL_NODES, PER_DEVICE, NodeSelector, NodeSelectorRequirement
from drakit.plan import InvalidDocument, NodeView, NotSupported, read_slices
from drakit.plan.nodes import NamedNode, reaches

NODE = NodeView("n1", {"zone": "a", "cores": "96"})


def slice_of(name, *devices, pool="p", generation=1, count=1, driver="gpu.example.com", **spec):
    where = {} if {"allNodes", "nodeSelector", "perDeviceNodeSelection"} & set(spec) else {"nodeName": "n1"}
    return {
        "metadata": {"name": name},
        "spec": {
            "driver": driver,
            "pool": {"name": pool, "generation": generation, "resourceSliceCount": count},
            "devices": [{"name": device} if isinstance(device, str) else device for device in devices],
        }
        | where
        | spec,
    }


def pools_of(slices, node=NODE):
    return read_slices(slices).pools(node)


def names(pool):
    return [offer.device.name for one in pool.slices for offer in one.content.offers]


def test_slices_of_a_pool_are_put_together_by_name():
    (pool,) = pools_of([slice_of("s2", "c", count=2), slice_of("s1", "b", "a", count=2)])
    assert names(pool) == ["b", "a", "c"]
    assert pool.slices[0].nodes == NamedNode((NodeSelectorRequirement("metadata.name", "In", ("n1",), on_fields=True),))


def test_only_the_highest_generation_counts():
    (pool,) = pools_of([slice_of("old", "a", generation=1), slice_of("new", "b", generation=2)])
    assert names(pool) == ["b"]


def test_a_pool_that_is_being_updated_is_not_used_and_says_so():
    (pool,) = pools_of([slice_of("s", "a", generation=2, count=2), slice_of("t", "b", generation=1)])
    assert pool.incomplete
    assert names(pool) == []
    assert pool.problem == "it has 1 of 2 slices: it is being updated"


@pytest.mark.parametrize(
    ("slices", "reason"),
    [
        ([slice_of("s", "a", count=2), slice_of("t", "a", count=2)], "device 'a' is in it more than once"),
        (
            [
                slice_of(
                    "s", {"name": "a", "consumesCounters": [{"counterSet": "c", "counters": {"m": {"value": "1"}}}]}
                )
            ],
            "device 'a' consumes c/m, which it has not",
        ),
    ],
)
def test_a_pool_that_contradicts_itself_is_not_used_and_says_so(slices, reason):
    (pool,) = pools_of(slices)
    assert not pool.incomplete
    assert names(pool) == []
    assert pool.problem == reason


def test_slices_for_other_nodes_are_no_part_of_the_pool_but_make_it_whole():
    (pool,) = pools_of([slice_of("s", "a", count=2), slice_of("t", "b", count=2, nodeName="n2")])
    assert names(pool) == ["a"]
    assert [one.name for one in pool.far] == ["t"]


def test_a_pool_moving_to_another_node_is_not_used_while_slices_of_it_are_missing():
    """The node reaches the old generation only, which is no longer whole, and the new one is elsewhere."""
    slices = [slice_of("s", "a", generation=1, count=2), slice_of("t", "b", generation=2, nodeName="n2")]
    assert pools_of(slices) == ()


def test_a_node_sees_the_generation_it_can_reach():
    """A pool that moves to another node still serves the old one until its slices are gone, as for the scheduler."""
    slices = [slice_of("s", "a", generation=1), slice_of("t", "b", generation=2, nodeName="n2")]
    assert [names(pool) for pool in pools_of(slices)] == [["a"]]
    assert [names(pool) for pool in pools_of(slices, NodeView("n2"))] == [["b"]]
    assert pools_of(slices, NodeView("n3")) == ()


def test_slices_that_list_the_same_devices_share_them():
    slices = [slice_of("s", "a"), slice_of("t", "a", pool="q"), slice_of("u", "a", driver="nic.example.com", pool="r")]
    contents = [pool.slices[0].content for pool in pools_of(slices)]
    assert contents[0] is contents[1]
    assert contents[2] is not contents[0]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({}, "must have a driver and a pool"),
        (slice_of("s", {"name": "a b"}), r"ResourceSlice 's': spec.devices\[0\]: "),
        (slice_of("s", {"name": "a", "attributes": {"x": {}}}), r"devices\[0\]: missing or unknown: 'version'"),
        (slice_of("s", {"name": "a", "capacity": {"x": {"value": "1Q"}}}), r"devices\[0\]: "),
        (slice_of("s", sharedCounters=[{"name": "c"}]), "sharedCounters: missing or unknown: 'counters'"),
        (slice_of("s", "a", nodeName=""), "must say its nodes"),
    ],
)
def test_a_slice_the_server_would_not_have_taken_is_refused_with_the_path(document, problem):
    with pytest.raises(InvalidDocument, match=problem):
        read_slices([document])


@pytest.mark.parametrize(
    "device",
    [
        {"name": "a", "nodeAllocatableResources": [{}]},
        {"name": "a", "consumesCounters": [{"counterSet": "c", "counters": {}, "compatibilityGroups": ["x"]}]},
    ],
)
def test_a_device_feature_the_planner_does_not_know_is_refused(device):
    with pytest.raises(NotSupported):
        read_slices([slice_of("s", device)])


@pytest.mark.parametrize(
    ("key", "operator", "values", "on_fields", "expected"),
    [
        ("zone", "In", ("a", "b"), False, True),
        ("zone", "In", ("b",), False, False),
        ("zone", "NotIn", ("b",), False, True),
        ("rack", "NotIn", ("b",), False, True),
        ("zone", "Exists", (), False, True),
        ("rack", "Exists", (), False, False),
        ("rack", "DoesNotExist", (), False, True),
        ("cores", "Gt", ("95",), False, True),
        ("cores", "Lt", ("96",), False, False),
        ("zone", "Gt", ("1",), False, False),
        ("rack", "Lt", ("1",), False, False),
        ("metadata.name", "In", ("n1",), True, True),
        ("metadata.name", "NotIn", ("n1",), True, False),
    ],
)
def test_a_selector_is_asked_of_labels_and_of_the_name(key, operator, values, on_fields, expected):
    selector = NodeSelector((NodeSelectorRequirement(key, operator, values, on_fields),))
    assert reaches(selector, NODE) is expected


def test_every_node_and_no_node():
    assert reaches(ALL_NODES, NODE)
    assert not reaches(None, NODE)
    assert not reaches(PER_DEVICE, NODE)
