"""Asking every plugin about the whole node, round after round.

Each plugin has an observer thread of its own, and each phase of a round is one call on it. A plugin that fails or is
late in a phase costs nobody else anything: the round goes on with its last good answer, if there is one, and a late
answer calls for another round.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve

from drakit import inventory
from drakit.errors import DRAError, HookFailed, PluginStuck
from drakit.host import Instance, PluginHost
from drakit.inventory import Survey
from drakit.model import AttributeValue, DescribedDevice, DeviceRef, Finding, Health, Inventory, SharePolicy, Taint
from drakit.worker import Call, Worker, calls_worker

Answers = dict[str, Any]


class Observer:
    """Asks the instances of one host. Belongs to one event loop; rounds do not overlap."""

    def __init__(
        self,
        host: PluginHost,
        node: str,
        *,
        bound_seconds: float = 40.0,
        patience_seconds: float = 2.0,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`patience_seconds`: how long a round waits for one plugin in one phase.

        `changed` is called when a late answer is there, or a plugin that was stuck can be asked again.
        """
        self._host = host
        self._node = node
        self._patience = patience_seconds
        self._changed = changed
        self._workers: dict[str, Worker[Call, Any]] = {
            name: calls_worker(name, bound_seconds=bound_seconds, returned=changed) for name in host.instances
        }
        self._late: dict[tuple[str, str], asyncio.Future[Any]] = {}
        self._good: dict[tuple[str, str], Any] = {}

    @property
    def stuck(self) -> dict[str, PluginStuck]:
        """Whose observer thread is stuck, by instance. May be read from any thread."""
        return {name: stuck for name, worker in self._workers.items() if (stuck := worker.stuck) is not None}

    async def close(self, seconds: float, busy: Container[str] = ()) -> list[DRAError]:
        """Have every plugin release what it holds, each within so many seconds; returns what went wrong.

        A plugin that is still being asked something by then, or is `busy` otherwise, is left as it is.
        """
        asked = {
            self._workers[one.name].ask(Call("close", functools.partial(self._host.close, one.name))): one.name
            for one in self._host.implementing("close")
            if one.name not in busy
        }
        done, late = await asyncio.wait(asked, timeout=seconds) if asked else (set(), set())
        problems: list[DRAError] = [PluginStuck(asked[future], "was not closed: it is still busy") for future in late]
        for future in done:
            error = future.exception()
            problems += [error] if isinstance(error, DRAError) else future.result()
        return problems

    async def survey(
        self, last: Survey | None = None, taints: Mapping[DeviceRef, Sequence[Taint]] | None = None
    ) -> Survey:
        """Run one round over all plugins. `last` is what a driver with a problem keeps."""
        failures: dict[str, DRAError] = {}
        found = await self._ask_all("discover", self._host.discover, failures)
        current = inventory.begin(self._node, {self._driver(name): pools for name, pools in found.items()})
        seen = current.inventory
        attributes = await self._ask_all("attributes", lambda name: self._attributes(name, seen), failures)
        current = inventory.with_attributes(current, attributes)
        described = current.inventory
        shares = await self._ask_all("share", lambda name: self._shares(name, described), failures)
        current = inventory.with_shares(
            current, {ref: policy for own in shares.values() for ref, policy in own.items()}
        )
        groups = await self._ask_all("devicegroups", lambda name: self._host.devicegroups(name, described), failures)
        current = inventory.with_groups(current, groups)
        return evolve(inventory.finish(current, last, taints), failures=failures)

    async def health(
        self, judge: Callable[[str, Sequence[Health]], Sequence[Health]] = lambda _name, reports: reports
    ) -> tuple[dict[str, Sequence[Health]], dict[str, DRAError]]:
        """Ask every backend that reports health; reports by instance, and who failed.

        `judge` is given each report on the thread of its plugin, and an empty one for a backend that reports none.
        """

        def judged(name: str) -> Sequence[Health]:
            reports = "health" in self._host.instances[name].hooks
            return judge(name, self._host.health(name) if reports else ())

        failures: dict[str, DRAError] = {}
        fresh: Answers = {}
        backends = [one for one in self._host.instances.values() if one.driver is not None]
        await self._ask_all("health", judged, failures, fresh, backends)
        return fresh, failures

    async def node_labels(self) -> tuple[dict[str, Mapping[str, str]], dict[str, DRAError]]:
        """Ask backends how their Node should be labelled; the labels, or the last good ones, and who failed."""
        failures: dict[str, DRAError] = {}
        labels = await self._ask_all("node_labels", self._host.node_labels, failures)
        return labels, failures

    async def check(self) -> tuple[dict[str, Sequence[Finding]], dict[str, DRAError]]:
        """Ask every plugin what an operator should know of this node; findings by instance, and who failed."""
        failures: dict[str, DRAError] = {}
        found = await self._ask_all("check", self._host.check, failures)
        return found, failures

    async def verify(
        self, devices: Sequence[DescribedDevice]
    ) -> tuple[dict[str, Sequence[Finding]], dict[str, DRAError]]:
        """Ask every plugin what there is to know of this container; findings by instance, and who failed."""
        failures: dict[str, DRAError] = {}
        found = await self._ask_all("verify", lambda name: self._host.verify(name, devices), failures)
        return found, failures

    async def _ask_all(
        self,
        hook: str,
        ask: Callable[[str], Any],
        failures: dict[str, DRAError],
        fresh: Answers | None = None,
        instances: Sequence[Instance] | None = None,
    ) -> Answers:
        """One phase: the answer of each instance that implements the hook, or of those given, or its last good one."""
        instances = self._host.implementing(hook) if instances is None else instances
        asked = await asyncio.gather(
            *(self._ask(instance, hook, ask) for instance in instances), return_exceptions=True
        )
        answers: Answers = {}
        for instance, answer in zip(instances, asked, strict=True):
            if isinstance(answer, BaseException):
                failures[instance.name] = _as_error(instance, hook, answer)
            else:
                self._good[instance.name, hook] = answer
                if fresh is not None:
                    fresh[instance.name] = answer
            if (instance.name, hook) in self._good:
                answers[instance.name] = self._good[instance.name, hook]
        return answers

    async def _ask(self, instance: Instance, hook: str, ask: Callable[[str], Any]) -> Any:
        """Ask one plugin; a question still open from an earlier round is not asked again."""
        key = (instance.name, hook)
        future = self._late.pop(key, None)
        if future is None or _gave_up(future):
            future = self._workers[instance.name].ask(Call(hook, lambda: ask(instance.name)))
        done, _ = await asyncio.wait({future}, timeout=self._patience)
        if done:
            return future.result()
        self._late[key] = future
        future.add_done_callback(lambda _: self._changed())
        # Of health nothing is used again: it would be told as if it were true now.
        meanwhile = "; its last answer is used until it does" if key in self._good and hook != "health" else ""
        raise PluginStuck(instance.name, f"{hook} has not answered within {self._patience:g} s{meanwhile}", hook=hook)

    def _driver(self, name: str) -> str:
        return self._host.instances[name].driver or name

    def _attributes(self, name: str, seen: Inventory) -> Mapping[DeviceRef, Mapping[str, AttributeValue]]:
        said = ((ref, self._host.attributes(name, ref, device)) for ref, device in seen)
        return {ref: attributes for ref, attributes in said if attributes}

    def _shares(self, name: str, described: Inventory) -> Mapping[DeviceRef, SharePolicy]:
        said = ((ref, self._host.share(name, device)) for ref, device in described.of(self._driver(name)))
        return {ref: policy for ref, policy in said if policy is not None}


def taints_of(reports: Iterable[Health]) -> dict[DeviceRef, list[Taint]]:
    """The taints that health reports ask for."""
    taints: dict[DeviceRef, list[Taint]] = {}
    for report in reports:
        if report.taint is not None:
            taints.setdefault(report.device, []).append(report.taint)
    return taints


def _gave_up(future: asyncio.Future[Any]) -> bool:
    """Whether a question ended unanswered, because the plugin was stuck then: it may be asked again."""
    return future.done() and isinstance(future.exception(), PluginStuck)


def _as_error(instance: Instance, hook: str, error: BaseException) -> DRAError:
    return error if isinstance(error, DRAError) else HookFailed(instance.name, hook, error)
