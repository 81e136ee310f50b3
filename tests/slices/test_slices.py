"""Packing pools into ResourceSlices, and telling when two slices mean the same."""

from __future__ import annotations

import copy
import json

import pytest
from drakit.errors import LimitExceeded
from drakit.model import (
    ALL_NODES,
    PER_DEVICE,
    CounterConsumption,
    CounterSet,
    Device,
    NodeSelector,
    NodeSelectorRequirement,
    RequestPolicy,
    ResolvedPool,
    SharePolicy,
    Taint,
)
from drakit.slices import (
    differences,
    index_of,
    keep_taint_times,
    left_out,
    pool_slices,
    same_spec,
    slice_document,
    without_lists,
)
from hypothesis import given
from hypothesis import strategies as st

NODE = "node-1"
TAINTS = [(), (Taint("example.com/broken"),), (Taint("example.com/hot"), Taint("example.com/broken"))]


def pool_of(devices, **more) -> ResolvedPool:
    return ResolvedPool(driver="gpu.example.com", name=NODE, devices=devices, **more)


def specs_of(devices, *, split_counters: bool = True, **more) -> list[dict]:
    return list(pool_slices(pool_of(devices, **more), NODE, split_counters=split_counters).specs)


def names(specs) -> list[str]:
    return [device["name"] for spec in specs for device in spec.get("devices", [])]


@st.composite
def device_lists(draw) -> list[Device]:
    runs = draw(st.lists(st.tuples(st.integers(1, 90), st.sampled_from(TAINTS), st.booleans()), max_size=6))
    devices: list[Device] = []
    for count, taints, listed in runs:
        for _ in range(count):
            attributes = {"planes": (1, 2)} if listed else {}
            devices.append(Device(f"gpu-{len(devices)}", taints=taints, attributes=attributes))
    return devices


@given(device_lists())
def test_every_device_is_in_exactly_one_slice_and_order_is_kept(devices):
    assert names(specs_of(devices)) == [device.name for device in devices]


@given(device_lists())
def test_no_slice_is_over_the_limits_and_all_know_their_number(devices):
    specs = specs_of(devices)
    for spec in specs:
        content = spec.get("devices", [])
        demanding = any(
            device.get("taints") or any("ints" in value for value in device.get("attributes", {}).values())
            for device in content
        )
        assert len(content) <= (64 if demanding else 128)
        assert spec["pool"] == {"name": NODE, "resourceSliceCount": len(specs)}
        assert spec["nodeName"] == NODE


@given(device_lists())
def test_an_empty_part_is_left_out(devices):
    def parts(value):
        yield value
        for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from parts(child)

    for spec in specs_of(devices):
        assert not any(part in (None, [], {}, "") for part in parts(spec) if not isinstance(part, bool | int))


@given(device_lists())
def test_a_slice_equals_itself_after_a_round_through_json(devices):
    for spec in specs_of(devices):
        assert same_spec(spec, json.loads(json.dumps(spec)))


def test_neighbours_with_the_same_taints_share_a_slice():
    taint = (Taint("example.com/broken"),)
    devices = [Device(f"a{i}") for i in range(60)] + [Device(f"b{i}", taints=taint) for i in range(8)]
    assert [len(spec["devices"]) for spec in specs_of(devices)] == [60, 8]


def test_an_untainted_pool_fills_its_slices():
    assert [len(spec["devices"]) for spec in specs_of([Device(f"a{i}") for i in range(200)])] == [128, 72]


def test_a_pool_without_devices_is_one_empty_slice():
    assert specs_of([]) == [
        {"driver": "gpu.example.com", "pool": {"name": NODE, "resourceSliceCount": 1}, "nodeName": NODE}
    ]


def partitions(gpus: int, each: int) -> tuple[list[Device], list[CounterSet]]:
    counters = [CounterSet(f"gpu-{gpu}", {"memory": "80Gi", "engines": 7}) for gpu in range(gpus)]
    devices = [
        Device(f"gpu-{gpu}-part-{part}", consumes=(CounterConsumption(f"gpu-{gpu}", {"memory": "10Gi"}),))
        for gpu in range(gpus)
        for part in range(each)
    ]
    return devices, counters


def test_counter_sets_have_slices_of_their_own_of_at_most_eight():
    devices, counters = partitions(10, 9)
    specs = specs_of(devices, counters=counters)
    assert [len(spec.get("sharedCounters", [])) for spec in specs] == [8, 2, 0, 0]
    assert [len(spec.get("devices", [])) for spec in specs] == [0, 0, 64, 26]
    assert {spec["pool"]["resourceSliceCount"] for spec in specs} == {4}


@given(st.integers(1, 40), st.integers(1, 30))
def test_before_1_35_devices_stand_beside_the_counters_they_consume(gpus, each):
    devices, counters = partitions(gpus, each)
    specs = specs_of(devices, counters=counters, split_counters=False)
    assert names(specs) == [device.name for device in devices]
    for spec in specs:
        offered = {item["name"]: item["counters"] for item in spec["sharedCounters"]}
        consumed = {item["counterSet"] for device in spec["devices"] for item in device["consumesCounters"]}
        assert consumed == offered.keys()
        assert sum(map(len, offered.values())) <= 32
        assert len(spec["devices"]) <= 128
    published = [item["name"] for spec in specs for item in spec["sharedCounters"]]
    assert published == [counter_set.name for counter_set in counters]


def test_before_1_35_sets_joined_by_one_device_share_a_slice():
    counters = [CounterSet(name, {f"c{i}": 1 for i in range(20)}) for name in ("a", "b", "c")]

    def device(name: str, *sets: str) -> Device:
        return Device(name, consumes=tuple(CounterConsumption(item, {"c0": 1}) for item in sets))

    devices = [device("d0", "a"), device("d1", "c"), device("d2", "b"), Device("plain")]
    assert [names([spec]) for spec in specs_of(devices, counters=counters, split_counters=False)] == [
        ["d0"],
        ["d1"],
        ["d2", "plain"],
    ]
    with pytest.raises(LimitExceeded, match=r"share counters with 'd0'.*32 counters"):
        specs_of([*devices, device("d3", "a", "b")], counters=counters, split_counters=False)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (ALL_NODES, {"allNodes": True}),
        (
            NodeSelector((NodeSelectorRequirement("rack", "In", ("r1",)),)),
            {
                "nodeSelector": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "rack", "operator": "In", "values": ["r1"]}]},
                    ]
                }
            },
        ),
        (PER_DEVICE, {"perDeviceNodeSelection": True}),
    ],
)
def test_a_pool_says_in_one_way_which_nodes_it_is_for(nodes, expected):
    devices = [Device("port-0", nodes=ALL_NODES if nodes is PER_DEVICE else None)]
    slices = pool_slices(pool_of(devices, nodes=nodes), NODE)
    (spec,) = slices.specs
    selection = {"nodeName", "allNodes", "nodeSelector", "perDeviceNodeSelection"}
    assert {key: spec[key] for key in selection & spec.keys()} == expected
    assert not slices.node_local


def test_a_shared_device_is_published_with_its_policy():
    share = SharePolicy({"memory": RequestPolicy(default="1Gi")})
    (spec,) = specs_of([Device("gpu-0", capacity={"memory": "80Gi"})], shares={"gpu-0": share})
    assert spec["devices"][0]["allowMultipleAllocations"] is True
    assert spec["devices"][0]["capacity"]["memory"] == {"value": "80Gi", "requestPolicy": {"default": "1Gi"}}


def test_a_slice_belongs_to_the_node_and_is_named_by_its_place():
    (spec,) = specs_of([Device("gpu-0")])
    document = slice_document(spec, index=26, generation=3, node=NODE, node_uid="u-1")
    assert document["metadata"]["generateName"] == "0001a-gpu.example.com-node-1-"
    (owner,) = document["metadata"]["ownerReferences"]
    assert owner == {"apiVersion": "v1", "kind": "Node", "name": NODE, "uid": "u-1", "controller": True}
    assert document["spec"]["pool"]["generation"] == 3
    assert "generation" not in spec["pool"]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("0001a-gpu.example.com-node-1-x7k2p", 26),
        ("100000-gpu.example.com-node-1-x7k2p", 0x100000),
        ("node-1-gpu.example.com-x7k2p", None),
        ("0001a-other.example.com-node-1-x7k2p", None),
        ("1a-gpu.example.com-node-1-x7k2p", None),
        ("", None),
    ],
)
def test_the_place_of_a_slice_is_read_from_its_name(name, index):
    assert index_of(name, "gpu.example.com") == index


def test_a_long_driver_name_that_the_server_cut_is_still_recognised():
    driver = "a" * 63
    assert index_of(f"00002-{driver}"[:58] + "abcde", driver) == 2


def rich_spec() -> dict:
    devices, counters = partitions(1, 1)
    devices[0] = Device(
        "gpu-0",
        attributes={"capacity": "1000", "index": 0, "fast": False},
        capacity={"memory": "1Gi"},
        taints=(Taint("example.com/hot"),),
        consumes=devices[0].consumes,
    )
    share = SharePolicy({"memory": RequestPolicy(default="1024Mi")})
    (spec,) = specs_of(devices, counters=counters, shares={"gpu-0": share}, split_counters=False)
    return spec


def test_quantities_are_compared_by_value():
    one, other = rich_spec(), rich_spec()
    other["devices"][0]["capacity"]["memory"]["value"] = str(2**30)
    other["devices"][0]["capacity"]["memory"]["requestPolicy"]["default"] = "1Gi"
    other["sharedCounters"][0]["counters"]["memory"]["value"] = "81920Mi"
    assert same_spec(one, other)
    other["devices"][0]["attributes"]["capacity"]["string"] = "1k"
    assert differences(one, other) == ("devices[0].attributes.capacity.string",)


def test_absent_null_and_empty_are_one_and_the_servers_own_fields_do_not_count():
    one, other = rich_spec(), rich_spec()
    other["devices"][0] |= {"bindingConditions": [], "nodeName": None, "nodeSelector": {}}
    other["devices"][0]["taints"][0]["timeAdded"] = "2026-01-01T00:00:00Z"
    other["pool"]["generation"] = 9
    assert same_spec(one, other)
    assert differences(one, other) == ()


def test_false_and_zero_are_values():
    one, other = rich_spec(), rich_spec()
    del other["devices"][0]["attributes"]["index"], other["devices"][0]["attributes"]["fast"]
    assert differences(one, other) == ("devices[0].attributes.fast", "devices[0].attributes.index")


def test_the_order_of_devices_counts():
    (spec,) = specs_of([Device("a"), Device("b")])
    turned = copy.deepcopy(spec)
    turned["devices"].reverse()
    assert not same_spec(spec, turned)


def test_a_lost_field_is_named_by_its_path():
    sent, kept = rich_spec(), rich_spec()
    del kept["devices"][0]["taints"], kept["sharedCounters"]
    assert differences(sent, kept) == ("devices[0].taints", "sharedCounters")


def test_a_quantity_that_cannot_be_read_is_a_difference_not_a_crash():
    one, other = rich_spec(), rich_spec()
    other["devices"][0]["capacity"]["memory"]["value"] = "much"
    assert differences(one, other) == ("devices[0].capacity.memory.value",)


def test_a_taint_that_stays_keeps_the_time_at_which_it_was_added():
    def spec(device, *taints):
        return {"devices": [{"name": "bare"}, {"name": device, "taints": list(taints)}]}

    hot = {"key": "example.com/hot", "effect": "NoExecute"}
    worn = {"key": "example.com/worn", "value": "much", "effect": "NoSchedule"}
    then = {"timeAdded": "2026-01-01T00:00:00Z"}
    published = [spec("gpu-0", hot | then, worn | then)]
    # Wherever the device is now.
    wanted = [{"sharedCounters": []}, spec("gpu-1", hot), spec("gpu-0", hot, worn | {"value": "little"})]
    assert keep_taint_times(wanted, published) == [
        {"sharedCounters": []},
        spec("gpu-1", hot),
        spec("gpu-0", hot | then, worn | {"value": "little"}),
    ]
    assert wanted[2] == spec("gpu-0", hot, worn | {"value": "little"})
    assert keep_taint_times(wanted, []) == wanted


def test_without_lists_everything_else_of_a_pool_stays():
    devices = [
        Device("a", {"planes": (1, 2), "example.com/racks": ("r1",), "model": "A"}, {"memory": "1Gi"}),
        Device("b", {"model": "B"}),
    ]
    taken, names_left_out = without_lists(pool_of(devices, shares={"b": SharePolicy()}))
    assert taken == pool_of(
        [Device("a", {"model": "A"}, {"memory": "1Gi"}), Device("b", {"model": "B"})], shares={"b": SharePolicy()}
    )
    assert names_left_out == {"planes", "example.com/racks"}
    message = left_out(names_left_out)
    for part in ("example.com/racks, planes", "listAttributes", "DRAKIT_LIST_ATTRIBUTES", "DRAListTypeAttributes"):
        assert part in message


def test_a_pool_without_lists_is_left_as_it_is():
    pool = pool_of([Device("a", {"model": "A"})])
    taken, names_left_out = without_lists(pool)
    assert taken is pool
    assert not names_left_out
