"""One DRA driver on the node: its claims, its sockets, its slices. Of several, none waits for another."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from attrs import frozen

from drakit.cdi import CdiDirectory
from drakit.claims import ClaimsEngine, Job, Prepare, Repeat, Restore, RollBack, Unprepare
from drakit.context import read_boot_id
from drakit.documents import claim_allocation
from drakit.errors import ClaimError, ConfigError, DRAError, describe
from drakit.host import Instance, PluginHost
from drakit.inventory import Survey
from drakit.journal import FILE_NAME, Journal, Phase
from drakit.kube.claims import ClaimGone, ClaimReader, ClaimUnreadable
from drakit.kube.client import KubeClient
from drakit.kube.publisher import SlicePublisher
from drakit.kubelet.health import HealthBoard
from drakit.kubelet.server import KubeletServer
from drakit.kubelet.sockets import KubeletPaths, is_alive
from drakit.loading import Declarations
from drakit.model import ClaimAllocation, ClaimRef, DeviceHandle, DeviceRef, Health, PreparedDevice
from drakit.settings import Settings
from drakit.worker import Worker

FIRST_DISCOVERY_SECONDS = 10.0
"""How long a Prepare waits for the first discovery, after a start, before it is refused and tried again."""
OCCUPIED_SECONDS = 5.0
"""How often sockets that somebody else serves are looked at again."""


@frozen
class HostedBackend:
    """The backend of one driver, as the claims engine asks it."""

    host: PluginHost
    instance: Instance

    @property
    def declarations(self) -> Declarations:
        """What the plugin class says of itself."""
        return self.instance.declarations

    def prepare(self, claim: ClaimAllocation) -> Sequence[PreparedDevice]:
        """Ask the plugin to prepare."""
        return self.host.prepare(self.instance.name, claim)

    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Ask the plugin to undo it."""
        self.host.unprepare(self.instance.name, claim, prepared)


class Driver:
    """Serves one driver until cancelled. `backend` is None for one that can only unprepare what is journalled.

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
    ) -> None:
        """Opens the journal. Raises ConfigError or JournalError. `refusal`: why new claims are refused, if so."""
        self.name = name
        self.refusal = refusal
        self.log = logging.getLogger(f"drakit.drivers.{name}")
        self._node = settings.node_name
        self._drain = settings.drain_seconds
        self._after_registration = on_registered
        self._paths = KubeletPaths(
            registry=settings.kubelet_registrar_directory_path,
            plugins=settings.kubelet_plugins_directory_path,
            pod_uid=settings.pod_uid,
        )
        self._known: Collection[DeviceRef] | None = None
        self._surveyed = asyncio.Event()
        self.worker: Worker[Job, tuple[DeviceHandle, ...]] = Worker(
            name, self._work, bound_seconds=settings.hook_bound_seconds
        )
        self._engine = ClaimsEngine(
            driver=name,
            journal=Journal(_make_directory(self._paths.driver_directory(name)) / FILE_NAME),
            cdi=CdiDirectory(settings.cdi_root, name),
            backend=backend,
            boot_id=read_boot_id(settings.root),
            known=lambda: self._known,
            began=self.worker.began,
            warn=lambda message: self.log.warning("%s", message),
        )
        reports_health = backend is not None and "health" in backend.instance.hooks
        self.health = HealthBoard(alive=self._is_well) if reports_health else None
        self._health_is_fresh = True
        self._reader = ClaimReader(client)
        self._publisher = SlicePublisher(client, name, self._node) if backend is not None else None
        self.server = self._new_server()

    async def run(self) -> None:
        """Serve until cancelled, then drain: calls under way have their bound to end. May be run again after that."""
        lock = await self._take_sockets()
        try:
            await self.server.start()
            restored = self.worker.ask(Restore())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._restored(restored))
                if self._publisher is not None:
                    tasks.create_task(self._publish(self._publisher))
                await asyncio.Event().wait()  # until cancelled
        finally:
            await asyncio.shield(self.server.stop(self._drain))
            os.close(lock)
            self.server = self._new_server()

    def publish(self, survey: Survey) -> None:
        """Take the driver's part of a round: what it may prepare, and what its slices are to be."""
        if self.name not in survey.pools:
            return
        pools = survey.pools[self.name]
        self._known = frozenset(survey.inventory.of(self.name).devices)
        self._surveyed.set()
        if self._publisher is not None:
            try:
                self._publisher.desired(pools)
            except DRAError as error:
                self.log.error("%s: what is published stays as it is: %s", self.name, describe(error))

    def report(self, health: Sequence[Health]) -> None:
        """Take the backend's health report to the stream."""
        if self.health is not None:
            self._health_is_fresh = True
            self.health.update(health)

    def no_report(self) -> None:
        """The backend did not say: the stream falls silent, and the kubelet lets the health age to unknown."""
        self._health_is_fresh = False

    async def prepare(self, claim: ClaimRef) -> Sequence[DeviceHandle]:
        """Prepare one claim for the kubelet. A repeat queues behind the work it repeats, and gets the same answer."""
        if self.refusal and self._engine.entry(claim.uid) is None:
            raise ClaimError(self.refusal)
        return await self.worker.ask(await self._prepare_job(claim))

    async def unprepare(self, claim: ClaimRef) -> None:
        """Undo a preparation for the kubelet; the claim itself is not looked at, it may be gone."""
        await self.worker.ask(Unprepare(claim))

    async def roll_back_interrupted(self) -> None:
        """Undo preparations that were interrupted and whose claims are gone, or are other claims now."""
        intents = [entry.claim for entry in self._engine.journal.entries.values() if entry.phase is Phase.INTENT]
        for claim in intents:
            try:
                await self._reader.read(claim)
            except ClaimGone:
                self.log.info("claim %s is gone; undoing its interrupted preparation", claim)
                with contextlib.suppress(DRAError):
                    await self.worker.ask(RollBack(claim))
            except ClaimUnreadable:
                return

    def holds_claims(self) -> bool:
        """Whether the journal has any claim, as far as can be told without waiting."""
        return not self._engine.journal.glance() or bool(self._engine.journal.entries)

    async def _prepare_job(self, claim: ClaimRef) -> Job:
        entry = self._engine.entry(claim.uid)
        try:
            document = await self._reader.read(claim)
        except ClaimUnreadable as error:
            if entry is None or entry.phase is not Phase.COMMITTED:
                raise
            self.log.warning("claim %s: answered from the journal: %s", claim, describe(error))
            return Repeat(claim)
        if entry is None and not self._surveyed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_DISCOVERY_SECONDS):
                    await self._surveyed.wait()
        return Prepare(claim_allocation(document, self.name))

    def _new_server(self) -> KubeletServer:
        return KubeletServer(self._paths, self.name, self, self.health, on_registered=self._on_registered, log=self.log)

    def _is_well(self) -> bool:
        return self._health_is_fresh and self.worker.stuck is None

    def _work(self, jobs: Sequence[Job]) -> Sequence[tuple[DeviceHandle, ...] | BaseException]:
        return self._engine.run(jobs)

    async def _restored(self, restored: asyncio.Future[tuple[DeviceHandle, ...]]) -> None:
        try:
            await restored
        except DRAError as error:
            self.log.error("the CDI files of prepared claims could not all be restored: %s", describe(error))

    async def _publish(self, publisher: SlicePublisher) -> None:
        # Published before the kubelet knows the driver, a device could be given to a pod that cannot start yet.
        await self.server.registered.wait()
        await publisher.run()

    def _on_registered(self, registered: bool, _reason: str) -> None:
        if registered:
            self._after_registration()
            if self._publisher is not None:
                self._publisher.verify()

    async def _take_sockets(self) -> int:
        """Wait until nobody else serves this driver here; returns the lock that says we do."""
        path = self.server.endpoint
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        told = ""
        try:
            while (occupied := self._occupied(lock)) is not None:
                if occupied != told:
                    self.log.error("%s", occupied)
                told = occupied
                await asyncio.sleep(OCCUPIED_SECONDS)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _occupied(self, lock: int) -> str | None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return f"another drakit agent serves driver {self.name} on this node; stop it, or give both a POD_UID"
        for path in (self.server.registration_socket, self.server.endpoint):
            if is_alive(path):
                return (
                    f"another driver named {self.name} serves {path}; drakit serves nothing under this name until it "
                    f"is gone: remove that driver, or give this backend another `driver`"
                )
        return None


def _make_directory(path: Path) -> Path:
    if not path.parent.is_dir():
        raise ConfigError(
            f"the kubelet's plugins directory {path.parent} does not exist; mount it at the same path as on the host, "
            f"or set kubeletPluginsDirectoryPath (KUBELET_PLUGINS_DIRECTORY_PATH)"
        )
    try:
        path.mkdir(mode=0o750, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the driver's directory {path} cannot be made: {error.strerror}") from None
    return path
