"""What a user must act on is seen in the agent as it stands, and told once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from drakit import Fault, Health
from drakit.entries import Entry, Phase
from drakit.errors import DuplicateDevice, HookFailed, PluginLoadError, PluginStuck
from drakit.faults import FaultBook
from drakit.faults.record import FaultFile
from drakit.inventory import Problem, Survey
from drakit.kube.events import Reason
from drakit.kube.publisher import PublisherStatus
from drakit.model import ClaimRef, DeviceRef
from drakit.notices import PASSING_SECONDS, Notice, NoticeBoard, notices_of

CLAIM = ClaimRef("11111111-2222-3333-4444-555555555555", "team", "training")


@pytest.fixture
def driver():
    """Make a driver of which all is well, but for what is given."""

    def make(name="gpu.example.com", **ailments):
        entries = {entry.claim.uid: entry for entry in ailments.get("entries", ())}
        return SimpleNamespace(
            name=name,
            worker=SimpleNamespace(stuck=ailments.get("stuck")),
            standing=SimpleNamespace(
                unserved=ailments.get("unserved", ""), unregistered=ailments.get("unregistered", "")
            ),
            refusal=ailments.get("refusal", ""),
            publisher=SimpleNamespace(status=ailments.get("status", PublisherStatus(current=True))),
            engine=SimpleNamespace(journal=SimpleNamespace(entries=entries)),
            faults=ailments.get("faults"),
        )

    return make


@pytest.fixture
def seen(driver):
    """The notices of a node with one driver: `(failures, survey, **ailments)`."""

    def look(failures=None, survey=None, hanging=None, **ailments):
        one = driver(**ailments)
        return list(notices_of({one.name: one}, failures or {}, survey or Survey(), hanging or {}))

    return look


def test_of_what_is_well_there_is_nothing_to_say(seen):
    committed = Entry(claim=CLAIM)
    assert seen(entries=[committed]) == []


@pytest.mark.parametrize(
    ("ailments", "reason", "words"),
    [
        ({"unserved": "another driver named x serves y"}, Reason.DRIVER_NOT_SERVED, "another driver named x serves y"),
        ({"unregistered": "the kubelet refused to"}, Reason.DRIVER_NOT_SERVED, "the kubelet refused to"),
        ({"refusal": "the device plugin is beside it"}, Reason.DRIVER_NOT_SERVED, "the device plugin is beside it"),
        ({"stuck": PluginStuck("gpu", "prepare hangs")}, Reason.DRIVER_STUCK, "prepare hangs"),
        ({"status": PublisherStatus(dropped=["DRADeviceTaints is off"])}, Reason.FIELDS_DROPPED, "DRADeviceTaints"),
        ({"status": PublisherStatus(errors=["refused (422)"])}, Reason.SLICES_NOT_PUBLISHED, "refused (422)"),
    ],
)
def test_what_ails_a_driver_regards_the_node(seen, ailments, reason, words):
    (notice,) = seen(**ailments)
    assert notice.reason is reason
    assert notice.regarding is None
    assert words in notice.note


@pytest.fixture
def reported(tmp_path):
    """The book of a driver with four devices, of which so many have reported this fault."""

    def report(number: int, fault: Fault) -> FaultBook:
        book = FaultBook(FaultFile(tmp_path / "faults.json", "gpu.example.com", "boot"))
        devices = [DeviceRef("gpu.example.com", "node-1", f"gpu-{index}") for index in range(4)]
        book.judge([Health(device, "Healthy", faults=[fault]) for device in devices[:number]], devices)
        return book

    return report


def test_a_fault_that_somebody_must_clear_is_told_with_device_fault_and_remedy(seen, reported):
    (notice,) = seen(faults=reported(1, Fault("ecc", "3 errors", end="cleared")))
    assert (notice.reason, notice.regarding) == (Reason.DEVICE_FAULTY, None)
    for part in ("gpu.example.com/node-1/gpu-0", "ecc", "3 errors", "drakit device clear gpu.example.com gpu-0"):
        assert part in notice.note


@pytest.mark.parametrize("end", ["gone", "steady"])
def test_a_fault_that_ends_by_itself_is_nothing_to_act_on(seen, reported, end):
    assert seen(faults=reported(1, Fault("link", "down", end=end))) == []


def test_that_most_devices_are_faulty_is_told_once_for_the_driver(seen, reported):
    (notice,) = seen(faults=reported(3, Fault("link", "down")))
    assert (notice.reason, notice.regarding) == (Reason.MOST_DEVICES_FAULTY, None)
    assert "no pod is evicted" in notice.note


def test_a_quarantined_claim_is_what_its_notice_regards(seen):
    (notice,) = seen(entries=[Entry(claim=CLAIM, phase=Phase.QUARANTINED), Entry(claim=ClaimRef("u", "team", "well"))])
    assert notice.reason is Reason.CLAIM_QUARANTINED
    assert notice.regarding == CLAIM
    assert "gpu.example.com" in notice.note


def test_an_outage_of_the_api_server_is_nothing_to_act_on(seen):
    assert seen(status=PublisherStatus(errors=["unreachable"], outage=True)) == []


def test_a_plugin_that_cannot_be_had_is_told_once(seen):
    failure = PluginLoadError("gpu", "no such library")
    (notice,) = seen(failures={"other.example.com": failure})
    assert "no such library" in notice.note
    # A driver that serves what is left of its claims says so itself.
    assert seen(failures={"gpu.example.com": failure}) == []


def test_a_device_published_twice_is_told_and_a_failing_hook_is_not(seen):
    survey = Survey(
        problems=(Problem("nic.example.com", DuplicateDevice("0000:01:00.0 is there already")),),
        failures={"gpu.example.com": HookFailed("gpu", "discover", ValueError("no"))},
    )
    (notice,) = seen(survey=survey)
    assert notice.reason is Reason.DUPLICATE_DEVICE


def test_how_long_a_driver_is_stuck_is_no_news(seen):
    (first,) = seen(stuck=PluginStuck("gpu", "prepare has been running for 41 s"))
    (second,) = seen(stuck=PluginStuck("gpu", "prepare has been running for 46 s"))
    assert first == second


def test_a_refusal_whose_words_change_in_every_round_is_one_matter_and_another_refusal_another(seen):
    (first,) = seen(refusal="discover failed: OSError: attempt 1")
    (second,) = seen(refusal="discover failed: OSError: attempt 2")
    (other,) = seen(unregistered="the kubelet refused to register it")
    assert first == second != other


def test_a_plugin_that_hangs_where_it_is_asked_of_the_whole_node_is_stuck_too(seen):
    hanging = {"groups": PluginStuck("groups", "devicegroups has been running for 41 s")}
    (notice,) = seen(hanging=hanging)
    assert notice.reason is Reason.DRIVER_STUCK
    assert "devicegroups" in notice.note
    # One plugin, one matter, wherever it hangs.
    assert len(set(seen(hanging={"gpu.example.com": PluginStuck("g", "x")}, stuck=PluginStuck("g", "y")))) == 1


@pytest.fixture
def board():
    board = SimpleNamespace(now=0.0, told=[])
    shown = NoticeBoard(lambda _regarding, _reason, note: board.told.append(note), clock=lambda: board.now)
    board.show = lambda *notices: shown.show(iter(notices))
    return board


def a_notice(note="it hangs", key="k", **more):
    return Notice(reason=Reason.DRIVER_STUCK, note=note, key=key, **more)


def test_a_notice_is_told_once_while_it_stands_and_again_when_it_returns(board):
    for _ in range(3):
        board.show(a_notice())
    assert board.told == ["it hangs"]
    board.show()
    board.show(a_notice(note="it hangs again"))
    assert board.told == ["it hangs", "it hangs again"]


def test_what_passes_is_not_told(board):
    passing = a_notice(lasting_seconds=PASSING_SECONDS)
    board.show(passing)
    board.now += PASSING_SECONDS - 1
    board.show(passing)
    board.show()
    board.now += 2
    board.show(passing)
    assert board.told == []
    board.now += PASSING_SECONDS
    board.show(passing)
    assert board.told == ["it hangs"]


def test_several_matters_are_told_apart(board):
    board.show(a_notice("one", "a"), a_notice("two", "b"), a_notice("three", "b", regarding=CLAIM))
    assert board.told == ["one", "two", "three"]
