"""Word that devices are numbered anew reaches the thread that works on claims, whoever has it and when."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from drakit import renumbering
from drakit.errors import PluginStuck
from drakit.jobs import Renumber
from drakit.renumbering import Renumbering
from drakit.worker import Worker

LOG = logging.getLogger(__name__)
BOUND_SECONDS = 30.0


class Work:
    """What a driver's thread does: it takes up what was told."""

    def __init__(self, said: Renumbering) -> None:
        self.said = said
        self.done: asyncio.Queue[int] = asyncio.Queue()
        self.hold = threading.Event()
        self.hold.set()
        self.loop = asyncio.get_running_loop()

    def __call__(self, jobs):
        self.hold.wait(BOUND_SECONDS)
        self.said.told.clear()
        self.loop.call_soon_threadsafe(self.done.put_nowait, len(jobs))
        return [()] * len(jobs)


@pytest.fixture(autouse=True)
def _without_pause(monkeypatch):
    monkeypatch.setattr(renumbering, "PAUSE_SECONDS", 0.0)


def run(act) -> None:
    """Have `act(said, work, worker)` done beside what follows what is said."""

    async def main():
        said = Renumbering()
        work = Work(said)
        worker = Worker("gpu.example.com", work, bound_seconds=0.05)
        async with asyncio.timeout(BOUND_SECONDS):
            following = asyncio.create_task(said.follow(worker, LOG))
            await asyncio.sleep(0)
            await act(said, work, worker)
            following.cancel()

    asyncio.run(main())


def test_what_another_thread_says_is_work_for_the_driver():
    async def act(said, work, _worker):
        threading.Thread(target=said.tell).start()
        assert await work.done.get() == 1
        assert not said.told.is_set()

    run(act)


def test_what_is_said_often_is_done_once():
    async def act(said, work, worker):
        work.hold.clear()
        busy = worker.ask(Renumber())
        for _ in range(100):
            said.tell()
        work.hold.set()
        await busy
        assert await work.done.get() == 1
        while said.told.is_set():
            await work.done.get()
        await asyncio.sleep(0)
        assert work.done.qsize() <= 1

    run(act)


def test_a_driver_that_is_stuck_does_it_when_it_goes_on():
    async def act(said, work, worker):
        work.hold.clear()
        with pytest.raises(PluginStuck):
            await worker.ask(Renumber())
        said.tell()
        await asyncio.sleep(0)
        work.hold.set()
        while said.told.is_set():
            await work.done.get()

    run(act)


def test_what_is_said_before_or_after_it_is_served_raises_nothing():
    said = Renumbering()
    said.tell()
    assert said.told.is_set()
    run(lambda *_: asyncio.sleep(0))

    async def serve():
        following = asyncio.create_task(said.follow(Worker("x", lambda jobs: [()] * len(jobs), bound_seconds=1), LOG))
        await asyncio.sleep(0)
        following.cancel()

    asyncio.run(serve())
    said.tell()
