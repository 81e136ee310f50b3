"""Looking after what one driver has journalled, beside the kubelet's calls: made whole at start, undone when gone."""

from __future__ import annotations

import asyncio
import logging

from attrs import frozen

from drakit.claims import ClaimsEngine
from drakit.errors import describe
from drakit.jobs import Job, Restore, RollBack
from drakit.kube.claims import ClaimGone, ClaimReader, ClaimUnreadable
from drakit.model import DeviceHandle
from drakit.worker import Worker

RESTORE_SECONDS = 5.0
"""How long to wait before CDI files that could not all be restored are tried again."""


@frozen(kw_only=True)
class Custody:
    """Whoever looks after the claims of one driver, on the event loop. All work on them is the worker's."""

    engine: ClaimsEngine
    worker: Worker[Job, tuple[DeviceHandle, ...]]
    reader: ClaimReader
    log: logging.Logger
    round_seconds: float

    async def run(self, restored: asyncio.Future[tuple[DeviceHandle, ...]]) -> None:
        """First make the CDI files whole, then undo, from time to time, what is gone. Until cancelled."""
        await self._restore(restored)
        while True:
            try:
                await self._roll_back()
            except Exception as error:
                self.log.error("what was left of claims that are gone could not be undone yet: %s", describe(error))
            await asyncio.sleep(self.round_seconds)

    async def _restore(self, restored: asyncio.Future[tuple[DeviceHandle, ...]]) -> None:
        while True:
            try:
                await restored
            except Exception as error:
                self.log.error("the CDI files of prepared claims could not all be restored: %s", describe(error))
            else:
                return
            await asyncio.sleep(RESTORE_SECONDS)
            restored = self.worker.ask(Restore())

    async def _roll_back(self) -> None:
        """Undo preparations that were interrupted, or are of an earlier boot, and whose claims are gone."""
        for claim in self.engine.unconfirmed():
            try:
                await self.reader.read(claim)
            except ClaimGone:
                if self.worker.stuck is None:
                    self.log.info("claim %s is gone; undoing what is left of its preparation", claim)
                    await self.worker.ask(RollBack(claim))
            except ClaimUnreadable:
                return  # known by nobody just now: another time
