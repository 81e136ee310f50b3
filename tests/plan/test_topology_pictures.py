"""From slices, claims and nodes to pictures: who has what, what belongs together, what is linked."""

from __future__ import annotations

import pytest
from drakit import DeviceRef
from drakit.plan import NodeView
from drakit.plan.topology import Inputs, pictures_of
from drakit.plan.topology.model import Shape, State
from drakit.plan.topology.reading import letters

NUMA = "resource.kubernetes.io/numaNode"


def device(name, attributes=None, **rest):
    kinds = {bool: "bool", int: "int", str: "string"}
    given = {key: {kinds[type(value)]: value} for key, value in (attributes or {}).items()}
    return {"name": name, "attributes": given, **rest}


def slice_of(*devices, node="n1", driver="gpu.example.com", pool=None, **spec):
    where = {"nodeName": node} if node else {}
    name = pool or node or "everywhere"
    pools = {"name": name, "generation": 1, "resourceSliceCount": 1}
    return {"metadata": {"name": f"{driver}-{name}"}, "spec": {
        "driver": driver, "pool": pools, **where, "devices": list(devices), **spec,
    }}  # fmt: skip


def claim(name, *devices, driver="gpu.example.com", pool="n1", **rest):
    results = [{"request": "r", "driver": driver, "pool": pool, "device": one, **rest} for one in devices]
    return {
        "metadata": {"name": name, "namespace": "team"},
        "status": {"allocation": {"devices": {"results": results}}},
    }


def states(picture):
    return {box.ref.name: box.state for box in picture.boxes}


def only(*slices, claims=(), **rest):
    (picture,) = pictures_of(Inputs(slices, claims, **rest))
    return picture


def test_a_claim_makes_its_devices_allocated_and_names_itself():
    picture = only(slice_of(device("gpu-0"), device("gpu-1")), claims=[claim("train", "gpu-1")])
    assert states(picture) == {"gpu-0": State.FREE, "gpu-1": State.ALLOCATED}
    assert picture.boxes[1].detail == "team/train"
    assert picture.summary == "2 devices: 1 free, 1 allocated"


@pytest.mark.parametrize("other", [{"driver": "nic.example.com"}, {"pool": "n2"}])
def test_a_claim_of_another_driver_or_pool_takes_nothing_here(other):
    assert states(only(slice_of(device("gpu-0")), claims=[claim("train", "gpu-0", **other)])) == {"gpu-0": State.FREE}


def test_access_of_an_administrator_takes_nothing():
    picture = only(slice_of(device("gpu-0")), claims=[claim("watch", "gpu-0", adminAccess=True)])
    assert states(picture) == {"gpu-0": State.FREE}
    assert picture.boxes[0].uses[0].admin


def test_a_claim_that_is_not_allocated_takes_nothing():
    waiting = {"metadata": {"name": "waits", "namespace": "team"}, "spec": {}}
    assert states(only(slice_of(device("gpu-0")), claims=[waiting])) == {"gpu-0": State.FREE}


def test_a_taint_bars_a_device_but_one_that_only_informs_does_not():
    picture = only(slice_of(
        device("gpu-0", taints=[{"key": "example.com/broken", "value": "fan", "effect": "NoSchedule"}]),
        device("gpu-1", taints=[{"key": "example.com/old", "effect": "None"}]),
    ))  # fmt: skip
    assert states(picture) == {"gpu-0": State.TAINTED, "gpu-1": State.FREE}
    assert picture.boxes[0].detail == "example.com/broken=fan:NoSchedule"


def test_a_shared_device_says_how_much_of_its_scarcest_capacity_is_taken():
    nic = device("nic-0", allowMultipleAllocations=True, capacity={"gbps": {"value": "100"}, "queues": {"value": "8"}})
    claims = [claim(f"c{n}", "nic-0", consumedCapacity={"gbps": "10", "queues": "3"}) for n in range(2)]
    picture = only(slice_of(nic), claims=claims)
    assert states(picture) == {"nic-0": State.SHARED}
    assert picture.boxes[0].share == pytest.approx(0.75)


def test_a_partition_whose_counters_are_used_up_is_not_free():
    counters = [{"name": "gpu", "counters": {"memory": {"value": "80Gi"}}}]

    def part(name, memory):
        return device(name, consumesCounters=[{"counterSet": "gpu", "counters": {"memory": {"value": memory}}}])

    whole, halves = part("whole", "80Gi"), [part("half-0", "40Gi"), part("half-1", "40Gi")]
    spec = slice_of(whole, *halves, sharedCounters=counters)
    assert states(only(spec)) == {"whole": State.FREE, "half-0": State.FREE, "half-1": State.FREE}
    taken = only(spec, claims=[claim("train", "half-0")])
    assert states(taken) == {"whole": State.BLOCKED, "half-0": State.ALLOCATED, "half-1": State.FREE}


def test_groups_come_smallest_first_by_any_domain_and_other_attributes_are_none():
    names = {"a.example.com/devicegroup16_id": "x", "b.example.com/devicegroup4_id": 7}
    noise = {"devicegroup8_id": "y", "a.example.com/devicegroup_id": "y", "a.example.com/devicegroups4_id": "z"}
    picture = only(slice_of(device("gpu-0", names | noise), device("gpu-1", names)))
    assert [(band.size, band.attribute) for band in picture.bands] == [
        (4, "b.example.com/devicegroup4_id"),
        (16, "a.example.com/devicegroup16_id"),
    ]
    assert [(group.letters, group.value, group.members) for group in picture.bands[0].groups] == [("A", "7", {0, 1})]


def test_letters_go_on_after_z():
    assert [letters(n) for n in (0, 25, 26, 27, 701, 702)] == ["A", "Z", "AA", "AB", "ZZ", "AAA"]


def linked(prefix, links, **attributes):
    return [
        device(f"{prefix}{n}", {"x.example.com/connectedDevices": ",".join(map(str, others))})
        for n, others in links.items()
    ]


@pytest.mark.parametrize(
    ("links", "shape", "count"),
    [
        ({0: [1, 3], 1: [0, 2], 2: [1, 3], 3: [2, 0]}, Shape.RING, 4),
        ({0: [1], 1: [0, 2], 2: [1]}, Shape.ROW, 2),
        ({0: [1, 2, 3], 1: [0, 2, 3], 2: [0, 1, 3], 3: [0, 1, 2]}, Shape.WEB, 6),
        ({0: [1], 1: [0], 2: [3], 3: [2]}, Shape.WEB, 2),
        ({0: [1], 1: []}, Shape.ROW, 1),
    ],
)
def test_links_of_devices_are_seen_for_what_they_are(links, shape, count):
    (fabric,) = only(slice_of(*linked("gpu-", links))).fabrics
    assert (fabric.shape, len(fabric.links)) == (shape, count)
    drawn = {frozenset(fabric.knots[end].number for end in link) for link in fabric.links}
    assert drawn == {frozenset((one, other)) for one, others in links.items() for other in others}


def test_devices_with_coordinates_are_in_a_grid_and_a_torus_is_called_one():
    devices = []
    for n in range(16):
        row, column = divmod(n, 4)
        near = [row * 4 + (column + d) % 4 for d in (1, 3)] + [(row + d) % 4 * 4 + column for d in (1, 3)]
        given = {"connectedDevices": ",".join(map(str, near)), "topology_x": row, "topology_y": column}
        devices.append(device(f"chip-{n}", given))
    (fabric,) = only(slice_of(*devices)).fabrics
    assert (fabric.shape, fabric.size, fabric.described) == (Shape.GRID, (4, 4), "4 by 4 torus")
    assert len(fabric.links) == 32
    assert len(fabric.far) == 8
    (broken,) = only(slice_of(*devices[:15])).fabrics
    assert not broken.closed
    assert len(broken.knots) == 15


@pytest.mark.parametrize("coordinates", [(0, 0), (-1, 0), (10**9, 0), ("0", "1"), (True, 0)])
def test_coordinates_that_make_no_grid_are_let_be(coordinates):
    row, column = coordinates
    given = {"connectedDevices": "0,1", "topology_x": row, "topology_y": column}
    (fabric,) = only(slice_of(device("chip-0", given), device("chip-1", given))).fabrics
    assert fabric.shape is Shape.ROW


def test_a_link_to_what_is_not_there_is_noted_and_the_others_are_drawn():
    picture = only(slice_of(*linked("gpu-", {0: [1, 9], 1: [0]})))
    assert len(picture.fabrics[0].links) == 1
    assert picture.notes == ("gpu-0 is linked with 9, not on this node",)


@pytest.mark.parametrize("value", ["", "none", "1;2", "x,y", "-1", "99999999999999999999"])
def test_nonsense_in_place_of_numbers_links_nothing(value):
    assert only(slice_of(device("gpu-0", {"connectedDevices": value}), device("gpu-1"))).fabrics == ()


def test_links_do_not_leave_the_pool_or_the_kind_of_device():
    first = slice_of(device("gpu-0", {"connectedDevices": "1"}), device("part-1"))
    other = slice_of(device("gpu-1", {"connectedDevices": "0"}), driver="other.example.com")
    assert only(first, other).fabrics == ()


def test_each_node_has_a_picture_in_the_order_people_expect():
    slices = [slice_of(device("gpu-0"), node=f"worker-{n}") for n in (10, 9, 1)]
    assert [one.name for one in pictures_of(Inputs(slices))] == ["worker-1", "worker-9", "worker-10"]


def test_devices_for_all_or_labelled_nodes_are_in_the_picture_of_each_that_reaches_them():
    requirement = {"key": "zone", "operator": "In", "values": ["a"]}
    term = {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}
    slices = [
        slice_of(device("gpu-0"), node="n1"),
        slice_of(device("zoned"), node=None, pool="zoned", nodeSelector=term),
        slice_of(device("shared"), node=None, pool="all", allNodes=True),
    ]
    pictures = pictures_of(Inputs(slices, nodes=[NodeView("n1", {"zone": "a"}), NodeView("n2", {"zone": "b"})]))
    found = {picture.name: {box.ref.name for box in picture.boxes} for picture in pictures}
    assert found == {"n1": {"gpu-0", "zoned", "shared"}, "n2": {"shared"}}


def test_devices_of_no_certain_node_have_a_picture_where_no_node_is_known():
    assert only(slice_of(device("shared"), node=None, allNodes=True)).name == "any node"


BAD = [
    7,
    {"name": "gpu-9", "attributes": 7},
    {"name": "gpu-9", "attributes": {"x": {"quaternion": 1}}},
    {"name": "gpu-9", "capacity": {"memory": {"value": "much"}}},
    {"name": "gpu-9", "taints": [{"key": "x"}]},
    {"name": "Not A Name"},
    {},
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_a_device_that_cannot_be_read_is_noted_and_hides_no_other(bad):
    picture = only(slice_of(bad, device("gpu-0")))
    assert states(picture) == {"gpu-0": State.FREE}
    assert len(picture.notes) == 1
    assert "of pool 'n1' of gpu.example.com cannot be drawn: " in picture.notes[0]


@pytest.mark.parametrize(
    "spec",
    [
        {"devices": 7},
        {"sharedCounters": [{"name": "set"}]},
        {"pool": {"name": "n1", "generation": "new", "resourceSliceCount": 1}},
        {"nodeName": None, "nodeSelector": 7},
    ],
    ids=str,
)
def test_a_pool_that_cannot_be_read_is_noted_and_hides_no_other(spec):
    bad = slice_of(device("gpu-1"), driver="bad.example.com")
    bad["spec"] |= spec
    picture = only(bad, slice_of(device("gpu-0")))
    assert states(picture) == {"gpu-0": State.FREE}
    assert len(picture.notes) == 1
    assert picture.notes[0].startswith("pool 'n1' of bad.example.com cannot be drawn: ")


def test_a_pool_with_one_device_twice_cannot_be_used():
    picture = only(slice_of(device("gpu-0"), device("gpu-0")))
    assert picture.boxes == ()
    assert "cannot be used: device 'gpu-0' is in it more than once" in picture.notes[0]


def test_only_the_highest_generation_counts_that_the_node_reaches():
    old, new = slice_of(device("old"), pool="moving"), slice_of(device("new"), node="n2", pool="moving")
    new["spec"]["pool"]["generation"] = 2
    newer = slice_of(device("newer"), pool="kept")
    newer["spec"]["pool"]["generation"] = 2
    pictures = pictures_of(Inputs([old, new, slice_of(device("older"), pool="kept"), newer]))
    assert {one.name: set(states(one)) for one in pictures} == {"n1": {"old", "newer"}, "n2": {"new"}}


def test_devices_that_each_say_their_nodes_are_drawn_where_they_are():
    each = slice_of(
        device("here", nodeName="n1"), device("all", allNodes=True), node=None, pool="p", perDeviceNodeSelection=True
    )
    pictures = pictures_of(Inputs([each], nodes=[NodeView("n1"), NodeView("n2")]))
    assert {one.name: set(states(one)) for one in pictures} == {"n1": {"here", "all"}, "n2": {"all"}}


def test_a_pool_that_is_being_updated_is_noted():
    half = slice_of(device("gpu-0"))
    half["spec"]["pool"]["resourceSliceCount"] = 2
    assert "1 of 2 slices" in only(half).notes[0]


def test_the_devices_of_a_plans_answer_stand_out():
    ref = DeviceRef("gpu.example.com", "n1", "gpu-1")
    picture = only(slice_of(device("gpu-0"), device("gpu-1")), marks={ref: "train/gpus"})
    assert [box.mark for box in picture.boxes] == ["", "train/gpus"]


def test_what_cannot_be_printed_is_taken_out_of_every_text():
    evil = "\x1b[31m\u202egroup\x00"
    given = {"x.example.com/devicegroup1_id": evil, "resource.kubernetes.io/pcieRoot": evil}
    picture = only(slice_of(device("gpu-0", given)), claims=[claim(evil, "gpu-0")])
    texts = [picture.boxes[0].root, picture.boxes[0].detail, picture.bands[0].groups[0].value]
    assert all(text.isprintable() for text in texts)
    assert all("group" in text for text in texts)
