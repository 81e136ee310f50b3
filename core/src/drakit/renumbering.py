"""Word of a backend that device numbers may differ, on its way to the thread that works on claims.

It comes from any thread, also from a hook that is under way. The claims engine takes it up with the next work there
is, before anything else is prepared; where there is no work, some is made for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading

from drakit.errors import DRAError, describe
from drakit.jobs import Job, Renumber
from drakit.model import DeviceHandle
from drakit.worker import Worker

PAUSE_SECONDS = 1.0
"""The least pause between two looks at all that is prepared, however often a plugin says that numbers differ."""


class Renumbering:
    """What one backend has said of its numbers. `told` is the engine's: it is set until edits have been made anew."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self._wanted = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def tell(self) -> None:
        """Numbers of what is prepared may differ now. From any thread; before anything is served it is no news."""
        self.told.set()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: the next start looks at everything
                self._loop.call_soon_threadsafe(self._wanted.set)

    async def follow(self, worker: Worker[Job, tuple[DeviceHandle, ...]], log: logging.Logger) -> None:
        """Make work of what is told while there is no other. Until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self.told.is_set():
                log.info("devices may be numbered anew: what is prepared is looked at again")
                try:
                    await worker.ask(Renumber())
                except DRAError as error:
                    log.warning("what is prepared could not be looked at, and is later: %s", describe(error))
                    self._wanted.set()
            await asyncio.sleep(PAUSE_SECONDS)
