"""Tallies: what is counted adds up, and how a call for a claim ends has one name."""

from __future__ import annotations

import asyncio

import pytest
from drakit.errors import ClaimError, DeviceBusy, JournalError, PluginStuck
from drakit.kube.claims import ClaimUnreadable
from drakit.model import ClaimRef
from drakit.standing import PREPARE, RESULTS, UNPREPARE, Standing
from drakit.tally import BOUNDS, Calls, Durations
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.floats(min_value=0, max_value=1000)))
def test_every_duration_is_in_the_one_bucket_whose_bound_it_does_not_pass(durations):
    tally = Durations()
    for seconds in durations:
        tally.add(seconds)
    assert sum(tally.counts) == len(durations)
    assert tally.seconds == pytest.approx(sum(durations))
    for index, bound in enumerate(BOUNDS):
        assert sum(tally.counts[: index + 1]) == sum(seconds <= bound for seconds in durations)


def test_every_result_is_there_before_anything_is_counted():
    calls = Calls("good", "bad")
    assert calls.results == {"good": 0, "bad": 0}
    calls.add("bad", 2.0)
    assert calls.results == {"good": 0, "bad": 1}
    assert calls.durations.seconds == 2.0


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (None, "success"),
        (DeviceBusy("held"), "refused"),
        (ClaimError("no"), "refused"),
        (ClaimUnreadable("who knows"), "failed"),
        (PluginStuck("gpu", "runs"), "failed"),
        (JournalError("full"), "failed"),
        (RuntimeError("a bug"), "failed"),
        (asyncio.CancelledError(), "abandoned"),
    ],
)
def test_a_call_for_a_claim_is_counted_by_how_it_ends(error, result):
    times = iter([10.0, 13.0])
    standing = Standing(lambda: next(times))

    def call():
        with standing.call(PREPARE):
            if error is not None:
                raise error

    if error is None:
        call()
    else:
        with pytest.raises(type(error)):
            call()
    assert standing.calls[PREPARE].results == {**dict.fromkeys(RESULTS, 0), result: 1}
    assert standing.calls[PREPARE].durations.seconds == 3.0
    assert not any(standing.calls[UNPREPARE].results.values())


def test_a_driver_is_registered_when_the_kubelet_says_so_and_no_longer_once_its_sockets_are_gone():
    standing = Standing()
    assert standing.unserved
    assert standing.unregistered
    standing.served()
    assert not standing.unserved
    standing.heard(False, "version unknown")
    assert "version unknown" in standing.unregistered
    standing.heard(True, "")
    assert not standing.unregistered
    standing.served("another driver is there")
    assert standing.unserved == "another driver is there"
    assert standing.unregistered
    assert standing.registrations == {"accepted": 1, "refused": 1}


def test_only_the_prepares_that_were_arriving_are_overtaken():
    standing, claim, other = Standing(), ClaimRef("a", "default", "a"), ClaimRef("b", "default", "b")

    def overtaken() -> None:
        with standing.arriving(claim):
            standing.overtake(claim)
            with standing.arriving(claim):
                pass

    standing.overtake(claim)
    with standing.arriving(other):
        with pytest.raises(ClaimError, match="default/a was unprepared"):
            overtaken()
        with standing.arriving(claim), standing.arriving(claim):
            pass
