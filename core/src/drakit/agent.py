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
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from drakit import cdi
from drakit.assembly import Assembly, assemble
from drakit.backend import HostedBackend
from drakit.context import read_boot_id
from drakit.custody import holds_claims
from drakit.deaths import Deaths, PluginHeldOut
from drakit.driver import Driver
from drakit.errors import ConfigError, DRAError, PluginStuck, describe
from drakit.inventory import Survey
from drakit.journal import FILE_NAME
from drakit.kube.client import KubeClient
from drakit.kube.credentials import Credentials, find_credentials
from drakit.kube.events import EventRecorder
from drakit.model import DeviceRef, Taint
from drakit.node import OwnNode
from drakit.notices import LOOK_SECONDS, NoticeBoard, notices_of
from drakit.settings import Settings, check_directories
from drakit.survey import Observer, taints_of
from drakit.vitals import HookTally, Ports, Rounds, Vitals

log = logging.getLogger(__name__)

RESTART_SECONDS = 2.0
"""How long a driver that failed as a whole waits before it is started again."""
RETRY_SECONDS = 5.0
"""How long whatever else failed waits before it is tried again."""
CLOSE_SECONDS = 2.0
"""How long a stop waits for plugins to release what they hold."""
ROUND_SECONDS = 0.5
"""The least pause between two rounds over the hardware, however often a plugin says that something has changed."""
ANSWER_SECONDS = 2.0
"""How long whoever asks how the agent is waits, after its start, for drivers that are not registered."""


class Agent:
    """One agent. `run` serves until `stop` is called, or a signal arrives where `handle_signals` was asked for."""

    def __init__(self, settings: Settings, credentials: Credentials | None = None) -> None:
        """Raises ConfigError where the settings cannot be run with. Nothing is started yet."""
        self.settings = settings
        self.node = settings.require_node_name()
        self._credentials = credentials or credentials_of(settings)
        self._labels: dict[str, str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wanted = asyncio.Event()
        self._health_wanted = asyncio.Event()
        self._stopping = asyncio.Event()
        self.drivers: dict[str, Driver] = {}
        self._hooks = HookTally()
        self._deaths = Deaths(
            settings.kubelet_plugins_directory_path, read_boot_id(settings.root), warn=partial(log.error, "%s")
        )
        self.assembly: Assembly = assemble(
            settings,
            node_labels=MappingProxyType(self._labels),
            changed=self.changed,
            renumbered=self._renumbered,
            traces=[self._hooks] if settings.metrics_port > 0 else [],
            deaths=self._deaths,
        )
        cdi.check_directory(settings.cdi_root)
        check_directories(settings)
        self.survey = Survey()
        self.surveyed = asyncio.Event()
        """Set when the first round over the hardware is done."""
        self._asked_taints: dict[str, dict[DeviceRef, list[Taint]]] = {}
        self._taints: dict[DeviceRef, list[Taint]] = {}
        self._told: dict[str, dict[str, tuple[str, DRAError]]] = {}
        self._own_node: OwnNode | None = None
        self._all_registered = asyncio.Event()
        self._rounds = Rounds()

    def changed(self) -> None:
        """Hardware or health may differ now: look soon. May be called from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody looks any more
                self._loop.call_soon_threadsafe(self._look_again)

    def _look_again(self) -> None:
        self._wanted.set()
        self._health_wanted.set()

    def _renumbered(self, driver: str) -> None:
        """Device numbers may differ now. From any thread; before a driver is made, its start looks anyway."""
        if (known := self.drivers.get(driver)) is not None:
            known.renumbering.tell()

    def stop(self) -> None:
        """Ask `run` to drain and return. Called on the event loop."""
        self._stopping.set()

    async def run(self, *, handle_signals: bool = False) -> None:
        """Serve. Raises ConfigError if no driver can be served at all."""
        self._loop = asyncio.get_running_loop()
        if handle_signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self.stop)
            self._deaths.running.report_crashes()
        ports = Ports(self.settings)
        client = KubeClient(self._credentials)
        try:
            await self._serve(client, ports)
        finally:
            ports.close()
            await client.close()
            self._deaths.end()

    async def _serve(self, client: KubeClient, ports: Ports) -> None:
        self._make_drivers(client)
        observer = Observer(
            self.assembly.host, self.node, bound_seconds=self.settings.hook_bound_seconds, changed=self.changed
        )
        own_node = self._own_node = self._make_own_node(client)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._keep_running(driver)) for driver in self.drivers.values()]
            tasks.append(
                group.create_task(_forever("the survey of the node", partial(self._survey, observer, own_node)))
            )
            tasks.append(group.create_task(_forever("asking for health", partial(self._ask_health, observer))))
            tasks.append(group.create_task(_forever("reading the Node", own_node.look)))
            tasks.append(group.create_task(self._answer(ports, client, observer)))
            tell = EventRecorder(client, self.node)
            tasks.append(group.create_task(_forever("writing events", tell.run)))
            look = partial(self._look, observer, NoticeBoard(tell.warn))
            tasks.append(group.create_task(_forever("looking for what is to be acted on", look)))
            held_out = [one.seconds for one in self.assembly.failures.values() if isinstance(one, PluginHeldOut)]
            if held_out:
                tasks.append(group.create_task(self._end_in(min(held_out))))
            await self._stopping.wait()
            self._deaths.end()  # what hangs from here on is killed, and that is no death of its own
            log.info("stopping; calls under way have %g s to end", self.settings.drain_seconds)
            for task in tasks:
                task.cancel()
        busy = {name for name, driver in self.drivers.items() if driver.worker.busy}
        for problem in await observer.close(CLOSE_SECONDS, busy):
            log.warning("%s", problem)

    def _make_drivers(self, client: KubeClient) -> None:
        """One driver for each backend, and one for each name under which claims are still journalled."""
        for instance in self.assembly.host.instances.values():
            if instance.driver is not None:
                backend = HostedBackend(self.assembly.host, instance)
                self.drivers[instance.name] = Driver(
                    instance.name,
                    self.settings,
                    client,
                    backend,
                    on_registered=self._on_registered,
                    changed=self.changed,
                )
        for name, failure in self.assembly.failures.items():
            log.error("%s is not served: %s", name, failure, extra=self._fields(name))
        for name in self._without_backend():
            log.warning("driver %s has no backend: it is served to unprepare claims", name, extra=self._fields(name))
            refusal = f"driver {name} cannot prepare claims on this node: {self._why_no_backend(name)}"
            self.drivers[name] = Driver(name, self.settings, client, None, refusal=refusal)
        if not self.drivers:
            reasons = "; ".join(map(str, self.assembly.failures.values())) or "no backends are configured"
            raise ConfigError(f"there is no driver to serve: {reasons}")

    def _make_own_node(self, client: KubeClient) -> OwnNode:
        """The Node, to be labelled by who is enabled to. What others have labelled before, they take away."""
        own_node = OwnNode(
            client,
            self.node,
            self.drivers.values(),
            often_seconds=self.settings.discovery_seconds,
            relabelled=self._relabelled,
            tell=self._tell,
        )
        for instance in self.assembly.host.instances.values():
            if instance.declarations.node_label_keys and "node_labels" not in instance.hooks:
                own_node.label(instance.name, {})
        return own_node

    def _without_backend(self) -> Iterator[str]:
        """The drivers that have left claims on this node, and have no backend any more; and those held out.

        Of the latter, the slices are still there: pods that come to this node all the same are to be told why.
        """
        held_out = {one.driver for one in self.assembly.failures.values() if isinstance(one, PluginHeldOut)}
        yield from sorted(held_out - {""})
        for path in sorted(self.settings.kubelet_plugins_directory_path.glob(f"*/{FILE_NAME}")):
            name = path.parent.name
            try:
                if name not in self.drivers and name not in held_out and holds_claims(path):
                    yield name
            except DRAError as error:
                log.error(
                    "claims of driver %s, if there are any, cannot be unprepared: %s",
                    name,
                    error,
                    extra=self._fields(name),
                )

    def _why_no_backend(self, driver: str) -> str:
        if (failure := self.assembly.failures.get(driver)) is not None:
            return str(failure)
        # A plugin that could not be imported has not said what driver it serves.
        unnamed = [str(failure) for key, failure in self.assembly.failures.items() if key == failure.plugin]
        return "; ".join(unnamed) or f"no backend for driver {driver} is configured"

    async def _end_in(self, seconds: float) -> None:
        """End once a plugin is not held out any more: whoever started the agent starts it anew, with the plugin."""
        await asyncio.sleep(seconds)
        log.warning("a plugin is held out no longer; the agent ends, to be started with it")
        self.stop()

    async def _keep_running(self, driver: Driver) -> None:
        """Run one driver; if it fails as a whole, start it again. The others do not notice.

        What fails again at once is not logged again.
        """
        told = ""
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                await driver.run()
            except* Exception as group:
                why = "; ".join(map(describe, group.exceptions))
                driver.standing.served(f"it is not served, and is tried again: {why}")
                if why != told or time.monotonic() - began > RESTART_SECONDS:
                    surprise = next((error for error in group.exceptions if not isinstance(error, DRAError)), None)
                    message = "driver %s is not served, and is tried again: %s"
                    driver.log.error(message, driver.name, why, exc_info=surprise, extra=self._fields(driver.name))
                told = why
            await asyncio.sleep(RESTART_SECONDS)

    async def _answer(self, ports: Ports, client: KubeClient, observer: Observer) -> None:
        """Begin to answer on the ports: once the drivers are registered, for what it imports would hold them up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._all_registered.wait()
        vitals = Vitals(
            assembly=self.assembly,
            drivers=self.drivers,
            observer=observer,
            client=client,
            hooks=self._hooks,
            rounds=self._rounds,
            loop=asyncio.get_running_loop(),
            is_stopping=self._stopping.is_set,
        )
        ports.serve(vitals)

    async def _survey(self, observer: Observer, own_node: OwnNode) -> None:
        """One round over the hardware, then wait for a reason for the next."""
        self._wanted.clear()
        begin = time.monotonic()
        self._taints = self._all_taints()
        self.survey = await observer.survey(self.survey, self._taints)
        if not self.surveyed.is_set():
            await self._survey_with_health(observer)
        self._rounds.add(self.survey, time.monotonic() - begin)
        problems = [(problem.driver, problem.error) for problem in self.survey.problems]
        self._tell("survey", [*problems, *self.survey.failures.items()])
        for driver in self.drivers.values():
            driver.publish(self.survey)
        if not self.surveyed.is_set():
            self.surveyed.set()
            gc.collect()
            gc.freeze()  # what is alive now stays so: later collections need not look at it
        await self._ask_labels(observer, own_node)
        await asyncio.sleep(ROUND_SECONDS)
        # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.discovery_seconds):
                await self._wanted.wait()

    async def _survey_with_health(self, observer: Observer) -> None:
        """After the first round: what is faulty is to be tainted from the first slice on, not some time after it."""
        await self._judge(observer)
        if (taints := self._all_taints()) != self._taints:
            self._taints = taints
            self.survey = await observer.survey(self.survey, taints)

    async def _look(self, observer: Observer, board: NoticeBoard) -> None:
        """Look for what a user must act on, and have Events tell it."""
        board.show(notices_of(self.drivers, self.assembly.failures, self.survey, observer.stuck))
        await asyncio.sleep(LOOK_SECONDS)

    async def _ask_health(self, observer: Observer) -> None:
        """Ask for health once the devices are known, and have changed taints published."""
        await self.surveyed.wait()
        self._health_wanted.clear()
        await self._judge(observer)
        if self._all_taints() != self._taints:
            self._wanted.set()
        pause = min(ROUND_SECONDS, self.settings.health_seconds)
        await asyncio.sleep(pause)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.health_seconds - pause):
                await self._health_wanted.wait()

    async def _judge(self, observer: Observer) -> None:
        """Ask every backend for health, and tell the drivers."""
        reports, failures = await observer.health(lambda name, said: self.drivers[name].judge(said))
        self._tell("health", failures.items())
        for name, driver in self.drivers.items():
            if name in reports:
                driver.report(reports[name])
            elif name in failures:
                driver.no_report()
        for name, report in reports.items():
            self._asked_taints[name] = taints_of(report)

    def _all_taints(self) -> dict[DeviceRef, list[Taint]]:
        """The taints that devices are to have now: those that plugins ask for, and those of faults."""
        taints = {ref: list(given) for asked in self._asked_taints.values() for ref, given in asked.items()}
        for driver in self.drivers.values():
            for ref, taint in driver.faults.taints().items() if driver.faults is not None else ():
                taints.setdefault(ref, []).append(taint)
        return taints

    async def _ask_labels(self, observer: Observer, own_node: OwnNode) -> None:
        """Ask backends how their Node should be labelled, where the operator has enabled that."""
        labels, failures = await observer.node_labels()
        self._tell("node labels", failures.items())
        for name in labels:
            own_node.label(name, labels[name])

    def _relabelled(self, labels: Mapping[str, str]) -> None:
        """Show plugins the labels of the Node, and ask them again if these are others than before."""
        if labels != self._labels:
            self._labels.clear()
            self._labels.update(labels)
            self._wanted.set()

    def _on_registered(self) -> None:
        """A kubelet has registered a driver, perhaps after a restart of the node: look at everything again."""
        if self._own_node is not None:
            self._own_node.registered()
        self._wanted.set()
        if not any(driver.standing.unregistered for driver in self.drivers.values()):
            self._all_registered.set()

    def _tell(self, topic: str, errors: Iterable[tuple[str, DRAError]]) -> None:
        """Log what is wrong, and with whom, when it begins and when it is over, not in every round."""
        # How long a plugin has been stuck is news only once.
        wrong = {f"{e.plugin} is stuck" if isinstance(e, PluginStuck) else str(e): (name, e) for name, e in errors}
        told = self._told.get(topic, {})
        for key in sorted(wrong.keys() - told.keys()):
            name, error = wrong[key]
            log.error("%s", error, extra=self._fields(name))
        for key in sorted(told.keys() - wrong.keys()):
            name, error = told[key]
            log.info("no longer so: %s", error, extra=self._fields(name))
        self._told[topic] = wrong

    def _fields(self, name: str) -> dict[str, str]:
        """What the log has beside a message about a driver or a plugin."""
        instance = self.assembly.host.instances.get(name)
        if instance is not None:
            return {"driver": instance.driver or "", "plugin": instance.plugin}
        plugins = {one.plugin for one in self.settings.backends} | {one.plugin for one in self.settings.extensions}
        return {"plugin" if name in plugins else "driver": name}


async def _forever(what: str, step: Callable[[], Awaitable[None]]) -> None:
    """Do a step again and again. One that fails is a defect somewhere, and must not end the agent."""
    while True:
        try:
            await step()
        except Exception:
            log.exception("%s failed, and is tried again", what)
            await asyncio.sleep(RETRY_SECONDS)


def credentials_of(settings: Settings) -> Credentials:
    """How these settings reach the API server. Raises ConfigError if they do not."""
    if settings.api_server:
        return Credentials(server=settings.api_server)
    return find_credentials(Path(settings.kubeconfig) if settings.kubeconfig else None)
