"""The allocator against answers recorded from the real one (the default since Kubernetes 1.36, called incubating).

What is left out is left out by a feature in the documents, never by the name of a case, and counted.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from drakit.model import DeviceRef
from drakit.plan import Allocator, DeviceClass, NodeView, NotSupported, PlanError, Unsatisfied, read_slices

RENAMED = {"subReq-": "sub-req-", '"capacity-': '"capacity'} | {
    form.format(name): form.format(name.lower()) for name in "ABCDE" for form in ('"name": "{}"', "a.x/p/{}")
}
"""Upstream's own tests use names that its API server refuses; the planner refuses them too, so they are made valid."""

ListAttribute = ('"ints"', '"bools"', '"strings"', '"versions"')
GATES = {
    "AdminAccess": ("Claims", ('"adminAccess": true',)),
    "PrioritizedList": ("Claims", ('"firstAvailable"',)),
    "DeviceTaints": ("Slices", ('"taints"',)),
    "ListTypeAttributes": ("Slices", ListAttribute),
    "PartitionableDevices": ("Slices", ('"consumesCounters"', '"perDeviceNodeSelection"')),
    "DeviceBindingAndStatus": ("Slices", ('"bindingConditions"',)),
    "ConsumableCapacity": ("Claims", ('"capacity"',)),
}


def without(case: dict[str, Any]) -> str | None:
    """Why a case is not compared: the feature that it needs and the planner does not have."""
    text = {part: json.dumps(case[part]) for part in ("Claims", "Slices")}
    for gate, (part, marks) in GATES.items():
        if not case["FeatureBits"][gate] and any(mark in text[part] for mark in marks):
            return "a feature gate is off"
    if '"allowMultipleAllocations": true' in text["Slices"] or '"capacity"' in text["Claims"]:
        return "consumable capacity"
    if any(d.get("bindsToNode") and not d.get("bindingConditions") for d in devices(case)):
        return "bindsToNode without binding conditions"
    if any(bool(d.get("bindingConditions")) != bool(d.get("bindingFailureConditions")) for d in devices(case)):
        return "the API server refuses it: binding conditions without failure conditions"
    if any(len(set(names)) != len(names) for names in request_names(case)):
        return "the API server refuses it: two requests of one name"
    return None


def devices(case: dict[str, Any]) -> list[dict[str, Any]]:
    return [device for entry in case["Slices"] or () for device in entry["spec"].get("devices") or ()]


def request_names(case: dict[str, Any]) -> list[list[str]]:
    return [[r["name"] for r in claim["spec"]["devices"].get("requests") or ()] for claim in case["Claims"] or ()]


def ours(case: dict[str, Any]) -> Any:
    """The results as documents, None for no fit. Raises PlanError."""
    metadata = case["Node"]["metadata"]
    node = NodeView(metadata["name"], metadata.get("labels") or {})
    pools, unusable = read_slices(case["Slices"] or [], node)
    classes = [DeviceClass.from_document(document) for document in case["Classes"] or ()]
    allocated = [DeviceRef(*text.split("/")) for text in case["AllocatedDevices"] or ()]
    allocator = Allocator(pools, {c.name: c for c in classes}, allocated, unusable)
    outcome = allocator.allocate_all(case["Claims"] or [], node)
    if isinstance(outcome, Unsatisfied):
        assert str(outcome)
        return None
    return [allocation.to_api() for allocation in outcome]


def short(results: list[dict[str, Any]] | None) -> list[list[str]] | None:
    """`request=driver/pool/device`, as the fuzzed cases are recorded."""
    if results is None:
        return None
    return [
        ["{request}={driver}/{pool}/{device}".format(**entry) for entry in result["devices"]["results"]]
        for result in results
    ]


def compare(case: dict[str, Any], golden: dict[str, Any], shape: Any = lambda results: results) -> str | None:
    """What differs from the record, if anything does."""
    try:
        answer = shape(ours(case))
    except NotSupported:
        raise
    except PlanError as error:
        return None if golden["Error"] else f"error {error}"
    if golden["Error"]:
        return f"no error, but {answer}"
    return None if (answer or None) == (golden["Results"] or None) else f"{answer}, not {golden['Results']}"


def test_upstreams_allocator_cases_get_the_recorded_answer(corpus):
    cases = corpus("allocator_v0.36.2.json", rename=RENAMED)["cases"]
    left_out, covered, wrong = Counter(), 0, {}
    for case in cases:
        if reason := without(case):
            left_out[reason] += 1
            continue
        covered += 1
        # Cases with list attributes ran only on the allocator that has them.
        golden = case["Golden"].get("incubating") or case["Golden"]["experimental"]
        if difference := compare(case, golden):
            wrong[case["Name"]] = difference
    assert wrong == {}
    assert len(cases) == 219
    assert left_out == {
        "consumable capacity": 40,
        "a feature gate is off": 14,
        "bindsToNode without binding conditions": 1,
        "the API server refuses it: binding conditions without failure conditions": 1,
        "the API server refuses it: two requests of one name": 1,
    }
    assert covered == 162


def test_random_scenarios_get_the_answer_of_the_allocator_without_its_known_bugs(corpus):
    cases = corpus("allocator_fuzz_100.json")
    compared = [case for case in cases if without(case) is None]
    wrong = {case["Name"]: compare(case, case["Golden"]["fixed"], short) for case in compared}
    assert {name: difference for name, difference in wrong.items() if difference} == {}
    assert (len(cases), len(compared)) == (100, 79)


@pytest.mark.parametrize("name", ["allocator_v0.36.2.json", "allocator_fuzz_100.json"])
def test_what_the_planner_does_not_know_is_refused_or_right(corpus, name):
    """Consumable capacity: a claim that it has no part in is answered, every other one refused by name."""
    recorded = corpus(name, rename=RENAMED)
    cases = recorded["cases"] if isinstance(recorded, dict) else recorded
    refused = 0
    for case in cases:
        if without(case) != "consumable capacity":
            continue
        golden = case["Golden"].get("fixed") or case["Golden"]["incubating"]
        try:
            assert compare(case, golden, short if "fixed" in case["Golden"] else lambda results: results) is None
        except NotSupported:
            refused += 1
    assert refused > 0


def test_the_six_known_bugs_are_not_ours(corpus):
    found = {}
    for case in corpus("allocator_bugs.json", rename=RENAMED):
        try:
            found[case["Name"].partition(" ")[0]] = short(ours(case)) == case["Golden"]["fixed"]
        except NotSupported:
            found[case["Name"].partition(" ")[0]] = None
    assert found == {"B1": True, "B2": True, "B3a": True, "B3b": True, "B4": True, "B5": True, "B6": None}
