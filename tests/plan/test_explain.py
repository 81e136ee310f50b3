"""What an explanation says of one claim: the funnel, the values and the reason, on each node and release."""

from __future__ import annotations

import json

import pytest
from drakit.model import CounterConsumption, CounterSet, Device, DeviceRef, Taint
from drakit.plan import NodeView, Stage, kube_profile, read_slices
from drakit.plan.explain import Answer, Limits, Question, ReasonKind, explain, to_document

from tests.plan.questions import (
    CLASSES,
    GPU,
    GROUP,
    GROUP8,
    NIC,
    NODE,
    claim,
    edits,
    grouped,
    pool,
    question,
    reasons,
    request,
    text,
)


def test_a_funnel_says_what_became_of_every_device_with_who_holds_it_and_what_it_reads():
    consumes = {"consumes": (CounterConsumption("c", {"m": 2}),)}
    devices = [
        Device(name="free", attributes={"x": 1}),
        Device(name="other", attributes={"x": 2}),
        Device(name="held", attributes={"x": 1}),
        Device(name="tainted", attributes={"x": 1}, taints=(Taint("k", "v"),)),
        Device(name="partition", attributes={"x": 1}, **consumes),
    ]
    pools = [pool(GPU, devices, counters=(CounterSet("c", {"m": 1}),)), pool(NIC, [Device(name="nic")])]
    wanted = claim(request("r", GPU, f'device.attributes["{GPU}"].x == 1', count=3))
    asked = question(
        pools, wanted, held=[f"{GPU}/n1/held"], holders={DeviceRef(GPU, "n1", "held"): "claim team/training"}
    )
    (funnel,) = explain(asked).nodes[0].funnels
    assert [(step.stage, step.lost, step.detail) for step in funnel.steps] == [
        (Stage.NOT_IN_CLASS, 1, f"class {GPU}"),
        (Stage.NOT_SELECTED, 1, ""),
        (Stage.IN_USE, 1, "1 by claim team/training"),
        (Stage.NO_COUNTERS, 1, "1 draw 2 of c/m, 1 left"),
        (Stage.TAINTED, 1, "1 k=v:NoSchedule"),
    ]
    assert (funnel.seen, funnel.usable, funnel.needed, funnel.missing) == (6, 1, 3, 2)
    (conjunct,) = funnel.conjuncts
    assert (conjunct.holds, conjunct.of) == (4, 5)
    assert conjunct.values == {f'device.attributes["{GPU}"].x': {"2": 1}}


def test_the_reason_is_the_request_that_fails_alone():
    found = explain(question([pool(GPU, grouped("gpu", 2, 4))], claim(request("few"), request("many", count=9))))
    assert reasons(found) == ["request 'many' needs 9, 8 usable"]
    assert found.nodes[0].reasons[0].kind is ReasonKind.REQUEST
    assert edits(found)[0] == "request 'many': ask for 7 instead of 9"


def test_a_group_that_is_too_small_is_the_reason_with_its_values_and_a_wider_group_that_would_do():
    pools = [pool(GPU, grouped("gpu", 4, 4)), pool(NIC, grouped("nic", 4, 2))]
    wanted = claim(request("gpus", GPU, count=4), request("nics", NIC, count=4), match=[GROUP])
    found = explain(question(pools, wanted))
    assert reasons(found) == [f"'nics' needs 4 devices of one value of {GROUP}, and no value has more than 2 usable"]
    (table,) = found.nodes[0].tables
    assert (table.requests, table.needed, table.possible) == (("gpus", "nics"), (4, 4), False)
    assert {(row.value, row.free) for row in table.rows} == {(f"g{n}", (4, 2)) for n in range(4)}
    assert edits(found) == [
        "request 'nics': ask for 2 instead of 4",
        f"matchAttribute: {GROUP8} instead of {GROUP}",
    ]


def test_groups_that_are_broken_on_either_side_are_told_by_the_nearest():
    pools = [pool(GPU, grouped("gpu", 2, 4)), pool(NIC, grouped("nic", 2, 4))]
    wanted = claim(request("gpus", GPU, count=4), request("nics", NIC, count=4), match=[GROUP])
    found = explain(question(pools, wanted, held=[f"{GPU}/n1/gpu-0", f"{NIC}/n1/nic-4", f"{NIC}/n1/nic-5"]))
    assert reasons(found) == [
        f"no value of {GROUP} has enough for 'gpus' and 'nics'; nearest is g0: 'gpus' needs 4, 3 usable"
    ]


def test_devices_without_the_attribute_have_a_row_of_their_own():
    devices = [Device(name="a", attributes={GROUP: "g0"}), Device(name="b"), Device(name="c")]
    found = explain(question([pool(GPU, devices)], claim(request("r", count=2), match=[GROUP])))
    (table,) = found.nodes[0].tables
    assert [(row.value, row.free, row.enough) for row in table.rows] == [("g0", (1,), False), (None, (2,), False)]
    assert "without it" in text(found)


def test_requests_that_only_fail_together_are_named_without_those_that_have_nothing_to_do_with_it():
    pools = [pool(GPU, grouped("gpu", 1, 3)), pool(NIC, grouped("nic", 1, 3))]
    wanted = claim(request("a", count=2), request("free", NIC), request("b", count=2))
    (reason,) = explain(question(pools, wanted)).nodes[0].reasons
    assert reason.kind is ReasonKind.TOGETHER
    assert reason.text == (
        "requests 'a' and 'b' need 4 different devices together, and only 3 are usable for any of them"
    )
    assert reason.parts == (("request", 0, 0), ("request", 0, 2))


def test_the_claims_of_a_pod_are_explained_together():
    claims = [claim(request("r", count=2), name="one"), claim(request("r", count=2), name="two")]
    found = explain(question([pool(GPU, grouped("gpu", 1, 3))], *claims))
    assert found.claims == ("ns/one", "ns/two")
    assert found.nodes[0].reasons[0].parts == (("request", 0, 0), ("request", 1, 0))
    assert "request 'r' of claim 'ns/two': ask for 1 instead of 2" in edits(found)


def test_too_few_different_values_are_the_reason_under_distinct_attribute():
    devices = [Device(name=f"d{n}", attributes={GROUP: f"g{n % 2}"}) for n in range(6)]
    found = explain(question([pool(GPU, devices)], claim(request("r", count=3), distinct=[GROUP])))
    assert reasons(found) == [f"'r' must have 3 different values of {GROUP}; the usable devices have 2"]


def test_a_reason_of_too_many_parts_is_said_to_be_none_that_is_short():
    groups = [pool(GPU, grouped("gpu", 8, 1)), pool(NIC, grouped("nic", 8, 1)[:7])]
    pairs = [request(f"{kind}-{n}", driver) for n in range(8) for kind, driver in (("gpu", GPU), ("nic", NIC))]
    found = explain(question(groups, claim(*pairs)))
    (reason,) = found.nodes[0].reasons
    assert not reason.short
    assert "no short reason was found: 8 requests and constraints fail only together" in text(found)
    assert "need 8 different devices together, and only 7" in reason.text


def test_a_selector_that_is_no_cel_is_told_and_nothing_is_guessed():
    found = explain(question([pool(GPU, grouped("gpu", 1, 1))], claim(request("r", GPU, "1 +"))))
    assert "does not compile" in found.nodes[0].error
    assert found.nodes[0].funnels[0].conjuncts == ()
    assert text(found)


@pytest.mark.parametrize(
    "document",
    [{}, {"spec": None}, {"spec": {"devices": []}}, {"metadata": 3, "spec": {"devices": {"requests": [{}]}}}],
)
def test_a_claim_that_is_none_is_an_error_and_no_traceback(document):
    found = explain(question([pool(GPU, grouped("gpu", 1, 1))], document))
    assert found.error or found.satisfied
    assert text(found)


def test_no_nodes_and_no_devices_are_said_as_such():
    assert text(explain(question([], claim(request("r")), nodes=[]))) == "claim ns/c: there is no node to be met on"
    assert "request 'r' needs 1, none usable" in text(explain(question([], claim(request("r")))))


def test_a_pool_that_is_being_updated_is_told():
    spec = {"driver": GPU, "nodeName": "n1", "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 2}}
    slices = read_slices([{"metadata": {"name": "s"}, "spec": spec | {"devices": [{"name": "d"}]}}])
    found = explain(Question(claims=[claim(request("r"))], nodes=[NODE], slices=slices, classes=CLASSES))
    assert found.nodes[0].pools == (f"pool {GPU}/n1 is not used: it has 1 of 2 slices: it is being updated",)


def test_a_search_without_end_is_neither_yes_nor_no():
    pairs = [request(f"{kind}-{n}", driver) for n in range(8) for kind, driver in (("gpu", GPU), ("nic", NIC))]
    document = claim(*pairs)
    document["spec"]["devices"]["constraints"] = [
        {"requests": [f"gpu-{n}", f"nic-{n}"], "matchAttribute": GROUP} for n in range(8)
    ]
    pools = [pool(GPU, grouped("gpu", 8, 1)), pool(NIC, grouped("nic", 8, 1)[:7])]
    found = explain(question(pools, document), Limits(steps=10, trial_steps=10))
    assert found.nodes[0].answer is Answer.UNKNOWN
    assert text(found).startswith("claim ns/c: neither yes nor no on n1")


def partitioned():
    """A node on which 1.36 says no because of its bugs: a tainted partition keeps its counters."""
    consumes = (CounterConsumption("c", {"m": 2}),)
    devices = [Device(name="a", consumes=consumes, taints=(Taint("k"),)), Device(name="b", consumes=consumes)]
    return [pool(GPU, devices, counters=(CounterSet("c", {"m": 2}),))]


def test_where_versions_differ_the_bug_is_named():
    found = explain(question(partitioned(), claim(request("r")), profile=kube_profile("1.36")))
    drift = found.nodes[0].drift
    assert found.nodes[0].answer is Answer.DOES_NOT_FIT
    assert drift.fixed is Answer.FITS
    assert dict(drift.others)["1.37"] is Answer.FITS
    assert [bug.name for bug in drift.bugs] == ["REFUSED_KEEP_COUNTERS"]
    assert "because of bug B1, B2" in text(found)


def test_a_bug_of_another_version_is_named_where_the_version_asked_has_it_not():
    found = explain(question(partitioned(), claim(request("r")), profile=kube_profile("1.37")))
    drift = found.nodes[0].drift
    assert (drift.answer, dict(drift.others)["1.36"]) == (Answer.FITS, Answer.DOES_NOT_FIT)
    assert dict(drift.causes)["1.36"].startswith("bug B1, B2")
    assert "1.36 because of bug B1, B2" in text(found)


@pytest.mark.parametrize(("version", "other", "switch"), [("1.37", "1.35", "off"), ("1.35", "1.37", "on")])
def test_a_gate_that_is_otherwise_in_another_version_is_named_in_both_directions(version, other, switch):
    tainted = [pool(GPU, [Device(name="a", taints=(Taint("k"),))])]
    found = explain(question(tainted, claim(request("r")), profile=kube_profile(version)))
    assert dict(found.nodes[0].drift.causes)[other] == f"the gate DRADeviceTaints, which is {switch} there"


def test_versions_that_agree_are_not_mentioned():
    assert explain(question([pool(GPU, grouped("gpu", 1, 1))], claim(request("r", count=2)))).nodes[0].drift is None


def test_nodes_that_are_alike_are_one_and_the_nearest_miss_comes_first():
    slices = [
        {
            "metadata": {"name": f"n{n}"},
            "spec": {
                "driver": GPU,
                "nodeName": f"n{n}",
                "pool": {"name": f"n{n}", "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": f"d{i}"} for i in range(3 if n == 11 else 1 + n % 2)],
            },
        }
        for n in range(12)
    ]
    nodes = [NodeView(f"n{n}") for n in range(12)]
    asked = Question(
        claims=[claim(request("r", count=4))],
        nodes=nodes,
        slices=read_slices(slices),
        classes=CLASSES,
        kinds={f"n{n}": "small" if n % 2 == 0 else "large" for n in range(12)},
    )
    found = explain(asked, Limits(nodes=2))
    assert [(len(one.nodes), one.kind, one.whole_kind) for one in found.nodes] == [
        (1, "large", False),
        (5, "large", False),
    ]
    assert found.others == ((Answer.DOES_NOT_FIT, 6),)
    assert "does not fit on all 6 small" in text(explain(asked))
    assert found.changes[0].nodes == ("n11",)


def test_a_claim_that_is_met_is_told_with_what_was_passed_over_and_why():
    pools = [pool(GPU, grouped("gpu", 3, 2))]
    held = f"{GPU}/n1/gpu-2"
    alternatives = [{"name": "many", "deviceClassName": GPU, "count": 7}, {"name": "two", "deviceClassName": GPU}]
    document = claim({"name": "first", "firstAvailable": alternatives}, request("r", count=2), match=[GROUP])
    document["spec"]["devices"]["constraints"][0]["requests"] = ["r"]
    found = explain(question(pools, document, held=[held], holders={DeviceRef(*held.split("/")): "claim x/y"}))
    assert found.fits == ("n1",)
    first, pair = found.nodes[0].given
    assert [one.name for one in first.devices] == ["gpu-0"]
    assert first.instead_of == ("first/many: needs 7, 5 usable",)
    assert [one.name for one in pair.devices] == ["gpu-4", "gpu-5"]
    assert pair.common == {GROUP: "g2"}
    assert set(pair.passed) == {
        "1 in use by claim x/y",
        "2 usable, but with it the rest could not be met",
        "1 taken by other requests of the pod",
    }
    assert text(found).startswith("claim ns/c fits on n1")


def test_a_version_that_takes_pools_in_random_order_says_so():
    pools = [pool(GPU, grouped("gpu", 1, 2)), pool(NIC, grouped("nic", 1, 2))]
    found = explain(question(pools, claim(request("r")), profile=kube_profile("1.34")))
    assert "one of several answers" in text(found)


def test_the_document_is_plain_data_and_says_the_same():
    pools = [pool(GPU, grouped("gpu", 4, 4)), pool(NIC, grouped("nic", 4, 2))]
    wanted = claim(request("gpus", GPU, count=4), request("nics", NIC, count=4), match=[GROUP])
    document = to_document(explain(question(pools, wanted)))
    assert json.loads(json.dumps(document)) == document
    (node,) = document["nodes"]
    assert node["answer"] == "DOES_NOT_FIT"
    assert node["reasons"][0]["parts"] == ["claims[0].constraints[0]", "claims[0].requests[1]"]
    assert document["changes"][0]["edits"] == [
        {
            "claim": "c",
            "path": "spec.devices.requests[1].exactly.count",
            "was": "4",
            "now": "2",
            "text": "request 'nics': ask for 2 instead of 4",
        }
    ]


def test_nodes_that_differ_only_in_names_and_values_are_told_once():
    devices = {n: [{"name": "d", "attributes": {"serial": {"int": n}}}] for n in range(5)}
    slices = [
        {
            "metadata": {"name": f"n{n}"},
            "spec": {
                "driver": GPU,
                "nodeName": f"n{n}",
                "pool": {"name": f"n{n}", "generation": 1, "resourceSliceCount": 1},
                "devices": own,
            },
        }
        for n, own in devices.items()
    ]
    asked = Question(
        claims=[claim(request("r", count=2))],
        nodes=[NodeView(f"n{n}") for n in devices],
        slices=read_slices(slices),
        classes=CLASSES,
    )
    found = explain(asked)
    assert [(one.nodes, one.similar) for one in found.nodes] == [(("n0",), ("n1", "n2", "n3", "n4"))]
    assert "does not fit on n0, n1, n2 and 2 more" in text(found)
    assert "names and values below are those of n0" in text(found)
