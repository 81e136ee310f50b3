"""Looking after what one driver has journalled, beside the kubelet's calls: made whole at start, undone when gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from attrs import define, field

from drakit.agreement import Containers
from drakit.claims import ClaimsEngine
from drakit.documents import claim_allocation
from drakit.errors import ClaimError, describe
from drakit.jobs import Adopt, Job, Reclaim, Restore, RollBack
from drakit.journal import Journal
from drakit.kube.claims import ClaimGone, ClaimReader, ClaimUnreadable
from drakit.kubelet.podresources import NamedClaims, PodResources, PodResourcesUnknown
from drakit.model import ClaimRef, DeviceHandle
from drakit.subject import about
from drakit.worker import Worker, asking

RETRY_SECONDS = 5.0
"""How long to wait before what a start could not do is tried again: files to restore, claims to adopt."""
ADOPTION_SECONDS = 10.0
"""How long new claims wait, after a start, for what other drivers of this name have prepared."""
LONG_SECONDS = 600.0
"""How long the kubelet must have been registered before the absence of pods says anything, and how often that is asked.

A kubelet that starts knows of no pods at first, and registers its drivers before it does.
"""

CONTAINERS_SECONDS = 2.0
"""How long the kubelet has to say which claims a container has, while a pod waits for that."""


@define(kw_only=True)
class Custody:
    """Whoever looks after the claims of one driver, on the event loop. All work on them is the worker's."""

    engine: ClaimsEngine
    worker: Worker[Job, tuple[DeviceHandle, ...]]
    reader: ClaimReader
    pods: PodResources
    log: logging.Logger
    round_seconds: float
    registered_seconds: Callable[[], float]
    """For how long the kubelet has been registered: since it last said so."""
    holders_known: asyncio.Event = field(factory=asyncio.Event, init=False)
    """Set when new claims need not wait any more for other drivers' claims to be adopted."""
    restored: asyncio.Event = field(factory=asyncio.Event, init=False)
    """Set when all that was prepared is as it was again, the backend's view of it included."""
    _adopted: bool = field(default=False, init=False)
    _asked_at: float = field(default=0.0, init=False)
    _told: set[str] = field(factory=set, init=False)

    async def run(self, restored: asyncio.Future[tuple[DeviceHandle, ...]]) -> None:
        """First make the CDI files whole and learn who else holds devices; then undo what is gone. Until cancelled."""
        patience = asyncio.get_running_loop().call_later(ADOPTION_SECONDS, self.holders_known.set)
        try:
            await self._restore(restored)
            while True:
                if not self._adopted:
                    await self._attempt("claims of another driver could not be adopted yet", self._adopt)
                await self._attempt("what was left of claims that are gone could not be undone yet", self._roll_back)
                for claim in self.engine.unfinished():
                    await self._attempt(
                        f"what claim {claim} left could not be undone yet", partial(self._finish, claim)
                    )
                await self._attempt("holds of claims that are gone could not be looked into", self._reclaim)
                await asyncio.sleep(self.round_seconds if self._adopted else min(self.round_seconds, RETRY_SECONDS))
        finally:
            patience.cancel()

    async def _attempt(self, failed: str, step: Callable[[], Awaitable[None]]) -> None:
        """Do one step; whatever it fails of, the others go on."""
        try:
            await step()
        except PodResourcesUnknown as error:
            self._tell_once(f"the kubelet does not say which pods have claims: {describe(error)}")
        except Exception as error:
            self.log.error("%s: %s", failed, describe(error))

    async def _restore(self, restored: asyncio.Future[tuple[DeviceHandle, ...]]) -> None:
        while True:
            try:
                await restored
            except Exception as error:
                self._tell_once(
                    f"the CDI files of prepared claims cannot all be restored, and are tried again: {describe(error)}"
                )
            else:
                self.restored.set()
                return
            await asyncio.sleep(RETRY_SECONDS)
            restored = self.worker.ask(Restore())

    async def _adopt(self) -> None:
        """Hold the devices of claims that pods have from a driver of this name, and that are not in the journal."""
        if self.engine.backend is not None:
            if self.pods.is_offered:
                # What the journal has is taken first: a claim that ends meanwhile is no stranger's.
                known = {str(entry.claim) for entry in list(self.engine.journal.entries.values())}
                strangers = [
                    claim for claim in _of(self.engine.driver, await self.pods.claims()) if str(claim) not in known
                ]
                await asyncio.gather(*map(self._adopt_one, strangers))
            else:
                self._tell_once(
                    f"the kubelet does not say which pods have claims ({self.pods.socket} is not there): what another "
                    f"driver of this name has prepared is not known, and claims that are gone hold their devices until "
                    f"the next boot"
                )
        self._adopted = True
        self.holders_known.set()

    async def _adopt_one(self, claim: ClaimRef) -> None:
        with about(claim=claim):
            await self._hold(claim)

    async def _hold(self, claim: ClaimRef) -> None:
        try:
            allocation = claim_allocation(await self.reader.find(claim), self.engine.driver)
        except ClaimError as error:
            self.log.warning(
                "a pod has claim %s, and which devices that holds is not known: %s", claim, describe(error)
            )
            return
        await self.worker.ask(Adopt(allocation))
        self.log.info("claim %s was prepared by another driver: its devices are held until its pod has ended", claim)

    async def _roll_back(self) -> None:
        """Undo preparations that were interrupted, or are of an earlier boot, and whose claims are gone."""
        for claim in self.engine.unconfirmed():
            try:
                await self.reader.read(claim)
            except ClaimGone:
                if self.worker.stuck is None:
                    with about(claim=claim):
                        self.log.info("claim %s is gone; undoing what is left of its preparation", claim)
                    await self.worker.ask(RollBack(claim))
            except ClaimUnreadable:
                return  # known by nobody just now: another time

    async def _finish(self, claim: ClaimRef) -> None:
        """Undo a claim whose pod has ended while there was no backend: nobody need be asked about it."""
        if self.worker.stuck is None:
            await self.worker.ask(RollBack(claim))

    async def _reclaim(self) -> None:
        """Undo claims of this boot that are gone, that no pod has, and whose devices are not in use."""
        registered = self.registered_seconds()
        if registered < self._asked_at:
            self._asked_at = 0.0  # registered anew since: what was known of its pods is void
        if registered - self._asked_at < LONG_SECONDS:
            return
        if not self._asked_at:
            self._adopted = False  # it may have named none of its pods when it had just started
        self._asked_at = registered
        held = self.engine.confirmed()
        if not held or not self.pods.is_offered:
            return
        named = await self.pods.claims()
        for claim in held:
            if (claim.namespace, claim.name) not in named and self.worker.stuck is None and await self._is_gone(claim):
                await self.worker.ask(Reclaim(claim))

    async def _is_gone(self, claim: ClaimRef) -> bool:
        try:
            await self.reader.read(claim)
        except ClaimGone:
            return True
        except ClaimUnreadable:
            pass  # nobody says so just now
        return False

    def _tell_once(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self.log.warning("%s", message)


def containers_by(socket: Path) -> Containers:
    """A question to the kubelet, for the thread that works on claims: which claims each container has."""
    pods = PodResources(socket, timeout_seconds=CONTAINERS_SECONDS)
    return asking(asyncio.get_running_loop(), pods.containers, bound_seconds=2 * CONTAINERS_SECONDS)


def _of(driver: str, named: NamedClaims) -> list[ClaimRef]:
    """The claims with devices of a driver; their uids are not told."""
    return [ClaimRef("", namespace, name) for (namespace, name), drivers in named.items() if driver in drivers]


def holds_claims(journal_path: Path) -> bool:
    """Whether a driver has left claims in its journal that may still end, as far as can be told without waiting.

    Raises JournalError where the file cannot be opened or read.
    """
    journal = Journal(journal_path)
    try:
        return not journal.glance() or not all(entry.ended for entry in journal.entries.values()) or journal.damaged
    finally:
        journal.close()
