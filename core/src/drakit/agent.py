"""The node agent: wires the plugins of one configuration to the kubelet and the API server, and runs until stopped.

Each backend is a driver of its own; what befalls one of them is its own affair. The agent itself has two loops, one
that surveys the hardware and one that asks for health.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import AsyncIterator, Coroutine, Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from drakit import cdi
from drakit.assembly import Assembly, assemble
from drakit.driver import Driver, HostedBackend
from drakit.errors import ConfigError, describe
from drakit.inventory import Survey
from drakit.journal import FILE_NAME
from drakit.kube.client import NODES, ApiError, KubeClient
from drakit.kube.credentials import Credentials, find_credentials
from drakit.model import DeviceRef, Taint
from drakit.settings import Settings
from drakit.survey import Observer, taints_of

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""How long a driver that failed as a whole waits before it is started again."""
REST_SECONDS = 2.0
"""How long a stop waits for plugins that are being asked about the hardware, before they are closed."""


class Agent:
    """One agent. `run` serves until `stop` is called, or a signal arrives where `handle_signals` was asked for."""

    def __init__(self, settings: Settings, credentials: Credentials | None = None) -> None:
        """Raises ConfigError where the settings cannot be run with. Nothing is started yet."""
        self.settings = settings
        self.node = settings.require_node_name()
        cdi.check_directory(settings.cdi_root)
        self._credentials = credentials or credentials_of(settings)
        self._labels: dict[str, str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wanted = asyncio.Event()
        self._stopping = asyncio.Event()
        self.assembly: Assembly = assemble(settings, node_labels=MappingProxyType(self._labels), changed=self.changed)
        self.drivers: dict[str, Driver] = {}
        self.survey = Survey()
        self.surveyed = asyncio.Event()
        """Set when the first round over the hardware is done."""
        self._taints: dict[DeviceRef, list[Taint]] = {}
        self._told: set[str] = set()

    def changed(self) -> None:
        """Hardware or health may differ now: look soon. May be called from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody looks any more
                self._loop.call_soon_threadsafe(self._wanted.set)

    def stop(self) -> None:
        """Ask `run` to drain and return. Called on the event loop."""
        self._stopping.set()

    async def run(self, *, handle_signals: bool = False) -> None:
        """Serve. Raises ConfigError if no driver can be served at all."""
        self._loop = asyncio.get_running_loop()
        if handle_signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self.stop)
        client = KubeClient(self._credentials)
        try:
            await self._serve(client)
        finally:
            await client.close()
        for failure in self.assembly.host.close():
            log.warning("%s", failure)

    async def _serve(self, client: KubeClient) -> None:
        self._make_drivers(client)
        observer = Observer(
            self.assembly.host, self.node, bound_seconds=self.settings.hook_bound_seconds, changed=self.changed
        )
        tasks = [self._keep_running(driver) for driver in self.drivers.values()]
        tasks += [self._survey_loop(observer), self._health_loop(observer), self._read_labels(client)]
        async with _background(tasks):
            await self._stopping.wait()
            log.info("stopping; calls under way have %g s to end", self.settings.drain_seconds)
        await observer.rest(REST_SECONDS)

    def _make_drivers(self, client: KubeClient) -> None:
        """One driver for each backend, and one for each name under which claims are still journalled."""
        host = self.assembly.host
        for instance in host.instances.values():
            if instance.driver is not None:
                backend = HostedBackend(host, instance)
                self.drivers[instance.name] = Driver(
                    instance.name, self.settings, client, backend, on_registered=self.changed
                )
        for name, failure in self.assembly.failures.items():
            log.error("backend %s is not served: %s", name, failure)
        for name in sorted(self._journalled() - self.drivers.keys()):
            reason = self.assembly.failures.get(name, f"no backend for driver {name} is configured on this node")
            driver = Driver(
                name, self.settings, client, None, refusal=f"driver {name} cannot prepare claims on this node: {reason}"
            )
            if driver.holds_claims():
                log.warning("driver %s has no backend, but claims are prepared: it is served to unprepare them", name)
                self.drivers[name] = driver
        if not self.drivers:
            reasons = "; ".join(map(str, self.assembly.failures.values())) or "no backends are configured"
            raise ConfigError(f"there is no driver to serve: {reasons}")

    def _journalled(self) -> set[str]:
        """The drivers that have left a journal on this node."""
        return {path.parent.name for path in self.settings.kubelet_plugins_directory_path.glob(f"*/{FILE_NAME}")}

    async def _keep_running(self, driver: Driver) -> None:
        """Run one driver; if it fails as a whole, start it again. The others do not notice."""
        while True:
            try:
                await driver.run()
            except* Exception as group:
                for error in group.exceptions:
                    log.error(
                        "driver %s failed, and is started again: %s", driver.name, describe(error), exc_info=error
                    )
            await asyncio.sleep(RETRY_SECONDS)

    async def _survey_loop(self, observer: Observer) -> None:
        while True:
            self._wanted.clear()
            self.survey = await observer.survey(self.survey, self._taints)
            self._tell(self.survey)
            for driver in self.drivers.values():
                driver.publish(self.survey)
            if not self.surveyed.is_set():
                self.surveyed.set()
                gc.collect()
                gc.freeze()  # what is alive now stays so: later collections need not look at it
            # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.settings.discovery_seconds):
                    await self._wanted.wait()
            for driver in self.drivers.values():
                await driver.roll_back_interrupted()

    async def _health_loop(self, observer: Observer) -> None:
        await self.surveyed.wait()
        while True:
            reports, failures = await observer.health()
            for name, driver in self.drivers.items():
                if name in reports:
                    driver.report(reports[name])
                elif name in failures:
                    driver.no_report()
            taints = dict(self._taints)
            for name, report in reports.items():
                taints = {ref: given for ref, given in taints.items() if ref.driver != name} | taints_of(report)
            if taints != self._taints:
                self._taints = taints
                self._wanted.set()
            await asyncio.sleep(self.settings.health_seconds)

    async def _read_labels(self, client: KubeClient) -> None:
        """Read the node's labels once; nothing waits for them, and plugins are asked again when they are there."""
        while True:
            try:
                node = await client.get(NODES, self.node)
            except ApiError as error:
                log.warning("the labels of node %s cannot be read yet: %s", self.node, describe(error))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            labels = node["metadata"].get("labels") or {}
            if labels != self._labels:
                self._labels.update(labels)
                self._wanted.set()
            return

    def _tell(self, survey: Survey) -> None:
        """Log what is wrong when it begins and when it is over, not in every round."""
        wrong = {str(problem.error) for problem in survey.problems} | {str(e) for e in survey.failures.values()}
        for message in sorted(wrong - self._told):
            log.error("%s", message)
        for message in sorted(self._told - wrong):
            log.info("no longer so: %s", message)
        self._told = wrong


def credentials_of(settings: Settings) -> Credentials:
    """How these settings reach the API server. Raises ConfigError if they do not."""
    if settings.api_server:
        return Credentials(server=settings.api_server)
    return find_credentials(Path(settings.kubeconfig) if settings.kubeconfig else None)


@contextlib.asynccontextmanager
async def _background(coroutines: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run tasks beside the body; when it ends they are cancelled and awaited. One that fails ends the body."""
    body = asyncio.current_task()
    assert body is not None
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    failed: list[BaseException] = []

    def look(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            failed.append(error)
            body.cancel()

    for task in tasks:
        task.add_done_callback(look)
    try:
        yield
    except asyncio.CancelledError:
        if not failed:
            raise
        raise failed[0] from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
