"""A daemon thread that works off a queue for an event loop, and knows when it is stuck.

Hooks block, and may hang. They run on threads that exit does not wait for, and that no second thread doubles: a job
past its bound makes the worker *stuck*, everyone waiting is told so at once, and nothing else starts until it returns.
Work belongs to the queue: whoever stops waiting abandons the answer, not the work.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

from drakit.errors import PluginStuck

Job = TypeVar("Job")
Answer = TypeVar("Answer")
T = TypeVar("T")


class Worker(Generic[Job, Answer]):
    """Runs jobs in order, all that wait in one batch. `work` gives one answer or exception per job.

    Belongs to the event loop that first calls `ask`. `bound_seconds` is for one step of the work: `work` calls
    `began` with what it does now whenever a step starts.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Job]], Sequence[Answer | BaseException]],
        *,
        bound_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        returned: Callable[[], None] = lambda: None,
    ) -> None:
        """`returned` is called, on the loop, when work has ended after somebody was told that it is stuck."""
        self.name = name
        self._work = work
        self._bound = bound_seconds
        self._clock = clock
        self._returned = returned
        self._told_stuck = False
        self._queue: SimpleQueue[tuple[Job, asyncio.Future[Answer]]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._step: tuple[str, float, str] | None = None
        self._waiting: set[asyncio.Future[Answer]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._unfinished = 0
        self._idle = asyncio.Event()

    def began(self, step: str, hook: str = "") -> None:
        """Note, on the worker's thread, what starts now: it has the whole bound to itself. `hook`: if it is one."""
        self._step = (step, self._clock(), hook)

    @property
    def busy(self) -> bool:
        """Whether work is under way, or waits to be."""
        return self._unfinished > 0

    @property
    def stuck(self) -> PluginStuck | None:
        """The error to answer with while a step is past its bound."""
        step = self._step
        if step is None or (running := self._clock() - step[1]) < self._bound:
            return None
        return PluginStuck(
            self.name,
            f"{step[0]} has been running for {running:.0f} s; nothing else is started until it returns",
            hook=step[2],
        )

    def ask(self, job: Job) -> asyncio.Future[Answer]:
        """Queue a job. The future may be cancelled: that abandons the answer, never the work."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        if (error := self.stuck) is not None:
            self._told_stuck = True
            _fail(future, error)
            return future
        self._waiting.add(future)
        self._unfinished += 1
        self._idle.clear()
        self._queue.put((job, future))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(loop,), name=self.name, daemon=True)
            self._thread.start()
        if self._timer is None:
            self._timer = loop.call_later(self._bound, self._look)
        return future

    async def finish(self, seconds: float) -> None:
        """Wait until all work is done, also what nobody waits for any more; not beyond the time, nor while stuck."""
        if self._unfinished and self.stuck is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._idle.wait()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            batch = [self._queue.get()]
            with contextlib.suppress(Empty):
                while True:
                    batch.append(self._queue.get_nowait())
            self.began("starting")
            try:
                answers = self._work([job for job, _ in batch])
            except BaseException as error:  # what a batch dies of is the answer to all of it
                answers = [error] * len(batch)
            self._step = None
            try:
                loop.call_soon_threadsafe(self._deliver, batch, answers)
            except RuntimeError:
                return  # the loop has closed: the agent is gone, and nobody waits

    def _deliver(
        self, batch: Sequence[tuple[Any, asyncio.Future[Answer]]], answers: Sequence[Answer | BaseException]
    ) -> None:
        self._unfinished -= len(batch)
        if not self._unfinished:
            self._idle.set()
        for (_, future), answer in zip(batch, answers, strict=True):
            self._waiting.discard(future)
            if future.done():
                continue
            if isinstance(answer, BaseException):
                _fail(future, _as_exception(answer))
            else:
                future.set_result(answer)
        if self._told_stuck and self.stuck is None:
            self._told_stuck = False
            self._returned()

    def _look(self) -> None:
        """Tell everyone who waits, once a step is past its bound; look again while there is someone."""
        self._timer = None
        if (error := self.stuck) is not None:
            self._told_stuck = True
            for future in self._waiting:
                if not future.done():
                    _fail(future, error)
            self._waiting.clear()
        if self._waiting:
            step = self._step
            rest = self._bound if step is None else max(0.01, step[1] + self._bound - self._clock())
            self._timer = asyncio.get_running_loop().call_later(rest, self._look)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    """Answer with an exception, and look at it, so that nobody complains where the answer was abandoned."""
    future.set_exception(error)
    future.exception()


def _as_exception(error: BaseException) -> BaseException:
    """A future cannot carry StopIteration, and must not carry SystemExit into the loop."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")


def asking(
    loop: asyncio.AbstractEventLoop, question: Callable[[], Coroutine[Any, Any, T]], *, bound_seconds: float
) -> Callable[[], T]:
    """Make a question to a loop for code on another thread, which waits for the answer.

    It raises what the question raises, and TimeoutError where nothing is answered within the bound.
    """

    def ask() -> T:
        coroutine = question()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError:  # the loop has closed
            coroutine.close()
            raise
        try:
            return future.result(bound_seconds)
        except TimeoutError:
            future.cancel()
            raise TimeoutError(f"no answer within {bound_seconds:g} s") from None

    return ask


class Call(NamedTuple):
    """One call for a worker of calls, and what it is called while it runs."""

    label: str
    call: Callable[[], Any]


def calls_worker(
    name: str,
    *,
    bound_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    returned: Callable[[], None] = lambda: None,
) -> Worker[Call, Any]:
    """Make a worker whose jobs are plain calls, each with the bound to itself."""

    def work(calls: Sequence[Call]) -> list[Any]:
        answers: list[Any] = []
        for label, call in calls:
            worker.began(label, hook=label)
            try:
                answers.append(call())
            except BaseException as error:  # carried to whoever asked
                answers.append(error)
        return answers

    worker: Worker[Call, Any] = Worker(name, work, bound_seconds=bound_seconds, clock=clock, returned=returned)
    return worker
