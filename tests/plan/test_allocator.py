from __future__ import annotations

import pytest
from drakit.model import (
    ALL_NODES,
    BindingConditions,
    CounterConsumption,
    CounterSet,
    Device,
    DeviceRef,
    NodeSelector,
    NodeSelectorRequirement,
    ResolvedPool,
    Taint,
)
from drakit.plan import (
    Allocated,
    Allocation,
    Allocator,
    DeviceClass,
    InvalidDocument,
    NodeView,
    SelectorFailed,
    SliceSet,
    Unallocatable,
    Undecided,
    Unsatisfied,
    read_slices,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plan.plain_search import plain_search

NODE = NodeView("n1", {"zone": "a"})
GROUP = "resource.example.com/group4_id"
GPU, NIC = "gpu.example.com", "nic.example.com"


def pool(driver, devices, *, name="n1", **fields):
    return ResolvedPool(driver=driver, name=name, devices=tuple(devices), **fields)


def grouped(prefix, groups, per_group):
    return [
        Device(name=f"{prefix}-{group * per_group + index}", attributes={GROUP: f"g{group}", "index": index})
        for group in range(groups)
        for index in range(per_group)
    ]


def device_class(driver, **fields):
    return DeviceClass(driver, (f'device.driver == "{driver}"',), **fields)


CLASSES = {driver: device_class(driver) for driver in (GPU, NIC)}


def request(name, driver, *expressions, **fields):
    selectors = {"selectors": [{"cel": {"expression": text}} for text in expressions]} if expressions else {}
    return {"name": name, "exactly": {"deviceClassName": driver} | selectors | fields}


def claim(*requests, constraints=(), config=(), name="c"):
    devices = {"requests": list(requests), "constraints": list(constraints), "config": list(config)}
    return {"metadata": {"name": name, "namespace": "ns", "uid": "u"}, "spec": {"devices": devices}}


def aligned(count=4):
    wanted = [request("gpus", GPU, count=count), request("nics", NIC, count=count)]
    return claim(*wanted, constraints=[{"requests": ["gpus", "nics"], "matchAttribute": GROUP}])


def node_pools():
    return [pool(GPU, grouped("gpu", 4, 4)), pool(NIC, grouped("nic", 4, 4))]


def given_names(outcome):
    assert isinstance(outcome, Allocation), str(outcome)
    return [f"{result.request}={result.device.name}" for result in outcome.results]


def planner(pools, *, allocated=(), classes=CLASSES, **options):
    return Allocator(SliceSet.of_pools(pools), classes, Allocated(devices=allocated), **options)


def allocate(pools, document, *, allocated=(), classes=CLASSES, node=NODE):
    refs = [DeviceRef(*text.split("/")) for text in allocated]
    return planner(pools, allocated=refs, classes=classes).allocate(document, node)


def test_four_and_four_of_one_group_are_the_first_group():
    outcome = allocate(node_pools(), aligned())
    assert given_names(outcome) == [f"{r}s={r}-{i}" for r in ("gpu", "nic") for i in range(4)]


def test_a_group_that_is_broken_on_either_side_is_passed_over():
    taken = [f"{GPU}/n1/gpu-1", f"{NIC}/n1/nic-7"]
    outcome = allocate(node_pools(), aligned(), allocated=taken)
    assert given_names(outcome) == [f"{r}s={r}-{i}" for r in ("gpu", "nic") for i in range(8, 12)]


def test_no_whole_group_is_said_with_the_sizes_per_value():
    taken = [f"{GPU}/n1/gpu-{4 * group}" for group in range(3)] + [f"{NIC}/n1/nic-15"]
    outcome = allocate(node_pools(), aligned(), allocated=taken)
    assert isinstance(outcome, Unsatisfied)
    assert str(outcome) == (
        f"node 'n1' cannot serve: no value of {GROUP} suits every request ('gpus' needs 4, 'nics' needs 4; usable "
        "devices per value: g0: 3 + 4, g1: 3 + 4, g2: 3 + 4, g3: 4 + 3)"
    )


def test_too_few_devices_are_said_with_what_became_of_them():
    document = claim(request("gpus", GPU, f'device.attributes["{GPU}"].index > 0', count=9))
    taken = [f"{GPU}/n1/gpu-{index}" for index in range(8)]
    outcome = allocate(node_pools(), document, allocated=taken)
    assert str(outcome) == (
        f"node 'n1' cannot serve: request 'gpus' needs 9: 32 devices on the node, 16 of class '{GPU}', 12 match its "
        "selectors, 6 of them usable (6 in use)"
    )


def test_too_few_values_for_devices_that_must_differ_are_said_of_one_request_too():
    document = claim(request("gpus", GPU, count=3), constraints=[{"distinctAttribute": GROUP}])
    assert str(allocate([pool(GPU, grouped("gpu", 2, 4))], document)) == (
        f"node 'n1' cannot serve: each device must have another value of {GROUP} ('gpus' needs 3), and the usable ones "
        "have 2"
    )


def test_one_request_whose_devices_do_not_go_together_is_not_said_to_be_several():
    consumes = (CounterConsumption("c", {"m": 2}),)
    devices = [Device(name=f"part-{number}", consumes=consumes) for number in range(3)]
    outcome = allocate(
        [pool(GPU, devices, counters=(CounterSet("c", {"m": 4}),))], claim(request("parts", GPU, count=3))
    )
    assert str(outcome).endswith("3 of them usable. there are enough, but they do not go together")


def test_the_document_is_the_one_the_scheduler_writes():
    opaque = {"driver": GPU, "parameters": {"apiVersion": "gpu.example.com/v1", "kind": "GpuConfig", "mode": None}}
    by_class = DeviceClass.from_document(
        {
            "metadata": {"name": GPU},
            "spec": {"selectors": [{"cel": {"expression": "true"}}], "config": [{"opaque": opaque}]},
        }
    )
    document = claim(
        request("a", GPU, tolerations=[{"key": "k", "operator": "Exists"}]),
        request("b", GPU),
        config=[{"opaque": opaque}, {"requests": ["b"], "opaque": opaque}],
    )
    outcome = allocate([pool(GPU, grouped("gpu", 1, 2))], document, classes={GPU: by_class})
    assert outcome.to_api() == {
        "devices": {
            "results": [
                {
                    "request": "a",
                    "driver": GPU,
                    "pool": "n1",
                    "device": "gpu-0",
                    "tolerations": [{"key": "k", "operator": "Exists"}],
                },
                {"request": "b", "driver": GPU, "pool": "n1", "device": "gpu-1"},
            ],
            "config": [
                {"source": "FromClass", "opaque": opaque},
                {"source": "FromClaim", "opaque": opaque},
                {"source": "FromClaim", "requests": ["b"], "opaque": opaque},
            ],
        },
        "nodeSelector": {
            "nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]},
            ]
        },
    }


def test_pools_are_tried_by_driver_and_name_and_those_with_binding_conditions_last():
    bound = Device(name="d", binding=BindingConditions(("Ready",), ("Failed",)))
    pools = [
        pool(GPU, [bound], name="a"),
        pool(GPU, [Device(name="d")], name="c"),
        pool(GPU, [Device(name="d")], name="b"),
    ]
    outcome = allocate(pools, claim(request("r", GPU, count=3)))
    assert [result.device.pool for result in outcome.results] == ["b", "c", "a"]
    assert outcome.to_api()["devices"]["results"][2]["bindingConditions"] == ["Ready"]


def test_devices_of_every_node_leave_the_node_open():
    pools = [pool(GPU, [Device(name="d")], nodes=ALL_NODES)]
    assert "nodeSelector" not in allocate(pools, claim(request("r", GPU))).to_api()


def test_devices_of_other_nodes_are_not_seen():
    zone = NodeSelector((NodeSelectorRequirement("zone", "In", ("b",)),))
    outcome = allocate([pool(GPU, [Device(name="d")], nodes=zone)], claim(request("r", GPU)))
    assert isinstance(outcome, Unsatisfied)
    assert outcome.funnels[0].seen == 0


def test_all_devices_are_all_or_nothing():
    document = claim(request("r", GPU, allocationMode="All"))
    devices = grouped("gpu", 1, 3)
    assert len(allocate([pool(GPU, devices)], document).results) == 3
    assert isinstance(allocate([pool(GPU, devices)], document, allocated=[f"{GPU}/n1/gpu-1"]), Unsatisfied)
    assert isinstance(allocate([pool(GPU, [])], document), Unsatisfied)


def test_admin_access_shares_a_device_that_is_in_use():
    devices = [Device(name="d")]
    document = claim(request("r", GPU, adminAccess=True))
    outcome = allocate([pool(GPU, devices)], document, allocated=[f"{GPU}/n1/d"])
    assert outcome.to_api()["devices"]["results"][0]["adminAccess"] is True


def test_a_taint_keeps_a_claim_away_that_does_not_tolerate_it():
    taint = Taint("k", "v", "NoExecute")
    pools = [pool(GPU, [Device(name="d", taints=(taint, Taint("info", "", "None")))])]
    assert isinstance(allocate(pools, claim(request("r", GPU))), Unsatisfied)
    wrong = [{"key": "k", "value": "w"}, {"key": "other", "operator": "Exists"}, {"effect": "NoSchedule"}]
    assert isinstance(allocate(pools, claim(request("r", GPU, tolerations=wrong))), Unsatisfied)
    right = [{"operator": "Exists", "effect": "NoExecute"}]
    assert given_names(allocate(pools, claim(request("r", GPU, tolerations=right)))) == ["r=d"]


def test_the_first_alternative_that_can_be_met_is_taken():
    alternatives = [
        {"name": "big", "deviceClassName": GPU, "count": 3},
        {"name": "small", "deviceClassName": GPU, "count": 2},
    ]
    document = claim({"name": "r", "firstAvailable": alternatives})
    assert given_names(allocate([pool(GPU, grouped("gpu", 1, 2))], document)) == [
        "r/small=gpu-0",
        "r/small=gpu-1",
    ]


def test_partitions_do_not_take_more_than_their_counters_hold():
    consumes = {size: (CounterConsumption("memory", {"gi": size}),) for size in (10, 20)}
    devices = [Device(name="whole", consumes=consumes[20])]
    devices += [Device(name=f"half-{index}", consumes=consumes[10]) for index in range(3)]
    pools = [pool(GPU, devices, counters=(CounterSet("memory", {"gi": 20}),))]
    assert given_names(allocate(pools, claim(request("r", GPU, count=2)))) == ["r=half-0", "r=half-1"]
    assert isinstance(allocate(pools, claim(request("r", GPU, count=3))), Unsatisfied)
    assert isinstance(allocate(pools, claim(request("r", GPU, count=2)), allocated=[f"{GPU}/n1/half-2"]), Unsatisfied)


def test_claims_of_one_pod_are_met_together_or_not_at_all():
    allocator = planner([pool(GPU, grouped("gpu", 1, 3))])
    first, second = allocator.allocate_all([claim(request("a", GPU)), claim(request("b", GPU, count=2))], NODE)
    assert given_names(first) + given_names(second) == ["a=gpu-0", "b=gpu-1", "b=gpu-2"]
    outcome = allocator.allocate_all([claim(request("a", GPU, count=2)), claim(request("b", GPU, count=2))], NODE)
    assert isinstance(outcome, Unsatisfied)


def test_nothing_is_remembered_between_answers():
    allocator = planner(node_pools())
    assert allocator.allocate(aligned(), NODE) == allocator.allocate(aligned(), NODE)


def test_a_selector_that_fails_on_a_device_before_the_answer_is_an_error():
    devices = [Device(name="a"), Device(name="b", attributes={"x": 1})]
    text = f'device.attributes["{GPU}"].x == 1'
    with pytest.raises(SelectorFailed, match=f"selector 0 fails on device {GPU}/n1/a: no such key: x"):
        allocate([pool(GPU, devices)], claim(request("r", GPU, text)))


def test_a_selector_that_would_fail_on_a_device_after_the_answer_is_none():
    devices = [Device(name="a", attributes={"x": 1}), Device(name="b")]
    text = f'device.attributes["{GPU}"].x == 1'
    assert given_names(allocate([pool(GPU, devices)], claim(request("r", GPU, text)))) == ["r=a"]


def test_a_broken_selector_is_an_error_only_where_a_device_is_looked_at():
    document = claim(request("r", GPU, "nobody"))
    with pytest.raises(SelectorFailed, match=r"claim ns/c: spec.devices.requests\[0\].exactly: selector 0 does not"):
        allocate([pool(GPU, [Device(name="a")])], document)
    assert isinstance(allocate([], document), Unsatisfied)


def test_an_unknown_class_is_named_with_the_known_ones():
    with pytest.raises(InvalidDocument, match=f"no DeviceClass 'tpu'; there are: {GPU}, {NIC}"):
        allocate(node_pools(), claim(request("r", "tpu")))


def test_more_devices_than_a_claim_can_have_are_refused():
    with pytest.raises(Unallocatable, match="asks for 33 devices; one claim can have at most 32"):
        allocate(node_pools(), claim(request("a", GPU, count=32), request("b", NIC)))


def test_a_pool_being_updated_is_mentioned_and_refuses_all_devices():
    slices = [
        {
            "metadata": {"name": "s"},
            "spec": {
                "driver": GPU,
                "nodeName": "n1",
                "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 2},
                "devices": [{"name": "d"}],
            },
        }
    ]
    allocator = Allocator(read_slices(slices), CLASSES)
    assert "is not used: it has 1 of 2 slices" in str(allocator.allocate(claim(request("r", GPU)), NODE))
    with pytest.raises(Unallocatable, match="being updated"):
        allocator.allocate(claim(request("r", GPU, allocationMode="All")), NODE)


@pytest.mark.parametrize(
    "document",
    [
        claim(request("gpus", GPU, count=15), request("nics", NIC, count=17)),
        aligned(5),
        claim(*[request(f"r{index}", GPU) for index in range(12)], request("none", NIC, "false")),
    ],
)
def test_what_cannot_be_is_answered_without_a_search(document):
    """Plain backtracking needs more steps for these than any budget allows."""
    pools = [pool(GPU, grouped("gpu", 8, 4)), pool(NIC, grouped("nic", 4, 4))]
    assert isinstance(allocate(pools, document), Unsatisfied)


def test_a_search_that_takes_too_long_is_undecided_rather_than_wrong():
    """Eight pairs on eight switches, one of the sixteen devices gone: each pair could be met, all together cannot."""
    requests, constraints = [], []
    for pair in range(8):
        requests += [request(f"gpu-{pair}", GPU), request(f"nic-{pair}", NIC)]
        constraints.append({"requests": [f"gpu-{pair}", f"nic-{pair}"], "matchAttribute": GROUP})
    pools = [pool(GPU, grouped("gpu", 8, 1)), pool(NIC, grouped("nic", 7, 1))]
    document = claim(*requests, constraints=constraints)
    assert "each request could be met alone, but not all together" in str(allocate(pools, document))
    with pytest.raises(Undecided, match="no answer after 10 steps"):
        planner(pools, steps=10).allocate(document, NODE)


@settings(max_examples=300)
@given(
    devices=st.lists(st.tuples(st.sampled_from([None, 0, 1, 2]), st.integers(1, 3), st.booleans()), max_size=7),
    wanted=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3),
    match=st.booleans(),
    distinct=st.booleans(),
    limit=st.integers(4, 20),
)
def test_the_answer_is_the_first_one_that_plain_search_finds(devices, wanted, match, distinct, limit):
    built = [
        Device(
            name=f"d{place}",
            attributes={"size": size} | ({} if group is None else {"group": group}),
            consumes=(CounterConsumption("c", {"size": size}),),
        )
        for place, (group, size, _) in enumerate(devices)
    ]
    attribute = f"{GPU}/group"
    constraints = [{"matchAttribute": attribute}] * match + [{"distinctAttribute": attribute}] * distinct
    requests = [
        request(f"r{number}", GPU, f'device.attributes["{GPU}"].size >= {least}', count=count)
        for number, (least, count) in enumerate(wanted)
    ]
    outcome = allocate(
        [pool(GPU, built, counters=(CounterSet("c", {"size": limit}),))],
        claim(*requests, constraints=constraints),
        allocated=[f"{GPU}/n1/d{place}" for place, (_, _, in_use) in enumerate(devices) if in_use],
    )
    expected = plain_search(devices, wanted, match, distinct, limit)
    if expected is None:
        assert isinstance(outcome, Unsatisfied)
        assert str(outcome)
    else:
        assert [result.device.name for result in outcome.results] == [f"d{place}" for place in expected]
