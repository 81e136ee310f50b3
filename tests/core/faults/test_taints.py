"""Which taints faults make, and when they evict."""

from __future__ import annotations

import pytest
from drakit import Fault, Taint
from drakit.faults import TaintPolicy

KEY = "gpu.example.com/unhealthy"
LINK = Fault("link", "link down")
NO_SCHEDULE, NO_EXECUTE = TaintPolicy(KEY), TaintPolicy(KEY, "NoExecute")


@pytest.fixture
def node(ref):
    """The devices of a node with so many."""
    return lambda number: [ref(f"gpu-{index}") for index in range(number)]


@pytest.fixture
def faulty(report):
    """A report in which just these devices, by number, have a fault."""
    return lambda *numbers: [one for number in numbers for one in report(LINK, device=f"gpu-{number}")]


def effects(book) -> list[str]:
    return [str(taint.effect) for _, taint in sorted(book.taints().items())]


def test_without_a_policy_faults_make_no_taints(book, report, ref):
    book.judge(report(LINK))
    book.refuse([ref("gpu-1")], "unlinked", "has no link", "uid")
    assert book.taints() == {}


@pytest.mark.parametrize("policy", [NO_SCHEDULE, NO_EXECUTE])
def test_a_faulty_device_is_tainted_as_configured_by_the_name_of_its_fault(agent, report, ref, node, policy):
    book = agent(policy=policy)
    book.judge(report(LINK), node(4))
    assert book.taints() == {ref(): Taint(KEY, "link", policy.effect)}
    book.judge(report(), node(4))
    assert book.taints() == {}


def test_the_value_is_the_fault_that_began_first_as_long_as_it_stands(agent, report, ref, node, clock):
    book = agent(policy=NO_SCHEDULE)
    book.judge(report(LINK), node(4))
    clock.day = clock.day.replace(hour=5)
    book.judge(report(LINK, Fault("ecc", "errors")), node(4))
    assert book.taints()[ref()].value == "link"
    book.judge(report(Fault("ecc", "errors")), node(4))
    assert book.taints()[ref()].value == "ecc"


@pytest.mark.reliability(
    fault="Something that all devices share makes most of them look faulty at once",
    injected="More than half of a driver's devices report a fault where faults evict",
    promise="No pod is evicted: taints are NoSchedule, an Event says so, one device more or less changes nothing",
)
def test_nothing_is_evicted_while_most_devices_are_faulty_nor_after_it(agent, faulty, node):
    book = agent(policy=NO_EXECUTE)
    book.judge(faulty(0, 1), node(4))
    assert (effects(book), book.widespread) == (["NoExecute"] * 2, False)
    for _ in range(3):
        book.judge(faulty(0, 1, 2), node(4))
        assert (effects(book), book.widespread) == (["NoSchedule"] * 3, True)
        book.judge(faulty(0, 1), node(4))
        assert (effects(book), book.widespread) == (["NoSchedule"] * 2, False)
    book.judge(faulty(0), node(4))
    book.judge(faulty(0, 3), node(4))
    assert effects(book) == ["NoSchedule", "NoExecute"]


def test_what_was_spared_stays_so_in_the_next_agent(agent, report, node):
    fault = Fault("ecc", "errors", end="cleared")
    agent(policy=NO_EXECUTE).judge([*report(fault), *report(fault, device="gpu-1")], node(3))
    second = agent(policy=NO_EXECUTE)
    second.judge([], node(30))
    assert effects(second) == ["NoSchedule"] * 2


def test_devices_that_are_reported_count_though_they_were_not_found_yet(agent, report):
    book = agent(policy=NO_EXECUTE)
    reports = [one for index in range(4) for one in report(*[LINK][: index < 2], device=f"gpu-{index}")]
    book.judge(reports, [])
    assert (effects(book), book.widespread) == (["NoExecute"] * 2, False)


def test_the_only_device_of_a_node_evicts(agent, faulty, node):
    book = agent(policy=NO_EXECUTE)
    book.judge(faulty(0), node(1))
    assert effects(book) == ["NoExecute"]


def test_devices_that_vanished_count_as_devices_of_the_driver(agent, faulty):
    book = agent(policy=NO_EXECUTE)
    book.judge(faulty(0, 1, 2), [])
    assert effects(book) == ["NoSchedule"] * 3


@pytest.mark.reliability(
    fault="A claim is refused for what its device cannot do, and would wait on this node for ever",
    injected="A refusal that lasts, of a device that no other claim holds, where taints are enabled",
    promise="The device is tainted NoExecute: the pod is evicted and placed anew, and no pod that runs is",
)
@pytest.mark.parametrize("held", [False, True])
def test_a_refusal_evicts_unless_another_claim_holds_the_device(agent, ref, node, held):
    asked = []

    def held_by_another(device, uid):
        asked.append((device, uid))
        return held

    book = agent(policy=NO_SCHEDULE, held_by_another=held_by_another)
    book.refuse([ref()], "unlinked", "has no link", "uid-1")
    assert book.taints() == {ref(): Taint(KEY, "unlinked", "NoSchedule" if held else "NoExecute")}
    assert set(asked) == {(ref(), "uid-1")}


def test_a_claim_that_is_refused_every_device_of_the_node_is_evicted(agent, node):
    book = agent(policy=NO_SCHEDULE, held_by_another=lambda _device, _uid: False)
    book.refuse(node(4), "wrong-mode", "is of another mode", "uid-1")
    book.judge([], node(4))
    assert effects(book) == ["NoExecute"] * 4
    assert not book.widespread


def test_a_refusal_is_over_when_it_was_steadily_not_repeated_also_of_a_backend_without_health(agent, ref, names, clock):
    book = agent()
    book.refuse([ref()], "unlinked", "has no link", "uid-1")
    book.judge([])
    assert names(agent()) == ["gpu-0 unlinked"]
    clock.seconds += 299
    book.judge([])
    assert names(book) == ["gpu-0 unlinked"]
    clock.seconds += 1
    book.judge([])
    assert names(book) == []
    assert names(agent()) == []
