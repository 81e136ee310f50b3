"""One DRA driver on the node: its claims, its sockets, its slices. Of several, none waits for another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import evolve

from drakit.backend import HostedBackend
from drakit.cdi import CdiDirectory
from drakit.claims import ClaimsEngine
from drakit.coexistence import Coexistence
from drakit.context import read_boot_id
from drakit.custody import Custody, containers_by
from drakit.documents import claim_allocation
from drakit.entries import Entry
from drakit.errors import ClaimError, DeviceUnfit, describe
from drakit.faults import FaultBook
from drakit.fitness import fault_book, remember_refusal
from drakit.inventory import Survey
from drakit.jobs import Job, Prepare, Repeat, Restore, Unprepare
from drakit.journal import FILE_NAME, Journal, Phase
from drakit.kube.claims import ClaimReader, ClaimUnreadable
from drakit.kube.client import KubeClient
from drakit.kube.publisher import SlicePublisher
from drakit.kube.status import StatusWriter
from drakit.kubelet.health import HealthBoard
from drakit.kubelet.podresources import PodResources
from drakit.kubelet.server import KubeletServer
from drakit.metadata import DIRECTORY, MetadataDirectory
from drakit.model import ClaimRef, Device, DeviceHandle, DeviceRef, Health
from drakit.occupancy import paths_of, take_sockets
from drakit.offer import Offer
from drakit.renumbering import Renumbering
from drakit.settings import Settings, make_directory
from drakit.standing import PREPARE, UNPREPARE, Standing
from drakit.subject import about
from drakit.worker import Worker

FIRST_DISCOVERY_SECONDS = 10.0
"""How long a Prepare waits for the first discovery, after a start, before it is refused and tried again."""
STATUS_SECONDS = 10.0
"""The most a start waits before it has the statuses of prepared claims written: all agents may start at once."""


class Driver:
    """Serves one driver. `backend` is None for one that can only unprepare what is journalled.

    Everything but the hooks runs on the event loop. The driver's own thread runs `prepare` and `unprepare`.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        client: KubeClient,
        backend: HostedBackend | None,
        *,
        refusal: str = "",
        on_registered: Callable[[], None] = lambda: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Touches nothing yet. Raises ConfigError where no socket path fits. `refusal`: why new claims are refused.

        `changed` is called when health and taints may differ now.
        """
        self.name = name
        self.log = logging.getLogger(f"drakit.drivers.{name}")
        self._settings = settings
        self._backend = backend
        self._refusal = refusal
        self._plugin = backend.instance.plugin if backend is not None else ""
        self._pods = PodResources(settings.kubelet_pod_resources_socket)
        self._beside = Coexistence(
            name,
            backend.declarations.device_plugin_resources if backend is not None else (),
            self._pods,
            lasting_seconds=settings.discovery_seconds,
            log=self.log,
        )
        self._after_registration = on_registered
        self._changed = changed
        self._paths = paths_of(settings, settings.pod_uid)
        for path_of in (self._paths.registration_socket, self._paths.dra_socket):
            path_of(name)
        self.faults: FaultBook | None = None
        if backend is not None:
            directory = self._paths.driver_directory(name)
            self.faults = fault_book(backend.instance, settings, directory, self._entries, self.log)
            self._backend = evolve(backend, faults=self.faults)
        self._known: Mapping[DeviceRef, Device] | None = None
        self._surveyed = asyncio.Event()
        self.worker: Worker[Job, tuple[DeviceHandle, ...]] = Worker(
            name, self._work, bound_seconds=settings.hook_bound_seconds
        )
        self._engine: ClaimsEngine | None = None
        self._keeper: Custody | None = None
        reports_health = backend is not None and "health" in backend.instance.hooks
        self.health = HealthBoard(alive=self._is_well) if reports_health else None
        self._health_is_fresh = True
        self._reader = ClaimReader(client)
        self._statuses = StatusWriter(client, name, self.log) if backend is not None else None
        self._offer = Offer(name, settings, client, self._beside, has_backend=backend is not None, log=self.log)
        self.server: KubeletServer | None = None
        self.standing = Standing()
        self.renumbering = Renumbering()

    @property
    def engine(self) -> ClaimsEngine | None:
        """The claims of this driver; None before it was served."""
        return self._engine

    @property
    def refusal(self) -> str:
        """Why new claims are refused, in words; empty while they are not."""
        return self._beside.refusal or self._refusal

    @property
    def publisher(self) -> SlicePublisher | None:
        """Who publishes its slices; None for a driver without a backend."""
        return self._offer.publisher

    @property
    def trouble(self) -> str:
        """Why it is not ready for new claims, in words; empty when it is. May be read from any thread.

        A driver without a backend is never to prepare: it is ready when it can unprepare.
        """
        stuck = self.worker.stuck
        reason = self.standing.unserved or (str(stuck) if stuck else "") or self.standing.unregistered
        if reason or self._backend is None:
            return reason
        if not self._surveyed.is_set():
            return "its hardware has not been looked at yet"
        return self.refusal or self._offer.trouble

    async def run(self) -> None:
        """Serve until cancelled, then drain: calls under way have their bound to end.

        Raises ConfigError or JournalError where it cannot be served, and may then be run again.
        """
        with about(driver=self.name, plugin=self._plugin):  # for all tasks begun within, those of RPCs too
            await self._run()

    async def _run(self) -> None:
        server = KubeletServer(
            self._paths, self.name, self, self.health, on_registered=self._on_registered, log=self.log
        )
        directory = make_directory(self._paths.driver_directory(self.name))
        if self.faults is not None:
            self.faults.open()
        occupancy = await take_sockets(server, self._settings, self._not_served)
        engine: ClaimsEngine | None = None
        try:
            engine = self._engine = self._make_engine(Journal(directory / FILE_NAME, warn=self._warn))
            keeper = self._keeper = self._custody(engine)
            restored = self.worker.ask(Restore())
            await server.start()
            self.server = server
            self.standing.served()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(keeper.run(restored))
                tasks.create_task(self.renumbering.follow(self.worker, self.log))
                tasks.create_task(self._offer.run(server))
                if self._statuses is not None:
                    tasks.create_task(self._statuses.run())
                    tasks.create_task(self._report_restored(keeper, engine))
        finally:
            self.standing.served("it has stopped")
            await asyncio.shield(self._drain(server))
            occupancy.release()
            if engine is not None and not self.worker.busy:  # else its thread still works on the journal
                engine.journal.close()

    async def _drain(self, server: KubeletServer) -> None:
        """Let calls under way end, and their work too: the kubelet drops its calls when a driver deregisters."""
        clock = asyncio.get_running_loop().time
        until = clock() + self._settings.drain_seconds
        try:
            await server.stop(self._settings.drain_seconds)
        finally:
            await self.worker.finish(until - clock())

    async def meet(self, allocatable: Mapping[str, Any]) -> bool:
        """Take what the Node itself offers; returns whether a device plugin offers this driver's hardware.

        While one does, new claims are refused, and when that has lasted what is published is withdrawn.
        """
        gives_way = await self._beside.meet(allocatable)
        self._offer.look_again()
        return gives_way

    async def is_met(self) -> bool:
        """Whether the kubelet knows of a device plugin beside this driver that the Node did not: read it again."""
        return await self._beside.is_met()

    def publish(self, survey: Survey) -> None:
        """Take the driver's part of a round: what it may prepare, and what its slices are to be."""
        if self._backend is None:
            return
        if self.name not in survey.pools:
            self._refusal = f"driver {self.name} publishes nothing on this node: {survey.trouble(self.name)}"
            self._surveyed.set()
            return
        self._refusal = ""
        pools = self._offer.as_taken(survey.pools[self.name])
        self._known = {
            DeviceRef(self.name, pool.name, device.name): device for pool in pools for device in pool.devices
        }
        self._surveyed.set()
        self._offer.show(pools)

    def report(self, health: Sequence[Health]) -> None:
        """Take the backend's health report to the stream."""
        if self.health is not None:
            self._health_is_fresh = True
            self.health.update(health)

    def no_report(self) -> None:
        """The backend did not say: the stream falls silent, and the kubelet lets the health age to unknown."""
        self._health_is_fresh = False
        if self.faults is not None:
            self.faults.silence()

    def judge(self, health: Sequence[Health]) -> Sequence[Health]:
        """The backend's health report with the faults that stand. Called by the observer thread."""
        return self.faults.judge(health, self._known or ()) if self.faults is not None else health

    async def prepare(self, claim: ClaimRef, together: frozenset[str]) -> Sequence[DeviceHandle]:
        """Prepare one claim of a call. A repeat queues behind the work it repeats, and gets the same answer."""
        with self.standing.call(PREPARE):
            with self.standing.arriving(claim):
                job = await self._prepare_job(claim, together)
            try:
                handles = await self.worker.ask(job)
            except DeviceUnfit as error:
                self._remember(error, job)
                raise
        self._report_status(claim)
        return handles

    async def unprepare(self, claim: ClaimRef) -> None:
        """Undo a preparation for the kubelet; the claim itself is not looked at, it may be gone."""
        self.standing.overtake(claim)
        with self.standing.call(UNPREPARE):
            await self.worker.ask(Unprepare(claim))
        if self._statuses is not None:
            self._statuses.forget(claim.uid)

    async def _prepare_job(self, claim: ClaimRef, together: frozenset[str]) -> Job:
        assert self._engine is not None  # nobody calls before the sockets are served
        assert self._keeper is not None
        entry = self._engine.entry(claim.uid)
        if (entry is None or entry.phase in (Phase.ADOPTED, Phase.INTENT)) and self.refusal:
            raise ClaimError(self.refusal)
        committed = entry is not None and entry.phase is Phase.COMMITTED
        try:
            document = await self._reader.read(claim, patient=not committed)
        except ClaimUnreadable as error:
            if not committed:
                raise
            self.log.warning("claim %s: answered from the journal: %s", claim, describe(error))
            return Repeat(claim)
        if not committed:
            await self._keeper.holders_known.wait()
            if not self._surveyed.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FIRST_DISCOVERY_SECONDS):
                        await self._surveyed.wait()
        return Prepare(claim_allocation(document, self.name), together)

    def _remember(self, error: DeviceUnfit, job: Job) -> None:
        """Keep new claims away from what cannot do for one what it needs. A Repeat is asked again as a Prepare."""
        if isinstance(job, Prepare) and self.faults is not None:
            remember_refusal(self.faults, error, job.allocation)
            self._changed()

    def _entries(self) -> Sequence[Entry] | None:
        """What is journalled; None while it is not known who holds devices."""
        if self._engine is None or self._keeper is None or not self._keeper.holders_known.is_set():
            return None
        return list(self._engine.journal.entries.values())

    def _report_status(self, claim: ClaimRef) -> None:
        entry = self._engine.entry(claim.uid) if self._engine is not None else None
        if entry is not None and self._statuses is not None:
            self._statuses.report(entry.claim, entry.prepared)

    async def _report_restored(self, keeper: Custody, engine: ClaimsEngine) -> None:
        """Once after a start: have written what claims prepared before it say, since nobody knows whether they do.

        A status is written after the answer, and an agent may end between the two. One that is there already is not
        changed by that. Of claims of an earlier boot the kubelet asks anew, if anybody wants them still.
        """
        await keeper.restored.wait()
        await asyncio.sleep(random.uniform(0, STATUS_SECONDS))  # noqa: S311 - not a secret
        for claim in engine.confirmed():
            self._report_status(claim)

    def _warn(self, message: str) -> None:
        self.log.warning("%s", message)

    def _not_served(self, why: str) -> None:
        self.log.error("%s", why)
        self.standing.served(why)

    def _is_well(self) -> bool:
        return self._health_is_fresh and self.worker.stuck is None

    def _work(self, jobs: Sequence[Job]) -> Sequence[tuple[DeviceHandle, ...] | BaseException]:
        assert self._engine is not None
        with about(driver=self.name, plugin=self._plugin):
            return self._engine.run(jobs)

    def _custody(self, engine: ClaimsEngine) -> Custody:
        return Custody(
            engine=engine,
            worker=self.worker,
            reader=self._reader,
            pods=self._pods,
            log=self.log,
            round_seconds=self._settings.discovery_seconds,
            registered_seconds=lambda: self.standing.registered_seconds,
        )

    def _make_engine(self, journal: Journal) -> ClaimsEngine:
        return ClaimsEngine(
            driver=self.name,
            journal=journal,
            cdi=CdiDirectory(self._settings.cdi_root, self.name),
            metadata=self._metadata_directory(),
            backend=self._backend,
            boot_id=read_boot_id(self._settings.root),
            known=lambda: self._known,
            containers=containers_by(self._settings.kubelet_pod_resources_socket),
            renumbered=self.renumbering.told,
            began=self.worker.began,
            warn=self._warn,
        )

    def _metadata_directory(self) -> MetadataDirectory:
        return MetadataDirectory(
            self._paths.driver_directory(self.name) / DIRECTORY,
            self.name,
            enabled=self._backend is not None and self._backend.declarations.device_metadata,
            published=lambda: self._known,
        )

    def _on_registered(self, registered: bool, reason: str) -> None:
        self.standing.heard(registered, reason)
        if registered:
            self._after_registration()
            if self.publisher is not None:
                self.publisher.verify()
