"""How each kind of fault begins and ends, and what counts as one."""

from __future__ import annotations

import pytest
from drakit import Fault, Health, HealthStatus
from drakit.faults.clearing import clear
from drakit.faults.record import FaultFile

LINK = Fault("link", "link down", end="steady")
HANG = Fault("hang", "does not answer")


def ecc(count: int, threshold: int = 1, end: str = "cleared") -> Fault:
    return Fault("ecc", f"{count} uncorrectable errors", end=end, count=count, threshold=threshold)


def test_a_fault_that_is_gone_when_it_is_not_seen_is_over_at_once(book, report, names):
    book.judge(report(HANG))
    assert names(book) == ["gpu-0 hang"]
    book.judge(report())
    assert names(book) == []


@pytest.mark.reliability(
    fault="A link goes up and down, again and again",
    injected="A fault that must be steadily gone is reported in some rounds and not in others",
    promise="It stands until it has not been seen for faultSteadySeconds: neither health nor taint flaps",
)
def test_a_fault_that_must_be_steadily_gone_stands_through_its_pauses(book, report, names, clock):
    for _ in range(4):
        book.judge(report(LINK))
        clock.seconds += 299
        book.judge(report())
        assert names(book) == ["gpu-0 link"]
    clock.seconds += 299
    book.judge(report())
    assert names(book) == ["gpu-0 link"]
    clock.seconds += 1
    book.judge(report())
    assert names(book) == []


def test_the_time_for_which_the_backend_was_silent_is_no_time_of_health(book, report, names, clock):
    book.judge(report(LINK))
    book.judge(report())
    book.silence()
    clock.seconds += 1000
    book.judge(report())
    assert names(book) == ["gpu-0 link"]


def test_after_a_restart_the_time_begins_anew(agent, report, names, clock):
    first = agent()
    first.judge(report(LINK))
    first.judge(report())
    clock.seconds += 299
    second = agent()
    second.judge(report())
    clock.seconds += 299
    second.judge(report())
    assert names(second) == ["gpu-0 link"]
    clock.seconds += 1
    second.judge(report())
    assert names(second) == []


def test_what_is_over_here_and_begins_again_in_the_other_agent_has_all_its_time(agent, report, names, clock):
    here, there = agent(), agent()
    here.judge(report(LINK))
    for _ in range(2):
        here.judge(report())
        clock.seconds += 300
    assert names(here) == []
    there.judge(report(LINK))
    clock.seconds += 1
    here.judge(report())
    assert names(here) == ["gpu-0 link"]


def test_the_time_of_day_decides_nothing(book, report, names, clock):
    book.judge(report(LINK))
    book.judge(report())
    for year in (1970, 2099, 2026):
        clock.day = clock.day.replace(year=year)
        book.judge(report())
        assert names(book) == ["gpu-0 link"]


@pytest.mark.parametrize("fault", [Fault("ecc", "errors", end="cleared"), ecc(3)])
def test_a_fault_that_somebody_must_clear_outlasts_its_report_and_any_time(book, report, names, clock, fault):
    book.judge(report(fault))
    clock.seconds += 1e6
    book.judge(report())
    assert names(book) == ["gpu-0 ecc"]


@pytest.mark.reliability(
    fault="A device has uncorrectable memory errors, and the agent is restarted",
    injected="Counts are reported to one agent, and the same counts to the next one of the same boot",
    promise="The fault stands until the kernel module is loaded anew, the node rebooted or an operator clears it",
)
def test_a_fault_outlasts_the_agent_and_not_the_boot(agent, report, names):
    agent().judge(report(ecc(3)))
    second = agent()
    assert names(second) == ["gpu-0 ecc"]
    second.judge(report())
    assert names(second) == ["gpu-0 ecc"]
    assert names(agent(boot="boot-2")) == []


def test_where_no_boot_is_known_nothing_is_forgotten(agent, report, names):
    agent().judge(report(ecc(3)))
    assert names(agent(boot="")) == ["gpu-0 ecc"]


def test_another_epoch_ends_what_a_reset_ends_and_an_unknown_one_ends_nothing(book, report, names):
    book.judge(report(ecc(3), LINK, epoch="a"))
    book.judge(report(epoch=""))
    book.judge(report(epoch="a"))
    assert names(book) == ["gpu-0 ecc", "gpu-0 link"]
    book.judge(report(epoch="b"))
    assert names(book) == ["gpu-0 link"]


def test_a_count_is_a_fault_from_its_threshold_on(book, report, names):
    (healthy,) = book.judge(report(ecc(9, threshold=10)))
    assert (healthy.status, names(book)) == (HealthStatus.HEALTHY, [])
    book.judge(report(ecc(10, threshold=10)))
    assert names(book) == ["gpu-0 ecc"]


@pytest.mark.reliability(
    fault="A repaired device keeps the error counts of its past",
    injected="The fault is cleared while its count stays, then the count grows by one",
    promise="What was counted before is no fault any more, also after a restart; what is counted from then on is",
)
def test_what_was_counted_before_a_clear_is_no_fault_any_more(book, agent, report, names, path):
    book.judge(report(ecc(3)))
    clear(FaultFile(path, "gpu.example.com", "boot-1"), ["gpu-0"])
    book.judge(report(ecc(5)))
    assert names(book) == []
    second = agent()
    second.judge(report(ecc(5)))
    assert names(second) == []
    second.judge(report(ecc(6)))
    assert names(second) == ["gpu-0 ecc"]


def test_a_fault_without_a_count_that_is_still_there_begins_again_when_it_is_cleared(book, report, names, path):
    fault = Fault("sram", "unhealthy component", end="cleared")
    book.judge(report(fault))
    clear(FaultFile(path, "gpu.example.com", "boot-1"), [])
    book.judge(report())
    assert names(book) == []
    book.judge(report(fault))
    assert names(book) == ["gpu-0 sram"]


def test_a_count_below_its_baseline_has_begun_again(book, report, names, path):
    book.judge(report(ecc(5)))
    clear(FaultFile(path, "gpu.example.com", "boot-1"), ["gpu-0"])
    book.judge(report(ecc(5)))
    book.judge(report(ecc(0)))
    assert names(book) == []
    book.judge(report(ecc(1)))
    assert names(book) == ["gpu-0 ecc"]


def test_a_counted_fault_that_must_be_steadily_gone_is_when_nothing_more_is_counted(book, report, names, clock):
    for count in (10, 11, 12):
        book.judge(report(ecc(count, threshold=10, end="steady")))
        clock.seconds += 299
        book.judge(report(ecc(count, threshold=10, end="steady")))
        assert names(book) == ["gpu-0 ecc"]
    for _ in range(2):
        clock.seconds += 300
        book.judge(report(ecc(12, threshold=10, end="steady")))
    assert names(book) == []
    book.judge(report(ecc(21, threshold=10, end="steady")))
    assert names(book) == []
    book.judge(report(ecc(22, threshold=10, end="steady")))
    assert names(book) == ["gpu-0 ecc"]


def test_a_device_that_vanishes_and_comes_back_keeps_its_faults(book, report, names):
    book.judge(report(ecc(3)))
    (told,) = book.judge([])
    assert (told.device.name, told.status) == ("gpu-0", HealthStatus.UNHEALTHY)
    book.judge(report())
    assert names(book) == ["gpu-0 ecc"]


def test_the_stronger_end_of_one_fault_holds(book, report, names):
    book.judge(report(Fault("ecc", "errors", end="cleared")))
    book.judge(report(Fault("ecc", "errors", end="gone")))
    book.judge(report())
    assert names(book) == ["gpu-0 ecc"]


def test_health_says_what_stands_since_when_in_the_order_in_which_it_began(book, report, clock):
    book.judge(report(ecc(3)))
    clock.day = clock.day.replace(hour=4)
    (told,) = book.judge(report(ecc(7), Fault("a-later-one", "too hot")))
    assert told == Health(
        told.device,
        "Unhealthy",
        "7 uncorrectable errors (since 2026-01-02T03:04:05Z); too hot (since 2026-01-02T04:04:05Z)",
    )


def test_of_a_device_in_several_reports_all_faults_stand(book, report, names):
    book.judge([*report(LINK), *report(HANG)])
    assert names(book) == ["gpu-0 hang", "gpu-0 link"]
    assert {one.status for one in book.judge([*report(LINK), *report(HANG)])} == {HealthStatus.UNHEALTHY}


def test_a_fault_is_logged_when_it_begins_and_when_it_is_over(book, report, logged):
    for _ in range(3):
        book.judge(report(HANG))
    for _ in range(3):
        book.judge(report())
    assert logged("is faulty: hang: does not answer") == 1
    assert logged("fault hang is over") == 1


def test_what_somebody_must_clear_says_what_ends_it_without_promising_that_a_reset_is_seen(book, report):
    book.judge(report(ecc(3)))
    (fault,) = book.standing
    remedy = book.remedy(fault)
    for words in ("rebooted", "kernel module loaded anew", "`drakit device clear gpu.example.com gpu-0`"):
        assert words in remedy
    assert "or a reset of the device by `drakit" in remedy  # which is not seen by itself
