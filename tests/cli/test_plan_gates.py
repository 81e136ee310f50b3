"""`drakit plan` on clusters whose feature gates are not as their release comes, and answers that rest on bugs."""

from __future__ import annotations

import json
from typing import Any

import pytest

DRIVER = "g.x.io"


def lists(*values: int) -> Any:
    return {"attributes": {"numa": {"ints": list(values)}}}


TAINT = {"taints": [{"key": "broken", "effect": "NoSchedule"}]}
SHARED = {"allowMultipleAllocations": True}
BINDING = {"bindingConditions": ["ready"], "bindingFailureConditions": ["failed"]}
DRAWS = {"consumesCounters": [{"counterSet": "s", "counters": {"c": {"value": "1"}}}]}
COUNTERS = {"sharedCounters": [{"name": "s", "counters": {"c": {"value": "4"}}}]}


def slices(*devices: Any, **spec: Any) -> Any:
    named = [{"name": f"a{number}", **one} for number, one in enumerate(devices, 1)]
    parts = [{"devices": named}, *([spec] if spec else [])]
    return [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": f"s{number}"},
            "spec": {
                "driver": DRIVER,
                "nodeName": "n1",
                "pool": {"name": "n1", "generation": 1, "resourceSliceCount": len(parts)},
                **part,
            },
        }
        for number, part in enumerate(parts)
    ]


@pytest.fixture
def plan(drakit, tmp_path):
    def run(items: Any, *args: Any, count: int = 2, **constraint: str) -> Any:
        klass = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": DRIVER},
            "spec": {"selectors": [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}]},
        }
        devices = {"requests": [{"name": "r", "exactly": {"deviceClassName": DRIVER, "count": count}}]}
        claim = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": "c"},
            "spec": {"devices": devices | ({"constraints": [constraint]} if constraint else {})},
        }
        (tmp_path / "slices.json").write_text(json.dumps({"kind": "List", "items": [*items, klass]}))
        (tmp_path / "claim.json").write_text(json.dumps(claim))
        return drakit("plan", "-f", tmp_path / "claim.json", "--slices", tmp_path / "slices.json", *args)

    return run


NUMA = f"{DRIVER}/numa"
OVERLAPPING = slices(lists(0, 1), lists(1), lists(1))


def test_slices_with_list_attributes_are_of_a_cluster_that_has_them_on(plan):
    found = plan(OVERLAPPING, matchAttribute=NUMA)
    assert found.code == 0, found.out
    assert "DRAListTypeAttributes=true" in found.out.splitlines()[0]
    assert "assumed to be on, since the slices hold what it governs: DRAListTypeAttributes" in found.out
    assert plan(OVERLAPPING, "-o", "json", matchAttribute=NUMA).json["kubernetes"]["gates"] == {
        "DRAListTypeAttributes": True
    }


def test_a_gate_that_is_given_outweighs_the_slices_and_lists_are_shown_as_they_are(plan):
    found = plan(OVERLAPPING, "--feature-gate", "DRAListTypeAttributes=false", matchAttribute=NUMA)
    assert found.code == 1
    assert "[0, 1] as a whole" in found.out
    assert "lists count as a whole, since DRAListTypeAttributes is off" in found.out
    assert "assumed" not in found.out


@pytest.mark.parametrize("version", ["1.34", "1.35"])
@pytest.mark.parametrize(
    ("gate", "items"),
    [
        ("DRADeviceTaints", slices(TAINT)),
        ("DRAPartitionableDevices", slices(DRAWS, **COUNTERS)),
        ("DRAConsumableCapacity", slices(SHARED)),
        ("DRADeviceBindingConditions", slices(BINDING)),
    ],
)
def test_what_an_older_release_would_have_dropped_tells_its_gate_to_be_on(plan, version, gate, items):
    found = plan(items, "--kube-version", version, "-o", "json", count=1)
    assert found.json["kubernetes"]["gates"] == {gate: True}
    assert found.code == (1 if gate == "DRADeviceTaints" else 0)
    off = plan(items, "--kube-version", version, "--feature-gate", f"{gate}=false", "-o", "json", count=1)
    assert off.json["kubernetes"]["gates"] == {}


def test_slices_of_what_a_release_has_on_change_nothing(plan):
    found = plan(slices({}, {}), "-o", "json")
    assert (found.json["kubernetes"]["gates"], found.json["notes"]) == ({}, [])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["DRADeviceTaint=true"], "did you mean 'DRADeviceTaints'?"),
        (["DRADeviceTaints"], "must be DRADeviceTaints=true or DRADeviceTaints=false"),
        (["DRADeviceTaints=yes"], "must be DRADeviceTaints=true or DRADeviceTaints=false"),
        (["Nothing=true"], "there are: DRAAdminAccess"),
        (["DRADeviceTaints=true", "DRADeviceTaints=false"], "is given as true and as false"),
    ],
)
def test_a_gate_that_there_is_not_or_that_is_not_switched_is_bad_input(plan, args, said):
    found = plan(slices({}), *(part for one in args for part in ("--feature-gate", one)))
    assert found.code == 2
    assert said in found.err


def test_a_gate_of_a_later_release_is_refused(plan):
    found = plan(slices({}), "--kube-version", "1.35", "--feature-gate", "DRAListTypeAttributes=true")
    assert found.code == 2
    assert "Kubernetes 1.35 has no such gate; 1.36 is the first" in found.err


RACKS = slices(*({"attributes": {"rack": {"string": rack}}} for rack in "aba"))


def test_a_placement_that_only_a_bug_allows_is_told_with_the_bug(plan):
    asked = {"count": 3, "distinctAttribute": f"{DRIVER}/rack"}
    found = plan(RACKS, "--kube-version", "1.36", **asked)
    assert found.code == 0, found.out
    assert "Note: only known bugs of 1.36 let c fit where placed" in found.out
    assert "B4: distinctAttribute knows only the last value" in found.out
    assert plan(RACKS, "--kube-version", "1.36", "--fixed-bugs", **asked).code == 1


def test_a_placement_that_rests_on_no_bug_is_not_noted(plan):
    found = plan(RACKS, "--kube-version", "1.36", count=2, distinctAttribute=f"{DRIVER}/rack")
    assert (found.code, "known bugs of" in found.out) == (0, False)


def test_a_gate_that_an_older_version_has_not_is_named(plan):
    found = plan(OVERLAPPING, "--explain", matchAttribute=NUMA)
    assert "1.34, 1.35 because of the gate DRAListTypeAttributes, which is not there" in " ".join(found.out.split())
