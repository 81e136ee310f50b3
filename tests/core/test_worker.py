"""The worker: order, batches, and what happens when a job does not return."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import pytest
from drakit.errors import ClaimError, PluginStuck
from drakit.worker import Call, Worker, asking, calls_worker

GENEROUS = 30.0
"""Seconds; only a failure takes as long."""


class Gate:
    """Work that can be held: it says when it has begun, and goes on when it is let."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()

    def pass_through(self) -> None:
        self.begun.set()
        assert self.open.wait(GENEROUS)

    async def entered(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, GENEROUS)


class Clock:
    """Time that passes when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()  # no thread is left behind


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, GENEROUS))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the condition is another thread's, which knows no asyncio
        await asyncio.sleep(0.001)


def doubling(batches: list[list[int]], gate: Gate | None = None) -> Callable[[Sequence[int]], list[Any]]:
    def work(jobs: Sequence[int]) -> list[Any]:
        batches.append(list(jobs))
        if gate is not None:
            gate.pass_through()
        return [job * 2 for job in jobs]

    return work


def test_each_job_gets_its_own_answer():
    async def test() -> None:
        worker: Worker[int, int] = Worker("w", doubling([]), bound_seconds=GENEROUS)
        assert await asyncio.gather(*(worker.ask(job) for job in range(100))) == [job * 2 for job in range(100)]

    run(test())


def test_jobs_are_done_in_the_order_they_were_asked(gate):
    async def test() -> None:
        batches: list[list[int]] = []
        worker: Worker[int, int] = Worker("w", doubling(batches, gate), bound_seconds=GENEROUS)
        gate.open.set()
        for first in range(0, 50, 10):
            await asyncio.gather(*(worker.ask(job) for job in range(first, first + 10)))
        assert [job for batch in batches for job in batch] == list(range(50))

    run(test())


def test_all_that_wait_are_one_batch(gate):
    async def test() -> None:
        batches: list[list[int]] = []
        worker: Worker[int, int] = Worker("w", doubling(batches, gate), bound_seconds=GENEROUS)
        first = worker.ask(0)
        await gate.entered()
        rest = [worker.ask(job) for job in range(1, 33)]
        gate.open.set()
        assert await asyncio.gather(first, *rest) == [job * 2 for job in range(33)]
        assert batches == [[0], list(range(1, 33))]

    run(test())


def test_work_runs_on_one_daemon_thread_that_has_the_workers_name():
    async def test() -> None:
        threads: set[threading.Thread] = set()

        def work(jobs: Sequence[int]) -> list[Any]:
            threads.add(threading.current_thread())
            return list(jobs)

        worker: Worker[int, int] = Worker("gpu.example.com", work, bound_seconds=GENEROUS)
        for job in range(3):
            await worker.ask(job)
        (thread,) = threads
        assert thread.daemon
        assert thread.name == "gpu.example.com"

    run(test())


@pytest.mark.parametrize(
    "error",
    [
        ClaimError("no"),
        SystemExit(1),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration(),
        asyncio.CancelledError("x"),
    ],
)
def test_whatever_a_job_ends_in_is_its_answer_and_harms_no_other(error):
    async def test() -> None:
        worker: Worker[int, int] = Worker(
            "w", lambda jobs: [error if job == 1 else job for job in jobs], bound_seconds=GENEROUS
        )
        answers = await asyncio.gather(*(worker.ask(job) for job in range(3)), return_exceptions=True)
        assert (answers[0], answers[2]) == (0, 2)
        carried = answers[1]
        assert carried is error or (isinstance(carried, RuntimeError) and type(error).__name__ in str(carried))

    run(test())


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1)])
def test_what_the_work_itself_dies_of_is_told_to_all_and_the_thread_lives(error):
    async def test() -> None:
        def work(jobs: Sequence[int]) -> list[Any]:
            if 1 in jobs:
                raise error
            return list(jobs)

        worker: Worker[int, int] = Worker("w", work, bound_seconds=GENEROUS)
        with pytest.raises((ValueError, RuntimeError), match=r"broken|SystemExit"):
            await worker.ask(1)
        assert await worker.ask(2) == 2

    run(test())


def test_an_abandoned_answer_does_not_abandon_the_work(gate):
    async def test() -> None:
        batches: list[list[int]] = []
        worker: Worker[int, int] = Worker("w", doubling(batches, gate), bound_seconds=GENEROUS)
        first = worker.ask(1)
        await gate.entered()
        second = worker.ask(2)
        first.cancel()
        second.cancel()
        gate.open.set()
        assert await worker.ask(3) == 6
        assert [job for batch in batches for job in batch] == [1, 2, 3]

    run(test())


def test_finishing_waits_for_work_that_nobody_waits_for(gate):
    async def test() -> None:
        batches: list[list[int]] = []
        worker: Worker[int, int] = Worker("w", doubling(batches, gate), bound_seconds=GENEROUS)
        await worker.finish(GENEROUS)  # nothing was asked
        for job in (1, 2):
            worker.ask(job).cancel()
        await gate.entered()
        await worker.finish(0.01)
        assert worker.busy
        finishing = asyncio.create_task(worker.finish(GENEROUS))
        gate.open.set()
        await finishing
        assert not worker.busy
        assert [job for batch in batches for job in batch] == [1, 2]

    run(test())


# Stuck


def test_a_worker_past_its_bound_answers_at_once_with_what_runs_and_how_long(gate):
    async def test() -> None:
        clock, batches = Clock(), []
        worker: Worker[int, int] = Worker("gpu", doubling(batches, gate), bound_seconds=40, clock=clock)
        first = worker.ask(1)
        await gate.entered()
        worker.began("prepare of default/training")
        clock.now += 39
        assert worker.stuck is None
        clock.now += 2
        assert str(worker.stuck) == (
            "plugin 'gpu': prepare of default/training has been running for 41 s; "
            "nothing else is started until it returns"
        )
        refused = worker.ask(2)
        assert refused.done()
        with pytest.raises(PluginStuck):
            refused.result()
        gate.open.set()
        assert await first == 2  # nobody had been told otherwise yet
        assert worker.stuck is None
        assert await worker.ask(3) == 6
        assert batches == [[1], [3]]

    run(test())


def test_all_who_wait_are_told_when_the_bound_is_passed(gate):
    async def test() -> None:
        batches: list[list[int]] = []
        worker: Worker[int, int] = Worker("gpu", doubling(batches, gate), bound_seconds=0.05)
        waiting = [worker.ask(job) for job in range(3)]
        for answer in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(answer, PluginStuck)
        gate.open.set()
        await until(lambda: worker.stuck is None and sum(map(len, batches)) == 3)
        assert await worker.ask(7) == 14

    run(test())


def test_finishing_does_not_wait_for_a_stuck_worker(gate):
    async def test() -> None:
        clock = Clock()
        worker: Worker[int, int] = Worker("gpu", doubling([], gate), bound_seconds=40, clock=clock)
        worker.ask(1)
        await gate.entered()
        clock.now += 41
        await worker.finish(10 * GENEROUS)
        assert worker.busy
        gate.open.set()

    run(test())


def test_when_work_returns_after_all_those_who_were_told_it_is_stuck_can_ask_again(gate):
    async def test() -> None:
        again = asyncio.Event()
        worker: Worker[int, int] = Worker("gpu", doubling([], gate), bound_seconds=0.05, returned=again.set)
        with pytest.raises(PluginStuck):
            await worker.ask(1)
        assert not again.is_set()
        gate.open.set()
        await again.wait()
        again.clear()
        assert await worker.ask(2) == 4
        assert not again.is_set()  # nobody had been refused since

    run(test())


def test_work_that_was_given_up_is_done_all_the_same(gate):
    async def test() -> None:
        batches: list[list[int]] = []
        worker: Worker[int, int] = Worker("gpu", doubling(batches, gate), bound_seconds=0.05)
        first = worker.ask(1)
        await gate.entered()
        second = worker.ask(2)
        answers = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(answer) for answer in answers] == [PluginStuck, PluginStuck]
        gate.open.set()
        await until(lambda: batches == [[1], [2]])

    run(test())


def test_every_step_has_the_whole_bound_to_itself(gate):
    async def test() -> None:
        clock = Clock()

        def work(jobs: Sequence[int]) -> list[Any]:
            for step in range(3):
                worker.began(f"step {step}")
                clock.now += 30
                assert worker.stuck is None
            return list(jobs)

        worker: Worker[int, int] = Worker("gpu", work, bound_seconds=40, clock=clock)
        assert await worker.ask(1) == 1

    run(test())


def test_an_idle_worker_is_never_stuck():
    async def test() -> None:
        clock = Clock()
        worker: Worker[int, int] = Worker("gpu", list, bound_seconds=40, clock=clock)
        assert await worker.ask(1) == 1
        clock.now += 1000
        assert worker.stuck is None
        assert await worker.ask(2) == 2

    run(test())


def test_a_loop_that_has_closed_ends_the_thread_and_nobody_is_told(gate):
    async def leave() -> None:
        worker: Worker[int, int] = Worker("left behind", doubling([], gate), bound_seconds=GENEROUS)
        worker.ask(1)
        await gate.entered()

    asyncio.run(leave())
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "left behind")
    gate.open.set()
    thread.join(GENEROUS)
    assert not thread.is_alive()


# Calls


def test_a_call_is_answered_with_what_it_returns_or_raises():
    async def test() -> None:
        worker = calls_worker("gpu", bound_seconds=GENEROUS)
        assert await worker.ask(Call("discover", lambda: 7)) == 7
        with pytest.raises(ZeroDivisionError):
            await worker.ask(Call("health", lambda: 1 // 0))
        with pytest.raises(RuntimeError, match="SystemExit: 3"):
            await worker.ask(Call("close", lambda: exec("raise SystemExit(3)")))

    run(test())


def test_a_call_that_hangs_is_named(gate):
    async def test() -> None:
        clock = Clock()
        worker = calls_worker("gpu", bound_seconds=40, clock=clock)
        hung = worker.ask(Call("discover", gate.pass_through))
        await gate.entered()
        clock.now += 60
        with pytest.raises(PluginStuck, match="discover has been running for 60 s") as caught:
            await worker.ask(Call("health", lambda: 1))
        assert caught.value.hook == "discover"
        gate.open.set()
        await hung
        assert await worker.ask(Call("health", lambda: 1)) == 1

    run(test())


# Questions to the loop


async def answer() -> int:
    return 7


async def refuse() -> int:
    raise ClaimError("no")


async def say_nothing() -> int:
    await asyncio.Event().wait()
    return 0


def test_another_thread_gets_what_the_loop_answers_or_raises():
    async def test() -> None:
        loop = asyncio.get_running_loop()
        assert await asyncio.to_thread(asking(loop, answer, bound_seconds=GENEROUS)) == 7
        with pytest.raises(ClaimError, match="no"):
            await asyncio.to_thread(asking(loop, refuse, bound_seconds=GENEROUS))

    run(test())


def test_a_question_that_is_not_answered_within_its_bound_is_given_up():
    async def test() -> None:
        ask = asking(asyncio.get_running_loop(), say_nothing, bound_seconds=0.01)
        with pytest.raises(TimeoutError, match=r"no answer within 0\.01 s"):
            await asyncio.to_thread(ask)

    run(test())


def test_a_loop_that_has_closed_answers_nothing():
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        asking(loop, answer, bound_seconds=GENEROUS)()
