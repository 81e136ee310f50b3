"""The claims engine: prepare and unprepare over the journal, the CDI directory and the backend.

Synchronous, and called by one thread. Work comes in batches, each under the journal's lock: hooks one after another,
CDI files, then one sync for all records, and only then the answers. The order of durable steps is

    prepare     [intent, if the backend has side effects] -> hook -> CDI file -> commit
    unprepare   hook -> CDI file removed -> release, or "to be undone" where side effects wait for a backend

so that a crash between any two of them leaves nothing that a repeat, or the next start, does not put right.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence

from attrs import Factory, evolve, field, frozen

from drakit.agreement import Agreement, Containers
from drakit.backend import Backend, Hooks
from drakit.cdi import CdiDirectory, check_uid
from drakit.entries import Entry, Phase, allocation_digest
from drakit.errors import ClaimError, DeviceNotFound, DRAError, JournalError, describe
from drakit.files import ClaimFiles
from drakit.holds import HeldDevices, check_free
from drakit.jobs import Adopt, Answer, Job, Prepare, Reclaim, Renumber, Repeat, Restore, RollBack, Unprepare
from drakit.journal import Journal
from drakit.metadata import MetadataDirectory
from drakit.model import ClaimAllocation, ClaimRef, DeviceRef
from drakit.recovery import adopt_damaged, only_warned
from drakit.renewal import Renewal
from drakit.subject import about


@frozen(kw_only=True)
class ClaimsEngine:
    """One driver's claims.

    `backend` is None where the plugin is not there any more: then claims can only be unprepared. `known` gives the
    devices this node has, None before the first discovery; `containers` the claims of each container, which is asked
    only where claims differ in what they set. `began` is told what starts now, for whoever bounds it. `renumbered` is
    set, by any thread, when device numbers of what is prepared may differ.
    """

    driver: str
    journal: Journal
    cdi: CdiDirectory
    metadata: MetadataDirectory
    backend: Backend | None
    boot_id: str
    known: Callable[[], Collection[DeviceRef] | None]
    containers: Containers
    renumbered: threading.Event = field(factory=threading.Event)
    began: Callable[[str], None] = field(default=lambda _what: None)
    warn: Callable[[str], None] = field(default=lambda _message: None)
    _fresh: dict[str, int] = field(factory=dict, init=False)
    """The claims whose intents are of the batch under way. Any other intent is of an attempt that was interrupted."""
    _ended: deque[str] = field(factory=lambda: deque(maxlen=_ENDED_KEPT), init=False)
    """The claims that were unprepared here lately: what is heard of them only then is out of date."""
    _agreement: Agreement = field(
        init=False, default=Factory(lambda self: Agreement(self.journal, self.containers, self.began, self.warn), True)
    )
    _hooks: Hooks = field(init=False, default=Factory(lambda self: Hooks(self.driver, self.backend, self.began), True))
    _files: ClaimFiles = field(
        init=False, default=Factory(lambda self: ClaimFiles(self.cdi, self.metadata, self.warn), True)
    )
    _renewal: Renewal = field(
        init=False,
        default=Factory(lambda self: Renewal(self.journal, self._hooks, self._files, self.renumbered, self.warn), True),
    )

    def entry(self, uid: str) -> Entry | None:
        """What is journalled of a claim. May be called from any thread."""
        return self.journal.entries.get(uid)

    def unconfirmed(self) -> list[ClaimRef]:
        """The claims to be looked up at the API server, and rolled back if they are gone. For any thread.

        They are those for which nothing else speaks: their preparation was interrupted, or is of an earlier boot, and
        no container that used it is alive. None without a backend, since RollBack does nothing then.
        """
        if self.backend is None:
            return []
        entries = [entry for entry in list(self.journal.entries.values()) if self._is_unconfirmed(entry)]
        return [entry.claim for entry in entries if entry.claim.name and not entry.ended]

    def unfinished(self) -> list[ClaimRef]:
        """The claims whose pods have ended, to be rolled back now that there is a backend. For any thread."""
        if self.backend is None:
            return []
        return [entry.claim for entry in list(self.journal.entries.values()) if entry.ended]

    def confirmed(self) -> list[ClaimRef]:
        """The claims that containers of this boot may use, as far as their names are known. For any thread."""
        entries = [entry for entry in list(self.journal.entries.values()) if entry.phase is not Phase.INTENT]
        return [entry.claim for entry in entries if entry.claim.name and not self._is_unconfirmed(entry)]

    def run(self, jobs: Sequence[Job]) -> list[Answer | BaseException]:
        """Do a batch of jobs in order; one answer or error each. Nothing is answered before it is durable."""
        self.began("waiting for the journal's lock")
        try:
            with self.journal.locked():
                return self._run_locked(jobs)
        except DRAError as error:
            return [error] * len(jobs)
        finally:
            self._fresh.clear()
            self._agreement.forget()

    def _run_locked(self, jobs: Sequence[Job]) -> list[Answer | BaseException]:
        if self.journal.damaged:
            self.began("looking for what damaged records held")
            adopt_damaged(self.journal, self.cdi, self.boot_id, self.warn)
        self._stage_intents(jobs)
        answers: list[Answer | BaseException] = []
        recomputed = False
        try:
            for job in jobs:
                recomputed |= self._renewal.renumber()
                self.began(f"{type(job).__name__.lower()} of {job.claim}")
                answers.append(self._answer(job))
            recomputed |= self._renewal.renumber()  # a hook of this batch may have been the one to notice
            self.began("writing the journal")
            self.journal.commit()
        except JournalError as error:
            if recomputed:
                self.renumbered.set()
            # Nothing since the last commit is durable, and which jobs that takes with it is not worth telling apart:
            # no success may be told, files of unrecorded claims must not stay, and every job can be repeated.
            for uid in {job.claim.uid for job in jobs if not isinstance(job, Restore | Renumber)}:
                self._files.put_right(uid, self.entry(uid))
            answers += [error] * (len(jobs) - len(answers))
            return [answer if isinstance(answer, BaseException) else error for answer in answers]
        return answers

    def _answer(self, job: Job) -> Answer | BaseException:
        """Do one job; its failure, of whatever kind, is its answer. Only a JournalError concerns the others too."""
        try:
            with about(claim=job.claim):
                return self._do(job)
        except JournalError:
            raise
        except BaseException as error:
            return error

    def _stage_intents(self, jobs: Sequence[Job]) -> None:
        """Record, before any hook runs, what is about to be asked of a backend with side effects: one sync for all.

        Of two that want one device the first has an intent. Both would stand in each other's way after a crash.
        """
        for job in jobs if self._hooks.side_effects else ():
            if isinstance(job, Prepare) and job.allocation.devices:
                with contextlib.suppress(ClaimError):  # answered when its turn comes
                    check_uid(job.claim.uid)
                    self._check_devices(job.allocation)
                    self._stage_intent(job.allocation)
        self._commit_intents()

    def _stage_intent(self, allocation: ClaimAllocation) -> bool:
        """Stage the intent of a claim that is not journalled; returns whether there was anything to stage.

        One that is adopted stays so until it is prepared: an intent might be rolled back under its containers.
        """
        claim = allocation.claim
        if not self._hooks.side_effects or self.entry(claim.uid) is not None:
            return False
        self._fresh[claim.uid] = len(self._fresh)
        self.journal.put(Entry(claim=claim, phase=Phase.INTENT, devices=allocation.devices, side_effects=True))
        return True

    def _commit_intents(self) -> None:
        self.began("recording what is about to be prepared")
        self.journal.commit()

    def _do(self, job: Job) -> Answer:
        match job:
            case Prepare():
                return self._prepare(job.allocation, job.together)
            case Repeat():
                return self._repeat(job.claim)
            case Unprepare():
                self._unprepare(job.claim)
            case RollBack():
                self._roll_back(job.claim)
            case Adopt():
                self._adopt(job.allocation)
            case Reclaim():
                self._reclaim(job.claim)
            case Restore():
                self._restore()
            case Renumber():
                pass  # done before any job
        return ()

    def _prepare(self, allocation: ClaimAllocation, together: Collection[str]) -> Answer:
        claim = allocation.claim
        check_uid(claim.uid)
        digest = allocation_digest(allocation.devices)
        entry = self.entry(claim.uid)
        if entry is not None and entry.phase is Phase.QUARANTINED and not self._is_unconfirmed(entry):
            raise ClaimError(f"the record of claim {claim} on this node was damaged; delete the pod and its claim")
        if entry is not None and entry.phase is not Phase.INTENT:
            if entry.digest != digest:
                self._unprepare(claim)  # allocated anew under the same uid: that is another preparation
            elif entry.phase is Phase.COMMITTED:
                return self._again(entry)
        return self._prepare_anew(allocation, digest, together) if allocation.devices else ()

    def _prepare_anew(self, allocation: ClaimAllocation, digest: str, together: Collection[str]) -> Answer:
        claim = allocation.claim
        try:
            decoded = self._checked(allocation)
        except ClaimError:
            if claim.uid in self._fresh:
                self.journal.release(claim.uid)  # the backend was never asked
            raise
        before = self.entry(claim.uid)
        if before is not None and before.phase is Phase.INTENT and claim.uid not in self._fresh:
            self._unprepare(claim)  # it may have been of another allocation, and have left a CDI file
        if self._stage_intent(allocation):
            self._commit_intents()
        try:
            with self._held() as held:
                prepared = self._hooks.prepare(decoded, held)
            self._agreement.check(claim, prepared, together)
            entry = Entry(
                claim=claim,
                digest=digest,
                boot_id=self.boot_id,
                devices=allocation.devices,
                prepared=prepared,
                side_effects=self._hooks.side_effects,
            )
            entry = self.metadata.described(allocation, entry)
            self._files.ensure(entry, anew=True)
        except BaseException:
            self._abandon(claim)
            raise
        self.journal.put(entry)
        return self._files.handles(entry)

    def _checked(self, allocation: ClaimAllocation) -> ClaimAllocation:
        """The allocation with its configuration decoded. Raises ClaimError where it cannot be prepared here."""
        self._hooks.required()
        self._check_devices(allocation)
        return self._hooks.decoded(allocation)

    def _abandon(self, claim: ClaimRef) -> None:
        """After a failed preparation: undo what it may have done. What cannot be undone now stays an intent.

        What was adopted is undone when it ends: until then containers may use it.
        """
        self._files.remove_descriptions(claim, self.entry(claim.uid))
        if claim.uid not in self._fresh:
            return
        try:
            self._hooks.unprepare(claim)
        except Exception as error:
            self.warn(f"claim {claim}: its failed preparation could not be undone yet: {describe(error)}")
            self._fresh.pop(claim.uid, None)  # interrupted, as it were: to be undone before it is tried again
            return
        self.journal.release(claim.uid)

    def _again(self, entry: Entry) -> Answer:
        """Answer a repeat: the same devices and ids. Hooks are asked only in a boot that has not seen the claim.

        From here on containers of this boot may use it, whether the backend could be asked or not.
        """
        if entry.boot_id != self.boot_id:
            entry = evolve(self._renewal.one(entry, refuse=True), boot_id=self.boot_id)
            self.journal.put(entry)
        self._files.ensure(entry)
        return self._files.handles(entry)

    def _repeat(self, claim: ClaimRef) -> Answer:
        entry = self.entry(claim.uid)
        if entry is None or entry.phase is not Phase.COMMITTED:
            raise ClaimError(f"claim {claim} is not prepared here, and the API server cannot be asked about it now")
        return self._again(entry)

    def _unprepare(self, claim: ClaimRef) -> None:
        check_uid(claim.uid)
        entry = self.entry(claim.uid)
        self._ended.append(claim.uid)
        is_undone = entry is None or self._undo(entry)
        self._files.remove(claim, entry)
        if entry is None or is_undone:
            self.journal.release(claim.uid)
        elif not entry.ended:
            self.journal.put(evolve(entry, phase=Phase.INTENT, metadata={}, ended=True))

    def _undo(self, entry: Entry) -> bool:
        """Ask the backend to undo a preparation; False where that has to wait for one."""
        if self.backend is None:
            return self._is_left(entry)
        try:
            self._hooks.unprepare(entry.claim, self.metadata.unmounted(entry.prepared))
        except Exception as error:
            if entry.phase not in _NOT_OURS:
                raise
            self.warn(
                f"claim {entry.claim} ({entry.phase}): unprepare failed, and it ends all the same: {describe(error)}"
            )
        return True

    def _is_left(self, entry: Entry) -> bool:
        """Whether nothing is to be undone of a claim that ends without a backend, as far as it is on record."""
        ends = f"claim {entry.claim} ends while driver {self.driver} has no backend: what its preparation changed"
        if entry.phase in _NOT_OURS:
            self.warn(f"{ends} on this node beside its CDI file, if anything, is left as it is")
            return True
        if not entry.side_effects and entry.phase is not Phase.INTENT:
            return True
        if not entry.ended:
            self.warn(f"{ends} on this node is undone, and its devices are free, when the backend is back")
        return False

    def _roll_back(self, claim: ClaimRef) -> None:
        entry = self.entry(claim.uid)
        if entry is not None and self.backend is not None and self._is_unconfirmed(entry):
            self._unprepare(claim)

    def _adopt(self, allocation: ClaimAllocation) -> None:
        claim = allocation.claim
        check_uid(claim.uid)
        if allocation.devices and self.entry(claim.uid) is None and claim.uid not in self._ended:
            devices, digest = allocation.devices, allocation_digest(allocation.devices)
            self.journal.put(
                Entry(claim=claim, phase=Phase.ADOPTED, digest=digest, boot_id=self.boot_id, devices=devices)
            )

    def _reclaim(self, claim: ClaimRef) -> None:
        entry = self.entry(claim.uid)
        if entry is None or self.backend is None or entry.phase is Phase.INTENT or not entry.devices:
            return
        if all(self._hooks.in_use(entry.claim, device.device) is False for device in entry.devices):
            self.warn(
                f"claim {entry.claim} ({claim.uid}) is gone, no pod of this node has it, and its devices are not in "
                f"use: they are free again"
            )
            self._unprepare(claim)

    def _is_unconfirmed(self, entry: Entry) -> bool:
        if entry.phase is Phase.INTENT:
            return entry.claim.uid not in self._fresh
        # Where no boot is known, nothing is evidence.
        return "" not in (entry.boot_id, self.boot_id) and entry.boot_id != self.boot_id

    def _restore(self) -> None:
        """Files first, from the journal, since containers may be waiting; then the backend's own view of each claim.

        Last what ended while there was no backend, before anybody else may have its devices.
        """
        self.renumbered.clear()
        self._files.remove_strays(self.journal)
        for entry in self._renewal.committed():
            with about(claim=entry.claim), only_warned(self.warn, f"claim {entry.claim}"):
                self._files.ensure(entry)
        self._renewal.all()
        for claim in self.unfinished():
            with about(claim=claim), only_warned(self.warn, f"claim {claim}: what it left cannot be undone yet"):
                self._unprepare(claim)

    def _held(self) -> HeldDevices:
        return HeldDevices(self.journal, self.metadata.unmounted)

    def _check_devices(self, allocation: ClaimAllocation) -> None:
        known = self.known()
        if known is None:
            raise ClaimError(f"driver {self.driver} has not finished its first discovery; this is tried again")
        for wanted in allocation.devices:
            if wanted.device not in known:
                raise DeviceNotFound(
                    f"device {wanted.device} is not on this node: it was removed or renamed after the claim was "
                    f"allocated; delete the pod to have it scheduled anew"
                )
        check_free(self.journal, allocation, self._fresh)


_ENDED_KEPT = 4096
"""Far more than can end while it is being found out who holds what."""

_NOT_OURS = (Phase.QUARANTINED, Phase.ADOPTED)
"""What nobody here knows the preparation of: its pod ends, whatever the backend makes of it."""
