"""How publishing is spaced. Time and chance are given, not waited for."""

from __future__ import annotations

from drakit.kube.pace import MAX_RETRY_AFTER, Backoff, Pace, Timing
from hypothesis import given
from hypothesis import strategies as st


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_waiting_doubles_up_to_its_bound_and_begins_anew_after_success():
    backoff = Backoff(1.0, 10.0, draw=lambda _low, high: high)
    assert [backoff.next() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    backoff.reset()
    assert backoff.next() == 1


@given(st.integers(0, 2000), st.floats(0, 1))
def test_jitter_is_full_and_never_nothing(tries, chance):
    backoff = Backoff(1.0, 30.0, draw=lambda low, high: low + (high - low) * chance)
    for _ in range(tries):
        backoff.next()
    assert 0.1 <= backoff.next() <= 30.0


@given(st.floats(0, 1e6))
def test_what_the_server_asks_for_is_the_least(retry_after):
    backoff = Backoff(0.1, 1.0, draw=lambda low, _high: low)
    assert backoff.next(retry_after) >= min(retry_after, MAX_RETRY_AFTER)


def test_the_first_change_is_written_at_once_and_the_next_are_collected():
    clock = Clock()
    pace = Pace(Timing(settle=0.05), clock)
    assert pace.delay() == 0
    pace.wrote()
    assert pace.delay() > 0
    clock.now += 1
    assert pace.delay() == 0


def test_repairs_of_the_same_thing_come_ever_later_and_a_later_one_at_once():
    clock = Clock()
    pace = Pace(Timing(settle=0.05, most_backoff=30), clock)
    for _ in range(200):
        pace.repaired()
        clock.now += pace.delay()
    delays = []
    for _ in range(20):
        pace.repaired()
        delays.append(pace.delay())
        clock.now += pace.delay()
    assert max(delays) > 1
    clock.now += 100
    pace.repaired()
    assert pace.delay() < 0.1


def test_a_failure_is_waited_out_and_forgotten_after_success():
    clock = Clock()
    pace = Pace(Timing(first_backoff=0.2), clock)
    pace.failed(17.0)
    assert 16.9 < pace.delay() <= 17.1
    clock.now += 18
    pace.found_all_well()
    pace.failed(None)
    assert pace.delay() < 0.3
