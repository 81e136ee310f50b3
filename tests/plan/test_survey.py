"""Many nodes at once, and many versions."""

from __future__ import annotations

import pytest
from drakit.plan import (
    Allocated,
    Allocator,
    DeviceClass,
    InvalidDocument,
    NodeView,
    PlanError,
    Undecided,
    kube_profile,
    read_slices,
)

GPU = "gpu.example.com"
CLASSES = {"gpu": DeviceClass("gpu")}


def slice_of(node, *devices, pool=None, **spec):
    where = {} if spec.get("allNodes") else {"nodeName": node}
    return {
        "metadata": {"name": f"{node}-{pool}"},
        "spec": {
            "driver": GPU,
            "pool": {"name": pool or node, "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": device} if isinstance(device, str) else device for device in devices],
        }
        | where
        | spec,
    }


def claim(count=1, **exactly):
    request = {"name": "r", "exactly": {"deviceClassName": "gpu", "count": count} | exactly}
    return {"metadata": {"name": "c", "uid": "u"}, "spec": {"devices": {"requests": [request]}}}


def nodes(count):
    return [NodeView(f"n{index}") for index in range(count)]


def given(outcome):
    return [str(result.device) for allocation in outcome for result in allocation.results]


def test_nodes_that_are_alike_share_a_verdict_and_each_has_devices_of_its_own():
    slices = read_slices([slice_of("n0", "a", "b"), slice_of("n1", "a"), slice_of("n2", "a", "b")])
    two, one = Allocator(slices, CLASSES).survey([claim(2)], nodes(3))
    assert [node.name for node in two.nodes] == ["n0", "n2"]
    assert two.fits
    assert given(two.outcome("n2")) == [f"{GPU}/n2/a", f"{GPU}/n2/b"]
    (allocation,) = two.outcome("n2")
    assert allocation.to_api()["nodeSelector"]["nodeSelectorTerms"][0]["matchFields"][0]["values"] == ["n2"]
    assert not one.fits
    assert "node 'n1' cannot serve" in str(one.outcome("n1"))


def test_what_is_held_on_a_node_tells_it_from_others():
    slices = read_slices([slice_of(f"n{index}", "a", "b") for index in range(3)])
    held = Allocated.of_claims(
        [
            {
                "metadata": {"name": "h"},
                "status": {"allocation": {"devices": {"results": [{"driver": GPU, "pool": "n1", "device": "a"}]}}},
            }
        ]
    )
    free, busy = Allocator(slices, CLASSES, held).survey([claim()], nodes(3))
    assert [node.name for node in free.nodes] == ["n0", "n2"]
    assert given(busy.outcome()) == [f"{GPU}/n1/b"]


def test_an_error_on_one_node_is_said_there_and_hides_no_other():
    poison = {"selectors": [{"cel": {"expression": f'device.attributes["{GPU}"].x == 1'}}]}
    slices = read_slices([slice_of("n0", "a"), slice_of("n1", {"name": "a", "attributes": {"x": {"int": 1}}})])
    failed, met = Allocator(slices, CLASSES).survey([claim(**poison)], nodes(2))
    assert "fails on device gpu.example.com/n0/a" in str(failed.error)
    with pytest.raises(PlanError):
        failed.outcome()
    assert met.fits


def test_claims_at_fault_are_no_verdict():
    with pytest.raises(InvalidDocument):
        Allocator(read_slices([]), CLASSES).survey([claim(0)], nodes(1))


def test_searches_of_one_survey_share_their_steps():
    """A selector that fails somewhere leaves only the plain search, which is long where devices do not suffice."""
    selector = {"selectors": [{"cel": {"expression": 'device.attributes["o.x"].a == "b"'}}]}
    requests = [{"name": f"r{index}", "exactly": {"deviceClassName": "gpu"}} for index in range(12)]
    requests.append({"name": "last", "exactly": {"deviceClassName": "gpu"} | selector})
    asked = {"metadata": {"name": "c"}, "spec": {"devices": {"requests": requests}}}
    slices = read_slices([slice_of(f"n{index}", *(f"d{index}-{device}" for device in range(12))) for index in range(4)])
    verdicts = Allocator(slices, CLASSES, steps=1000).survey([asked], nodes(4))
    assert [type(verdict.error) for verdict in verdicts] == [Undecided] * 4
    assert "after 1000 steps" not in str(verdicts[-1].error)


def test_versions_without_an_order_say_that_there_are_other_answers():
    slices = read_slices([slice_of("n0", "a", pool="p"), slice_of("n0", "a", pool="q")])
    for version, several in (("1.35", True), ("1.36", False)):
        (verdict,) = Allocator(slices, CLASSES, profile=kube_profile(version)).survey([claim()], nodes(1))
        assert verdict.one_of_several is several


def test_a_share_is_written_with_an_id_and_what_it_consumes():
    policy = {"default": "1Gi", "validRange": {"min": "1Gi", "step": "1Gi"}}
    device = {
        "name": "a",
        "allowMultipleAllocations": True,
        "capacity": {"memory": {"value": "4Gi", "requestPolicy": policy}},
    }
    allocator = Allocator(read_slices([slice_of("n0", device)]), CLASSES)
    wanted = claim(capacity={"requests": {"memory": "1500Mi"}})
    first = allocator.allocate(wanted, NodeView("n0")).to_api()["devices"]["results"][0]
    assert first["consumedCapacity"] == {"memory": "2Gi"}
    assert first["shareID"] == allocator.allocate(wanted, NodeView("n0")).results[0].share_id

    both = allocator.allocate_all([wanted, {**wanted, "metadata": {"name": "d", "uid": "v"}}], NodeView("n0"))
    assert len({allocation.results[0].share_id for allocation in both}) == 2
    held = Allocated.of_claims([{"metadata": {"name": "c"}, "status": {"allocation": both[0].to_api()}}])
    again = Allocator(read_slices([slice_of("n0", device)]), CLASSES, held)
    assert again.allocate(wanted, NodeView("n0")).results
    refused = str(again.allocate(claim(capacity={"requests": {"memory": "3Gi"}}), NodeView("n0")))
    assert "0 of them usable (1 too little capacity" in refused
