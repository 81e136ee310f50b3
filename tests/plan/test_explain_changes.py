"""What an explanation says would help: changes of the claim, each tried, and devices that others give back."""

from __future__ import annotations

import pytest
from drakit.errors import ConfigError
from drakit.model import Device, DeviceRef, Quantity, RequestPolicy, SharePolicy, Taint, Version
from drakit.plan import SliceSet, kube_profile
from drakit.plan.explain import Answer, Limits, explain
from drakit.plan.explain.question import Trials

from tests.plan.questions import GPU, GROUP, NIC, NODE, claim, edits, grouped, pool, question, request, text


def test_a_selector_that_fails_is_told_with_the_device_and_a_guard_that_is_tried():
    devices = [Device(name="bare"), *(Device(name=f"d{n}", attributes={"x": 1}) for n in range(2))]
    expression = f'device.attributes["{GPU}"].x == 1'
    found = explain(question([pool(GPU, devices)], claim(request("r", GPU, expression, count=2))))
    (node,) = found.nodes
    assert node.answer is Answer.ERROR
    (poison,) = node.poisons
    assert (poison.device, poison.devices, poison.error) == (f"{GPU}/n1/bare", 1, "no such key: x")
    assert poison.guarded == f'"x" in device.attributes["{GPU}"] && ({expression})'
    assert edits(found)[0] == f"request 'r': guard the selector: {poison.guarded}"


def test_a_guard_of_a_selector_with_a_comment_still_closes():
    devices = [Device(name="bare"), Device(name="d", attributes={"x": 1})]
    expression = f'device.attributes["{GPU}"].x == 1 // as ordered'
    (node,) = explain(question([pool(GPU, devices)], claim(request("r", GPU, expression)))).nodes
    assert node.poisons[0].guarded is not None


def test_a_version_that_is_compared_with_text_is_told_how_to_compare_it():
    devices = [Device(name="d", attributes={"v": Version("1.2.3")})]
    expression = f'device.attributes["{GPU}"].v == "1.2.3"'
    (node,) = explain(question([pool(GPU, devices)], claim(request("r", GPU, expression)))).nodes
    assert node.poisons[0].guarded is None
    assert 'semver("...")' in node.poisons[0].hint


@pytest.mark.parametrize(
    ("expression", "correct"),
    [
        (
            f'has(device.attributes["{GPU}"].modle) && device.attributes["{GPU}"].modle == "a"',
            f'has(device.attributes["{GPU}"].model) && device.attributes["{GPU}"].model == "a"',
        ),
        (f"device.attributes['{GPU}']['modle'] == 'a'", f"device.attributes[\"{GPU}\"].model == 'a'"),
        (
            f'device.attributes["{GPU}"].?modle.orValue("") == "a"',
            f'device.attributes["{GPU}"].?model.orValue("") == "a"',
        ),
    ],
)
def test_a_misspelt_attribute_is_told_with_the_one_that_is_meant_and_that_is_tried(expression, correct):
    devices = [Device(name="d", attributes={"model": "a"})]
    found = explain(question([pool(GPU, devices)], claim(request("r", GPU, expression))))
    (one,) = found.nodes[0].misspellings
    assert (one.name, one.nearest) == (f"{GPU}/modle", f"{GPU}/model")
    assert edits(found)[0] == f"request 'r': read {GPU}/model instead of {GPU}/modle"
    changed = found.changes[0].question.claims[0]["spec"]["devices"]["requests"][0]
    assert changed["exactly"]["selectors"][0]["cel"]["expression"] == correct


def test_a_misspelt_constraint_is_told_with_the_one_that_is_meant():
    wrong = GROUP.replace("group", "gruop")
    found = explain(question([pool(GPU, grouped("gpu", 1, 2))], claim(request("r", count=2), match=[wrong])))
    assert [one.nearest for one in found.nodes[0].misspellings] == [GROUP]
    assert edits(found)[0] == f"matchAttribute: {GROUP} instead of {wrong}"


def test_a_name_that_some_device_has_is_not_misspelt():
    devices = [Device(name="a", attributes={"x": 1}), Device(name="b")]
    found = explain(question([pool(GPU, devices)], claim(request("r", GPU, f'"x" in device.attributes["{GPU}"]'))))
    assert found.nodes[0].misspellings == ()


@pytest.mark.parametrize(
    ("condition", "change"),
    [
        ('device.attributes["gpu.example.com"].model == "b"', 'device.attributes["gpu.example.com"].model == "a"'),
        ("device.attributes['gpu.example.com'].model == 'b'", "device.attributes['gpu.example.com'].model == \"a\""),
        ('device.attributes["gpu.example.com"].size > 9', 'drop the condition device.attributes["gpu.example.com"].s'),
        (
            'device.capacity["gpu.example.com"].memory.compareTo(quantity("96Gi")) >= 0',
            'device.capacity["gpu.example.com"].memory.compareTo(quantity("32Gi")) >= 0',
        ),
    ],
)
def test_a_condition_that_nothing_meets_is_offered_with_what_devices_have_or_dropped(condition, change):
    devices = [Device(name="d", attributes={"model": "a", "size": 4}, capacity={"memory": Quantity("32Gi")})]
    other = f'device.driver == "{GPU}"'
    found = explain(question([pool(GPU, devices)], claim(request("r", GPU, f"{other} && {condition}"))))
    assert change in edits(found)[0]
    changed = found.changes[0].question.claims[0]["spec"]["devices"]["requests"][0]["exactly"]["selectors"]
    assert other in changed[0]["cel"]["expression"]


def test_a_taint_is_offered_to_be_tolerated():
    devices = [Device(name="d", taints=(Taint("unhealthy", "yes", "NoExecute"),))]
    found = explain(question([pool(GPU, devices)], claim(request("r"))))
    assert edits(found) == ["request 'r': tolerate the taint unhealthy:NoExecute"]


def test_too_much_capacity_is_told_with_what_is_left_and_the_most_there_is():
    share = SharePolicy(policies={"m": RequestPolicy(default=Quantity(1))})
    pools = [pool(GPU, [Device(name="d", capacity={"m": Quantity("8Gi")})], shares={"d": share})]
    asked = question(pools, claim(request("r", capacity={"requests": {"m": "16Gi"}})))
    found = explain(asked)
    assert found.nodes[0].funnels[0].steps[-1].detail == "1 with 8Gi of m left, 16Gi asked"
    assert edits(found) == ["request 'r': ask for 8Gi instead of 16Gi of m"]


def test_who_would_have_to_give_devices_back_is_told():
    refs = {f"{GPU}/n1/gpu-{n}": "claim ns/small" if n == 0 else "claim ns/big" for n in range(4)}
    holders = {DeviceRef(*ref.split("/")): who for ref, who in refs.items()}
    found = explain(question([pool(GPU, grouped("gpu", 1, 4))], claim(request("r")), held=refs, holders=holders))
    assert found.nodes[0].funnels[0].steps[-1].detail == "3 by claim ns/big, 1 by claim ns/small"
    assert edits(found)[:2] == [
        "once claim ns/small gives back 1 device",
        "once claim ns/big gives back 3 devices",
    ]


def test_all_devices_can_be_asked_for_by_number_instead():
    found = explain(
        question([pool(GPU, grouped("gpu", 1, 4))], claim(request("r", allocationMode="All")), held=[f"{GPU}/n1/gpu-2"])
    )
    assert edits(found)[0].startswith("request 'r': ask for 3 instead of all")


def test_two_changes_are_told_where_one_is_not_enough_and_each_is_as_small_as_can_be():
    pools = [pool(GPU, grouped("gpu", 1, 4)), pool(NIC, grouped("nic", 1, 4))]
    found = explain(question(pools, claim(request("a", count=9), request("b", NIC, count=6))))
    assert edits(found) == ["request 'a': ask for 4 instead of 9 & request 'b': ask for 4 instead of 6"]


def test_more_devices_than_a_claim_can_have_are_an_error_with_a_count_that_would_do():
    found = explain(question([pool(GPU, grouped("gpu", 10, 4))], claim(request("r", count=40))))
    assert "asks for 40 devices" in found.nodes[0].error
    assert edits(found) == [
        "request 'r': ask for 32 here and in another claim for 8",
        "request 'r': ask for 32 instead of 40",
    ]


def test_an_unknown_class_is_an_error_of_the_claims_with_the_class_that_is_meant():
    found = explain(question([pool(GPU, grouped("gpu", 1, 1))], claim(request("r", "gpu.exampel.com"))))
    assert "there is no DeviceClass 'gpu.exampel.com'" in found.error
    assert found.hint == f"did you mean {GPU}?"
    assert found.hint in text(found)


def test_limits_are_kept_and_what_was_not_tried_is_said():
    pools = [pool(GPU, grouped("gpu", 1, 4)), pool(NIC, grouped("nic", 1, 4))]
    found = explain(question(pools, claim(request("a", count=9), request("b", NIC, count=6))), Limits(trials=3))
    assert not found.complete
    assert "the limits were reached" in text(found)


def test_types_of_nodes_on_which_it_would_fit_are_told_and_a_type_that_fails_is_no_matter():
    def failing():
        raise ConfigError("no such type")

    small, large = ([pool(GPU, grouped("gpu", 1, n))] for n in (2, 4))
    types = {
        "small": lambda: (SliceSet.of_pools(small), NODE),
        "broken": failing,
        "large": lambda: (SliceSet.of_pools(large), NODE),
    }
    found = explain(question(small, claim(request("r", count=4)), node_types=types))
    assert found.node_types == ("large",)
    assert "it fits on an empty large" in text(found)


def test_what_is_too_much_for_one_claim_may_be_asked_for_in_several():
    pools = [pool(GPU, [Device(name=f"d{number}") for number in range(80)])]
    found = explain(question(pools, claim(request("r", count=70))))
    assert "one claim can have at most 32" in (found.nodes[0].error or "")
    assert "split" not in (found.nodes[0].error or "")
    assert edits(found)[0] == "request 'r': ask for 32 here and in other claims for 32 and for 6"
    change = found.changes[0]
    counts = [one["spec"]["devices"]["requests"][0]["exactly"]["count"] for one in change.question.claims]
    assert counts == [32, 32, 6]


def test_a_claim_whose_other_requests_leave_room_is_split_where_it_is_too_much():
    pools = [pool(GPU, [Device(name=f"d{number}") for number in range(40)])]
    found = explain(question(pools, claim(request("r", count=30), request("s", count=6))))
    assert edits(found)[0] == "request 'r': ask for 26 here and in another claim for 4"


def test_what_is_under_a_constraint_is_not_split_for_a_constraint_cannot_span_claims():
    pools = [pool(GPU, [Device(name=f"d{number}", attributes={GROUP: "g"}) for number in range(80)])]
    found = explain(question(pools, claim(request("r", count=70), match=[GROUP])))
    assert edits(found) == ["request 'r': ask for 32 instead of 70"]


def test_what_a_node_has_too_little_of_is_not_split():
    pools = [pool(GPU, [Device(name=f"d{number}") for number in range(40)])]
    found = explain(question(pools, claim(request("r", count=70))))
    assert edits(found) == ["request 'r': ask for 32 instead of 70"]


def test_of_alternatives_that_a_release_mixes_up_the_selectors_that_decide_are_told():
    devices = [Device(name=f"d{number}", attributes={"x": 1}) for number in range(2)]
    alternative = {"deviceClassName": GPU, "allocationMode": "All"}
    wrong = [{"cel": {"expression": f'device.attributes["{GPU}"].x == 2'}}]
    asked = claim({"name": "r", "firstAvailable": [{**alternative, "name": "a", "selectors": wrong}]})
    asked["spec"]["devices"]["requests"][0]["firstAvailable"].append({**alternative, "name": "b"})
    found = explain(question([pool(GPU, devices)], asked, profile=kube_profile("1.35")))
    assert found.nodes[0].drift is not None
    assert "#137347" in text(found)
    assert edits(found)[0].startswith("request 'r/a':")
    assert explain(question([pool(GPU, devices)], asked)).satisfied


def test_what_was_tried_last_is_told_however_few_trials_there_may_be():
    holders = {DeviceRef(GPU, "n1", "d0"): "claim ns/a"}
    told = set()
    for trials in range(1, 30):
        asked = question([pool(GPU, [Device(name="d0")])], claim(request("r")), held=[f"{GPU}/n1/d0"], holders=holders)
        found = explain(asked, Limits(trials=trials))
        told |= set(edits(found))
        assert all(Trials(Limits()).ask(change.question) is Answer.FITS for change in found.changes)
    assert told
