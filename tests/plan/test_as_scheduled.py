"""What the real scheduler did with random scenarios, and the planner did not: each shrunk to what decides."""

from __future__ import annotations

import pytest
from drakit.plan import (
    VERSIONS,
    Allocation,
    Allocator,
    DeviceClass,
    Features,
    NodeView,
    PoolsInvalid,
    SelectorFailed,
    Unallocatable,
    Undecided,
    Unsatisfied,
    kube_profile,
    read_slices,
)

DRIVER = "d.example.com"
LIST = "std.example.com/list"
CLASSES = {DRIVER: DeviceClass(DRIVER, (f'device.driver == "{DRIVER}"',))}
HERE, THERE = NodeView("n1"), NodeView("n2")


def slice_of(name, devices=(), *, pool="p", count=1, **spec):
    where = {} if "allNodes" in spec else {"nodeName": "n1"}
    about = {"driver": DRIVER, "pool": {"name": pool, "generation": 1, "resourceSliceCount": count}}
    return {"metadata": {"name": name}, "spec": about | where | {"devices": list(devices)} | spec}


def counters(name, *, count, **spec):
    return slice_of(name, count=count, sharedCounters=[{"name": "cs", "counters": {"m": {"value": "4"}}}], **spec)


def drawing(name):
    return {"name": name, "consumesCounters": [{"counterSet": "cs", "counters": {"m": {"value": "1"}}}]}


def listing(name, value):
    return {"name": name, "attributes": {LIST: {"ints": value} if isinstance(value, list) else {"int": value}}}


def claim(*, constraints=(), **exactly):
    requests = [{"name": "some", "exactly": {"deviceClassName": DRIVER, **exactly}}]
    return {
        "metadata": {"name": "c", "uid": "u"},
        "spec": {"devices": {"requests": requests, "constraints": constraints}},
    }


def survey(slices, document, *nodes, profile):
    return Allocator(read_slices(slices), CLASSES, profile=profile).survey([document], nodes or [HERE])


def devices_of(verdict):
    (found,) = verdict.outcome()
    assert isinstance(found, Allocation)
    return [result.device.name for result in found.results]


def partitioned(version):
    return kube_profile(version, features=Features(partitionable=True))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pool_for_all_nodes_is_whole_where_its_counters_name_another_node(version):
    slices = [slice_of("s", [drawing("a")], count=2, allNodes=True), counters("t", count=2, nodeName="n1")]
    for node in (HERE, THERE):
        (verdict,) = survey(slices, claim(), node, profile=partitioned(version))
        assert verdict.fits


INVALID_THERE = [slice_of("s", [drawing("a")], pool="q", count=2), counters("t", pool="q", count=2)]
INVALID_THERE[1]["spec"]["sharedCounters"][0]["name"] = "other"


@pytest.mark.parametrize(("version", "reached"), [("1.34", True), ("1.35", True), ("1.36", True), ("1.37", False)])
def test_an_invalid_pool_of_another_node_is_in_the_way_where_its_counters_reach(version, reached):
    features = Features(partitionable=True, taints=True, binding=True, consumable=version > "1.35")
    profile = kube_profile(version, features=features)
    slices = [*INVALID_THERE, slice_of("u", [{"name": "b"}], nodeName="n2")]
    (verdict,) = survey(slices, claim(allocationMode="All"), THERE, profile=profile)
    assert isinstance(verdict.error, Unallocatable) is reached
    assert verdict.fits is not reached
    (verdict,) = survey(slices, claim(), THERE, profile=profile)
    assert devices_of(verdict) == ["b"]


def test_what_is_in_a_pool_twice_is_seen_from_its_node_after_others_have_looked():
    slices = [
        slice_of("s", [{"name": "a"}], count=3),
        slice_of("t", [{"name": "a"}], count=3),
        counters("u", count=3),
        slice_of("v", [{"name": "b"}], pool="q", nodeName="n2"),
    ]
    there, here = survey(slices, claim(), THERE, HERE, profile=kube_profile("1.36"))
    assert devices_of(there) == ["b"]
    assert isinstance(here.error, PoolsInvalid)


def test_only_an_invalid_pool_leaves_the_pod_to_other_nodes():
    slices = [
        slice_of("s", [drawing("a")]),
        slice_of("t", [{"name": "b"}], pool="q", nodeName="n2"),
    ]
    here, there = survey(slices, claim(), HERE, THERE, profile=kube_profile())
    assert isinstance(here.error, PoolsInvalid)
    assert not here.ends_attempt
    assert there.fits
    for document, error in (
        (claim(allocationMode="All"), Unallocatable),
        (claim(selectors=[{"cel": {"expression": 'device.attributes["x"].y'}}]), SelectorFailed),
    ):
        here, there = survey(
            [*slices, slice_of("u", [{"name": "c"}], pool="r")], document, HERE, THERE, profile=kube_profile()
        )
        assert isinstance(here.error, error)
        assert here.ends_attempt


def test_a_search_that_is_given_up_says_nothing_of_other_nodes():
    slices = [slice_of("s", [{"name": str(number)} for number in range(4)])]
    (verdict,) = Allocator(read_slices(slices), CLASSES, steps=1).survey([claim(count=4)], [HERE])
    assert isinstance(verdict.error, Undecided)
    assert not verdict.ends_attempt


LISTS_1_36 = kube_profile("1.36.3", features=Features(partitionable=True, binding=True, consumable=True, lists=True))
LISTS_1_37 = kube_profile("1.37.2", features=Features.every())


def test_in_1_36_a_selector_looks_into_lists_and_a_constraint_knows_none():
    slices = [slice_of("s", [listing("a", [1]), listing("b", [1])])]
    domain, _, name = LIST.partition("/")
    looking = claim(selectors=[{"cel": {"expression": f'device.attributes["{domain}"].{name}.includes(1)'}}])
    matching = claim(count=2, constraints=[{"matchAttribute": LIST}])
    for profile, fits in ((LISTS_1_36, False), (LISTS_1_37, True)):
        (verdict,) = survey(slices, looking, profile=profile)
        assert devices_of(verdict) == ["a"]
        (verdict,) = survey(slices, matching, profile=profile)
        assert verdict.fits is fits


@pytest.mark.parametrize(
    ("values", "count", "expected"),
    [
        ([[0], 1], 2, ["a", "b"]),
        ([1, [0]], 2, None),
        ([[0], [1]], 2, None),
        ([[0], 0, 1], 3, ["a", "b", "c"]),
    ],
)
def test_where_constraints_know_no_lists_one_may_come_first_and_is_distinct_from_nothing_before_it(
    values, count, expected
):
    slices = [slice_of("s", [listing(name, value) for name, value in zip("abc", values, strict=False)])]
    (verdict,) = survey(
        slices, claim(count=count, constraints=[{"distinctAttribute": LIST}]), profile=LISTS_1_36.fixed()
    )
    outcome = verdict.outcome()
    assert (None if isinstance(outcome, Unsatisfied) else devices_of(verdict)) == expected


@pytest.mark.parametrize(("version", "given"), [("1.34", 20), ("1.35", 20), ("1.36", None), ("1.37", None)])
def test_before_1_36_one_request_is_given_shares_of_one_device(version, given):
    features = Features(partitionable=True, taints=True, binding=True, consumable=True)
    others = [{"name": str(number), "attributes": {"t": {"int": number}}} for number in range(3)]
    shared = {"name": "shared", "allowMultipleAllocations": True}
    slices = [slice_of("s", [*others, shared])]
    (verdict,) = survey(slices, claim(count=20), profile=kube_profile(version, features=features))
    assert verdict.fits is (given is not None)
    if given:
        assert len(devices_of(verdict)) == given
