"""What the real scheduler did with random scenarios, and the planner did not: each shrunk to what decides."""

from __future__ import annotations

import pytest
from drakit.model import DeviceRef
from drakit.plan import (
    VERSIONS,
    Allocated,
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


@pytest.mark.parametrize(("version", "reached"), [("1.34", False), ("1.35", True), ("1.36", True), ("1.37", False)])
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


EVERY = Features(partitionable=True, taints=True, binding=True, consumable=True)


@pytest.mark.parametrize(("version", "given"), [("1.34", 4), ("1.35", 20), ("1.36", None), ("1.37", None)])
def test_before_1_36_one_request_is_given_shares_of_one_device(version, given):
    others = [{"name": str(number), "attributes": {"t": {"int": number}}} for number in range(3)]
    shared = {"name": "shared", "allowMultipleAllocations": True}
    slices = [slice_of("s", [*others, shared])]
    (verdict,) = survey(slices, claim(count=given or 20), profile=kube_profile(version, features=EVERY))
    assert verdict.fits is (given is not None)
    if given:
        assert len(devices_of(verdict)) == given


OLDEST = kube_profile("1.34.4", features=EVERY)
NEXT = kube_profile("1.35.4", features=EVERY)


def holding(name, *, counters="4", **spec):
    """A slice as 1.34 has them: its devices draw counters of its own."""
    return slice_of(name, sharedCounters=[{"name": "cs", "counters": {"m": {"value": counters}}}], **spec)


def test_in_1_34_counters_are_those_of_one_slice():
    slices = [
        holding("s", counters="1", count=2, devices=[drawing("a"), drawing("b")]),
        holding("t", counters="1", count=2, devices=[drawing("c"), drawing("d")]),
    ]
    (verdict,) = survey(slices, claim(count=2), profile=OLDEST)
    assert devices_of(verdict) == ["a", "c"]
    (verdict,) = survey(slices, claim(count=3), profile=OLDEST)
    assert not verdict.fits


def test_for_1_34_slices_of_later_releases_stand_for_the_one_that_holds_both():
    slices = [counters("c", count=3), *(slice_of(name, [drawing(name)] * 1, count=3) for name in "st")]
    slices[0]["spec"]["sharedCounters"][0]["counters"]["m"]["value"] = "1"
    (verdict,) = survey(slices, claim(), profile=OLDEST)
    assert devices_of(verdict) == ["s"]
    (verdict,) = survey(slices, claim(count=2), profile=OLDEST)
    assert not verdict.fits


@pytest.mark.parametrize(("profile", "used"), [(kube_profile("1.34"), True), (kube_profile("1.35"), False)])
def test_in_1_34_devices_of_a_pool_that_is_being_updated_are_given_out(profile, used):
    slices = [slice_of("s", [{"name": "a"}], count=2)]
    (verdict,) = survey(slices, claim(), profile=profile)
    assert verdict.fits is used
    (verdict,) = survey(slices, claim(allocationMode="All"), profile=profile)
    assert "it has 1 of 2 slices" in str(verdict.error)


def test_in_1_34_a_pool_is_incomplete_where_a_slice_of_it_is_for_another_node():
    slices = [slice_of("s", [{"name": "a"}], count=2), slice_of("t", [{"name": "b"}], count=2, nodeName="n2")]
    for profile, fits in ((kube_profile("1.34"), False), (kube_profile("1.35"), True)):
        (verdict,) = survey(slices, claim(allocationMode="All"), profile=profile)
        assert verdict.fits is fits


def test_in_1_34_the_attempt_ends_at_an_invalid_pool_if_no_pool_before_it_does():
    twice = [slice_of(name, [{"name": "a"}], pool="q", count=2) for name in "st"]
    good = slice_of("u", [{"name": "b"}])
    for slices, expected in (([good, *twice], ["b"]), ([*twice, good], None)):
        (verdict,) = survey(slices, claim(), profile=kube_profile("1.34"))
        assert verdict.one_of_several
        if expected:
            assert devices_of(verdict) == expected
        else:
            assert isinstance(verdict.error, Unallocatable)
            assert verdict.ends_attempt
            assert "where it gives up: device 'a' is in it more than once" in str(verdict.error)


def test_in_1_34_results_do_not_say_what_their_request_tolerates():
    slices = [slice_of("s", [{"name": "a"}])]
    tolerant = claim(tolerations=[{"key": "k", "operator": "Exists"}])
    for profile, said in ((OLDEST, False), (NEXT, True)):
        (verdict,) = survey(slices, tolerant, profile=profile)
        (found,) = verdict.outcome()
        assert bool(found.results[0].tolerations) is said


@pytest.mark.parametrize(("version", "fits"), [("1.34", False), ("1.35", True)])
def test_in_1_34_every_share_takes_the_counters_of_its_device(version, fits):
    device = drawing("a") | {"allowMultipleAllocations": True}
    slices = [holding("s", counters="1", devices=[device, {"name": "b"}])]
    if version > "1.34":
        slices = [slice_of("s", [device, {"name": "b"}], count=2), counters("t", count=2)]
        slices[1]["spec"]["sharedCounters"][0]["counters"]["m"]["value"] = "1"
    twice = claim(count=2, selectors=[{"cel": {"expression": "device.allowMultipleAllocations"}}])
    (verdict,) = survey(slices, twice, profile=kube_profile(version, features=EVERY))
    assert verdict.fits is fits


@pytest.mark.parametrize(
    ("version", "fits"), [("1.35", True), ("1.36", True), ("1.36.1", True), ("1.36.2", False), ("1.37", False)]
)
def test_up_to_1_36_1_the_counters_of_a_shared_device_that_is_held_count_as_free(version, fits):
    shared = drawing("a") | {"allowMultipleAllocations": True}
    slices = [slice_of("s", [shared, drawing("b")], count=2), counters("t", count=2)]
    slices[1]["spec"]["sharedCounters"][0]["counters"]["m"]["value"] = "1"
    held = Allocated(shares=[DeviceRef(DRIVER, "p", "a")], consumed={DeviceRef(DRIVER, "p", "a"): {"m": 1}})
    alone = claim(selectors=[{"cel": {"expression": "!device.allowMultipleAllocations"}}])
    allocator = Allocator(read_slices(slices), CLASSES, held, profile=kube_profile(version, features=EVERY))
    (verdict,) = allocator.survey([alone], [HERE])
    assert verdict.fits is fits


@pytest.mark.parametrize(
    ("version", "crashes"),
    [("1.35", True), ("1.35.6", False), ("1.36", True), ("1.36.1", True), ("1.36.2", False), ("1.37", False)],
)
def test_before_1_36_2_a_request_for_all_crashes_on_devices_with_counters(version, crashes):
    slices = [slice_of("s", [drawing("a")], count=2), counters("t", count=2)]
    (verdict,) = survey(slices, claim(allocationMode="All"), profile=kube_profile(version, features=EVERY))
    assert verdict.fits is not crashes
    assert ("crashes" in str(verdict.error)) is crashes
    assert verdict.ends_attempt is crashes


def alternatives(*listed, constraints=()):
    found = claim(constraints=constraints)
    named = [{"name": f"s{number}", "deviceClassName": DRIVER, **one} for number, one in enumerate(listed)]
    found["spec"]["devices"]["requests"] = [{"name": "some", "firstAvailable": named}]
    return found


ALL, NONE = {"allocationMode": "All"}, {"selectors": [{"cel": {"expression": "false"}}]}


@pytest.mark.parametrize(("version", "mixed"), [("1.34", True), ("1.35.6", True), ("1.36", False)])
def test_before_1_36_a_later_alternative_for_all_is_mixed_up_with_the_first(version, mixed):
    slices = [slice_of("s", [{"name": name} for name in "abc"])]
    for listed, expected, mixed_up in (
        ((ALL | NONE, ALL), ["a", "b", "c"], None),  # judged by the selectors of the first
        (({"count": 1} | NONE, ALL), ["a", "b", "c"], ["a"]),  # after one device, the first's count is met
        (({"count": 4}, ALL), ["a", "b", "c"], None),  # or not to be met
        (({"count": 9} | NONE, {"count": 2}), ["a", "b"], ["a", "b"]),
    ):
        (verdict,) = survey(slices, alternatives(*listed), profile=kube_profile(version))
        outcome = verdict.outcome()
        found = None if isinstance(outcome, Unsatisfied) else devices_of(verdict)
        assert found == (mixed_up if mixed else expected), listed


def configured(name):
    config = [{"opaque": {"driver": DRIVER, "parameters": {"of": name}}}]
    return DeviceClass.from_document({"metadata": {"name": name}, "spec": {"config": config}})


def test_what_is_mixed_up_has_the_configuration_of_the_alternative_that_was_begun_with():
    slices = [slice_of("s", [{"name": "a"}, {"name": "b", "attributes": {"first": {"bool": True}}}])]
    first = [{"cel": {"expression": 'device.attributes["d.example.com"].?first.orValue(false)'}}]
    asked = alternatives({"deviceClassName": "one", "count": 2, "selectors": first}, {"deviceClassName": "two"} | ALL)
    classes = {name: configured(name) for name in ("one", "two")}
    (verdict,) = Allocator(read_slices(slices), classes, profile=kube_profile("1.35")).survey([asked], [HERE])
    (found,) = verdict.outcome()
    assert [one.request for one in found.results] == ["some/s1", "some/s0"]
    assert [entry["requests"] for entry in found.config] == [["some/s1"]]


def test_in_1_34_values_of_different_devices_are_distinct():
    slices = [slice_of("s", [listing(name, 1) for name in "ab"])]
    same = claim(count=2, constraints=[{"distinctAttribute": LIST}])
    for profile, fits in ((OLDEST, True), (NEXT, False)):
        (verdict,) = survey(slices, same, profile=profile)
        assert verdict.fits is fits


def test_in_1_34_the_capacity_of_another_device_of_the_slice_decides_too():
    small, large = ({"name": name, "capacity": {"m": {"value": size}}} for name, size in (("a", "1"), ("b", "4")))
    asked = claim(capacity={"requests": {"m": "2"}})
    for devices, fits in (([large | {"name": "c"}, small, large], True), ([small, large], False)):
        (verdict,) = survey([slice_of("s", devices)], asked, profile=OLDEST)
        assert verdict.fits is fits
        (verdict,) = survey([slice_of("s", devices)], asked, profile=NEXT)
        assert verdict.fits


def test_in_1_34_a_request_for_more_devices_than_a_slice_has_crashes_with_consumable_capacity():
    slices = [slice_of(name, [{"name": name}], count=2) for name in "st"]
    (verdict,) = survey(slices, claim(count=2), profile=OLDEST)
    assert "crashes" in str(verdict.error)
    (verdict,) = survey(slices, claim(count=2), profile=NEXT)
    assert devices_of(verdict) == ["s", "t"]


def test_with_binding_conditions_every_version_that_knows_them_tries_devices_last():
    waiting = {"name": "a", "bindingConditions": ["Ready"], "bindingFailureConditions": ["Failed"]}
    for pools in (("p", "q"), ("q", "p")):
        slices = [slice_of("s", [waiting], pool=pools[0]), slice_of("t", [{"name": "b"}], pool=pools[1])]
        for version in VERSIONS:
            (verdict,) = survey(slices, claim(), profile=kube_profile(version, features=EVERY))
            assert devices_of(verdict) == ["b"]
