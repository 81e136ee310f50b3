"""The node's inventory: what does not fit together is refused, and no bad answer takes a good device away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from attrs import evolve
from drakit import Device, DeviceGroup, DeviceRef, Pool, RequestPolicy, SharePolicy, Taint
from drakit.errors import AttributeConflict, DuplicateDevice, LimitExceeded
from drakit.inventory import Round, Survey, begin, finish, qualified, with_attributes, with_groups, with_shares
from hypothesis import given
from hypothesis import strategies as st

NODE = "node-1"
GPUS, NICS = "gpu.example.com", "nic.example.com"
GROUP = "example.com/group"
PCI = "resource.kubernetes.io/pciBusID"


def gpu(index: int) -> DeviceRef:
    return DeviceRef(GPUS, NODE, f"gpu-{index}")


def nic(index: int) -> DeviceRef:
    return DeviceRef(NICS, NODE, f"nic-{index}")


def gpus(count: int, **attributes: Any) -> Pool:
    return Pool([Device(f"gpu-{index}", attributes=attributes) for index in range(count)])


def nics(count: int, **attributes: Any) -> Pool:
    return Pool([Device(f"nic-{index}", attributes=attributes) for index in range(count)])


def node(gpu_count: int = 2, nic_count: int = 2) -> Round:
    return begin(NODE, {GPUS: [gpus(gpu_count)], NICS: [nics(nic_count)]})


def order(survey: Survey, driver: str) -> list[str]:
    return [device.name for pool in survey.pools[driver] for device in pool.devices]


def messages(survey: Survey) -> list[str]:
    return [str(problem.error) for problem in survey.problems]


def say(current: Round, **said: Mapping[DeviceRef, Mapping[str, Any]]) -> Round:
    return with_attributes(current, said)


# Discovery


def test_what_was_discovered_is_published_in_its_order():
    survey = finish(node())
    assert order(survey, GPUS) == ["gpu-0", "gpu-1"]
    assert [ref for ref, _ in survey.inventory] == [gpu(0), gpu(1), nic(0), nic(1)]
    assert survey.pools[GPUS][0].name == NODE
    assert survey.problems == ()


def test_a_pool_without_devices_is_published_too():
    survey = finish(begin(NODE, {GPUS: [Pool(())]}))
    assert [pool.name for pool in survey.pools[GPUS]] == [NODE]


def test_a_driver_may_have_several_pools():
    survey = finish(begin(NODE, {GPUS: [gpus(1), Pool([Device("gpu-0")], name="rack")]}))
    assert [pool.name for pool in survey.pools[GPUS]] == [NODE, "rack"]
    assert len(survey.inventory) == 2


def test_the_nodes_own_pool_is_not_given_by_its_name_as_well():
    survey = finish(begin(NODE, {GPUS: [gpus(1), Pool((), name=NODE)], NICS: [nics(1)]}))
    assert list(survey.pools) == [NICS]
    assert messages(survey) == [f"driver {GPUS} has pool {NODE!r} twice: by its name, and as the node's own"]


def test_one_pci_function_in_two_drivers_is_a_duplicate_device_of_the_later_one():
    found = {GPUS: [gpus(1, **{PCI: "0000:10:00.0"})], NICS: [nics(1, **{PCI: "0000:10:00.0"})]}
    survey = finish(begin(NODE, found))
    assert list(survey.pools) == [GPUS]
    (problem,) = survey.problems
    assert problem.driver == NICS
    assert isinstance(problem.error, DuplicateDevice)
    for part in (str(gpu(0)), str(nic(0)), "0000:10:00.0", "disable one of them, or select disjoint devices"):
        assert part in str(problem.error)


def test_partitions_of_one_pci_function_may_share_it_within_a_driver():
    survey = finish(begin(NODE, {GPUS: [gpus(2, **{PCI: "0000:10:00.0"})]}))
    assert survey.problems == ()


def with_addresses(*buses: int) -> Pool:
    """One nic for each PCI bus."""
    return Pool([Device(f"nic-{bus}", attributes={PCI: f"0000:{bus:02x}:00.0"}) for bus in buses])


def clash(*buses: int) -> Round:
    """The nics are refused: one of them, nic-9, is a gpu as well."""
    return begin(NODE, {GPUS: [gpus(1, **{PCI: "0000:09:00.0"})], NICS: [with_addresses(*buses, 9)]})


def test_a_refused_driver_keeps_its_last_good_pools():
    good = finish(begin(NODE, {NICS: [with_addresses(1, 2)]}))
    survey = finish(clash(1, 2, 3), good)
    assert order(survey, GPUS) == ["gpu-0"]
    assert order(survey, NICS) == ["nic-1", "nic-2"]
    assert set(survey.inventory.of(NICS).devices) == {nic(1), nic(2)}


def test_of_a_refused_driver_what_is_gone_by_its_own_word_is_not_kept_but_may_come_back():
    good = finish(begin(NODE, {NICS: [with_addresses(1, 2)]}))
    gone = finish(clash(2), good)
    assert order(gone, NICS) == ["nic-2"]
    assert order(finish(clash(1, 2), gone), NICS) == ["nic-1", "nic-2"]


def test_what_a_refused_driver_keeps_has_the_taints_of_now():
    hot = Taint("example.com/hot")
    good = finish(begin(NODE, {NICS: [with_addresses(1, 2)]}), taints={nic(1): [hot]})
    kept = finish(clash(1, 2), good, taints={nic(2): [hot]})
    assert [device.taints for device in kept.pools[NICS][0].devices] == [(), (hot,)]
    cooled = finish(clash(1, 2), kept)
    assert [device.taints for device in cooled.pools[NICS][0].devices] == [(), ()]


def test_a_driver_that_is_accepted_again_is_published_as_it_is_now():
    refused = finish(clash(1), finish(begin(NODE, {NICS: [with_addresses(1)]})))
    survey = finish(begin(NODE, {NICS: [with_addresses(1, 2, 3)]}), refused)
    assert order(survey, NICS) == ["nic-1", "nic-2", "nic-3"]
    assert survey.problems == ()


def test_two_refused_drivers_do_not_keep_the_same_hardware():
    """The one that is trusted more does, whatever order a set would have them in."""
    others = [f"n{index}.example.com" for index in range(8)]
    good = Survey(good={d: finish(begin(NODE, {d: [with_addresses(1)]})).pools[d] for d in others})
    found = {GPUS: [gpus(1, **{PCI: "0000:09:00.0"})]} | {driver: [with_addresses(1, 9)] for driver in others}
    survey = finish(begin(NODE, found), good)
    assert [driver for driver in others if order(survey, driver)] == others[:1]
    assert [problem.driver for problem in survey.problems] == others


def test_hardware_that_another_driver_publishes_now_is_not_kept():
    """Kept as it was, it would be published by both, and allocated twice."""
    held = [Device("nic-0", attributes={PCI: "0000:10:00.0"}), Device("nic-1", attributes={PCI: "0000:20:00.0"})]
    good = finish(begin(NODE, {NICS: [Pool(held)]}))
    taken = {GPUS: [gpus(1, **{PCI: "0000:10:00.0"})], NICS: [Pool(held)]}
    survey = finish(begin(NODE, taken), good)
    assert order(survey, NICS) == ["nic-1"]
    assert set(survey.inventory.of(NICS).devices) == {nic(1)}


# Attributes


def test_every_plugin_may_add_attributes_to_any_device():
    survey = finish(say(node(), racks={gpu(0): {"example.com/rack": "a"}, nic(1): {"example.com/rack": "b"}}))
    assert survey.inventory.where("example.com/rack") == {gpu(0): "a", nic(1): "b"}
    assert survey.pools[GPUS][0].devices[0].attributes["example.com/rack"] == "a"


@pytest.mark.parametrize("value", [1, "a", True])
def test_plugins_that_agree_are_no_conflict(value):
    survey = finish(say(node(), one={gpu(0): {"a/b": value}}, two={gpu(0): {"a/b": value}}))
    assert survey.problems == ()


def test_two_plugins_of_different_minds_are_refused_naming_both_and_their_values():
    survey = finish(say(node(), one={gpu(0): {"a/rack": "left"}}, two={gpu(0): {"a/rack": "right"}}))
    (problem,) = survey.problems
    assert problem.driver == GPUS
    assert isinstance(problem.error, AttributeConflict)
    assert str(problem.error) == (
        f"{gpu(0)}: attribute 'a/rack' is 'left' by plugin 'one' and 'right' by plugin 'two'; "
        f"make them agree, or disable one"
    )
    assert survey.inventory[gpu(0)].attributes["a/rack"] == "left"


def test_true_and_one_are_different_minds():
    survey = finish(say(node(), one={gpu(0): {"a/b": 1}}, two={gpu(0): {"a/b": True}}))
    assert "is 1 by plugin 'one' and True by plugin 'two'" in messages(survey)[0]


def test_a_plugin_that_contradicts_the_driver_is_told_so_and_blamed_for_nothing_else():
    current = begin(NODE, {GPUS: [gpus(1, rack="left")]})
    survey = finish(say(current, one={gpu(0): {"rack": "right"}}, two={gpu(0): {"rack": "middle"}}))
    first, second = messages(survey)
    assert "is 'left' by its own driver and 'right' by plugin 'one'" in first
    assert "is 'left' by its own driver and 'middle' by plugin 'two'" in second


@pytest.mark.parametrize(("own", "said"), [("index", f"{GPUS}/index"), (f"{GPUS}/index", "index")])
def test_a_name_with_the_drivers_domain_is_the_same_as_without(own, said):
    assert qualified("index", GPUS) == qualified(f"{GPUS}/index", GPUS)
    current = begin(NODE, {GPUS: [gpus(1, **{own: 0})]})
    assert finish(say(current, plugin={gpu(0): {said: 0}})).problems == ()
    assert "is 0 by its own driver and 1 by plugin 'p'" in messages(finish(say(current, p={gpu(0): {said: 1}})))[0]


def test_more_attributes_than_the_api_takes_are_refused_and_the_device_stays_as_it_was():
    survey = finish(say(node(), plugin={gpu(0): {f"a/n{index}": index for index in range(33)}}))
    assert isinstance(survey.problems[0].error, LimitExceeded)
    assert "device 'gpu-0': attributes and capacity may have at most 32" in messages(survey)[0]
    assert len(survey.inventory[gpu(0)].attributes) == 32


def test_an_answer_about_a_device_that_is_gone_is_passed_over():
    survey = finish(say(node(1, 1), late={gpu(7): {"a/b": 1}}))
    assert survey.problems == ()
    assert len(survey.inventory) == 2


def test_a_driver_with_a_conflict_is_published_as_it_is_now_round_after_round():
    """The first value stays, so there is nothing to wait for: new hardware appears, and taints are added."""
    hot = Taint("example.com/hot")
    survey = finish(node(1, 1))
    for count in (1, 2, 3):
        said = {"one": {gpu(0): {"a/rack": "left"}}, "two": {gpu(0): {"a/rack": "right"}}}
        survey = finish(say(node(count, 1), **said), survey, taints={gpu(count - 1): [hot]})
        assert order(survey, GPUS) == [f"gpu-{index}" for index in range(count)]
        assert [device.taints for device in survey.pools[GPUS][0].devices][-1] == (hot,)
        assert survey.pools[GPUS][0].devices[0].attributes["a/rack"] == "left"
        assert [type(problem.error) for problem in survey.problems] == [AttributeConflict]


# Sharing and taints


def test_only_shared_devices_have_a_policy():
    policy = SharePolicy({"memory": RequestPolicy()})
    survey = finish(with_shares(node(), {gpu(1): policy}))
    assert survey.pools[GPUS][0].shares == {"gpu-1": policy}
    assert survey.pools[NICS][0].shares == {}


def test_taints_of_health_are_added_once_to_those_of_discovery():
    own, more = Taint("example.com/old"), Taint("example.com/hot")
    current = begin(NODE, {GPUS: [Pool([Device("gpu-0", taints=[own])])]})
    survey = finish(current, taints={gpu(0): [own, more], gpu(9): [more]})
    assert survey.pools[GPUS][0].devices[0].taints == (own, more)
    assert finish(current, survey).pools[GPUS][0].devices[0].taints == (own,)


def test_of_more_taints_than_the_api_takes_those_that_fit_are_published():
    """Kept as it was, the device would have none of them, and be given to claims."""
    many = [Taint(f"example.com/t{index}") for index in range(17)]
    survey = finish(node(), finish(node(1, 1)), taints={gpu(0): many})
    assert [problem.driver for problem in survey.problems] == [GPUS]
    assert "taints may have at most 16" in messages(survey)[0]
    assert survey.pools[GPUS][0].devices[0].taints == tuple(many[:16])
    assert order(survey, GPUS) == ["gpu-0", "gpu-1"]
    assert order(survey, NICS) == ["nic-0", "nic-1"]


# Groups


def group(value: str, *members: DeviceRef, rank: int = 0, attribute: str = GROUP) -> DeviceGroup:
    return DeviceGroup(attribute, value, members, rank)


def test_a_group_is_stamped_on_all_its_members_of_whatever_driver():
    survey = finish(with_groups(node(), {"plugin": [group("a", gpu(0), nic(0)), group("b", gpu(1), nic(1))]}))
    assert survey.inventory.where(GROUP) == {gpu(0): "a", nic(0): "a", gpu(1): "b", nic(1): "b"}
    assert [device.attributes[GROUP] for device in survey.pools[NICS][0].devices] == ["a", "b"]
    assert len(survey.groups) == 2


def test_a_group_that_one_member_cannot_have_is_stamped_on_none():
    full = Device("nic-0", attributes={f"n{index}": index for index in range(32)})
    current = begin(NODE, {GPUS: [gpus(1)], NICS: [Pool([full])]})
    survey = finish(with_groups(current, {"plugin": [group("a", gpu(0), nic(0))]}))
    assert survey.inventory.where(GROUP) == {}
    assert survey.groups == ()
    assert [problem.driver for problem in survey.problems] == [NICS]
    assert (order(survey, GPUS), order(survey, NICS)) == (["gpu-0"], ["nic-0"])


def test_groups_of_two_plugins_that_contradict_each_other_name_both():
    said = {"one": [group("a", gpu(0), nic(0))], "two": [group("b", gpu(0), gpu(1))]}
    survey = finish(with_groups(node(), said))
    assert survey.inventory.where(GROUP) == {gpu(0): "a", nic(0): "a"}
    assert "is 'a' by plugin 'one' and 'b' by plugin 'two'" in messages(survey)[0]


def test_a_group_that_contradicts_an_attribute_names_who_gave_it():
    current = say(node(), racks={gpu(0): {GROUP: "z"}})
    survey = finish(with_groups(current, {"groups": [group("a", gpu(0))]}))
    assert "is 'z' by plugin 'racks' and 'a' by plugin 'groups'" in messages(survey)[0]


def test_one_plugin_that_contradicts_itself_is_named_twice():
    survey = finish(with_groups(node(), {"plugin": [group("a", gpu(0)), group("b", gpu(0))]}))
    assert "is 'a' by plugin 'plugin' and 'b' by plugin 'plugin'" in messages(survey)[0]


def test_a_member_that_is_gone_does_not_keep_the_others_from_their_group():
    survey = finish(with_groups(node(1, 1), {"plugin": [group("a", gpu(0), gpu(9), nic(0))]}))
    assert survey.inventory.where(GROUP) == {gpu(0): "a", nic(0): "a"}


# The order in which a scheduler tries devices


def groups_of(size: int, gpu_order: Sequence[int], nic_of: Mapping[int, int]) -> list[DeviceGroup]:
    """Consecutive gpus with their nics, as a torus of accelerators is cut."""
    found = []
    for rank, start in enumerate(range(0, len(gpu_order), size)):
        ids = gpu_order[start : start + size]
        members = [gpu(index) for index in ids] + [nic(nic_of[index]) for index in ids]
        found.append(group(f"{size}-{rank}", *members, rank=rank, attribute=f"example.com/group{size}"))
    return found


def scattered(count: int) -> dict[int, int]:
    """A table from accelerator to adapter, as unordered as real ones are."""
    return {index: (index * 5 + 3) % count for index in range(count)}


def test_both_sides_of_sixteen_pairs_are_tried_in_the_order_of_their_groups():
    table = scattered(16)
    said = [g for size in (1, 4, 8, 16) for g in groups_of(size, range(16), table)]
    survey = finish(with_groups(node(16, 16), {"plugin": said}))
    assert order(survey, GPUS) == [f"gpu-{index}" for index in range(16)]
    assert order(survey, NICS) == [f"nic-{table[index]}" for index in range(16)]


def test_two_accelerators_per_adapter_are_tried_in_the_order_of_their_groups():
    table = {index: scattered(8)[index // 2] for index in range(16)}
    said = [g for size in (4, 8, 16) for g in groups_of(size, range(16), table)]
    said += [
        group(str(n), gpu(2 * n), gpu(2 * n + 1), nic(table[2 * n]), rank=n, attribute="example.com/group1")
        for n in range(8)
    ]
    survey = finish(with_groups(node(16, 8), {"plugin": said}))
    assert order(survey, GPUS) == [f"gpu-{index}" for index in range(16)]
    assert order(survey, NICS) == [f"nic-{table[2 * index]}" for index in range(8)]


@given(st.permutations(range(8)), st.permutations(range(8)))
def test_the_first_of_each_side_are_always_of_one_group(gpu_order, nic_order):
    """What first-fit takes for a small claim breaks one group, not two."""
    table = dict(zip(gpu_order, nic_order, strict=True))
    said = [g for size in (2, 4) for g in groups_of(size, gpu_order, table)]
    survey = finish(with_groups(node(8, 8), {"plugin": said}))
    for size in (2, 4):
        attribute = f"example.com/group{size}"
        for driver in (GPUS, NICS):
            values = [d.attributes[attribute] for d in survey.pools[driver][0].devices]
            assert values == [f"{size}-{index // size}" for index in range(8)]


def test_where_groups_cross_the_attribute_with_the_largest_decides_before_the_others():
    """A large claim is hard to place: it is its groups that are filled one after the other."""
    pairs = [group(str(n), gpu(n), gpu(n + 3), rank=n, attribute="example.com/a") for n in range(3)]
    threes = [
        group("left", *map(gpu, range(3)), rank=1, attribute="example.com/b"),
        group("right", *map(gpu, range(3, 6)), rank=0, attribute="example.com/b"),
    ]
    survey = finish(with_groups(node(6, 1), {"plugin": [*pairs, *threes]}))
    assert order(survey, GPUS) == [f"gpu-{index}" for index in (3, 4, 5, 0, 1, 2)]


def test_devices_outside_every_group_come_last_in_their_own_order():
    survey = finish(with_groups(node(4, 1), {"plugin": [group("a", gpu(2), rank=1), group("b", gpu(3), rank=0)]}))
    assert order(survey, GPUS) == ["gpu-3", "gpu-2", "gpu-0", "gpu-1"]


def test_a_round_can_be_taken_from_any_step():
    current = node()
    assert with_groups(current, {}).inventory == with_attributes(current, {}).inventory == current.inventory
    assert finish(evolve(current, found={})).pools == {}
