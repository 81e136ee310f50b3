"""PluginHost: the one place where hooks are called.

Plugins are asked one at a time, so that every answer and every failure has a name. What comes back is checked against
the hook's contract before anyone uses it. Calls block and are not bounded in time here: the shell that runs them on
threads of its own does that.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pluggy
from attrs import evolve, frozen

from drakit import hookspecs
from drakit.context import PluginContext
from drakit.errors import (
    ClaimError,
    DeviceUnfit,
    HookFailed,
    LimitExceeded,
    PluginContractError,
    PluginError,
    PluginLoadError,
    describe,
    shorten,
)
from drakit.loading import Declarations, LoadedPlugin
from drakit.model import (
    AttributeValue,
    ClaimAllocation,
    ClaimRef,
    DescribedDevice,
    Device,
    DeviceGroup,
    DeviceRef,
    Fault,
    Finding,
    Health,
    Hold,
    Inventory,
    PciFunction,
    Pool,
    PreparedDevice,
    SharePolicy,
)
from drakit.model.device import check_attribute
from drakit.model.names import check_label_value
from drakit.subject import about

T = TypeVar("T")
_Key = tuple[str, DeviceRef, str | None]


@frozen
class Instance:
    """One plugin, constructed. `name` is its driver, or for an extension the plugin's own name."""

    name: str
    plugin: str
    driver: str | None
    declarations: Declarations
    hooks: frozenset[str]


class HookTrace(Protocol):
    """Told of every call of a hook, on the thread that makes it: it must be quick, and must not raise."""

    def began(self, instance: Instance, hook: str) -> None:
        """A hook is about to be called."""
        ...

    def ended(self, instance: Instance, hook: str, seconds: float, error: BaseException | None) -> None:
        """It has returned, or raised."""
        ...


class PluginHost:
    """Plugin instances and typed calls to their hooks. Calls may come from several threads, `add` from one."""

    def __init__(self, traces: Sequence[HookTrace] = ()) -> None:
        self._traces = tuple(traces)
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._callers: dict[tuple[str, str], pluggy.HookCaller] = {}
        self.instances: dict[str, Instance] = {}

    def add(self, name: str, loaded: LoadedPlugin, context: PluginContext) -> Instance:
        """Construct a plugin. Raises PluginLoadError or PluginContractError, and then nothing was added."""
        if name in self.instances:
            raise PluginLoadError(name, "is enabled twice under one driver name; give each its own `driver`")
        try:
            plugin = loaded.factory(context)
        except BaseException as error:  # a constructor may call sys.exit
            if isinstance(error, KeyboardInterrupt):
                raise
            raise PluginLoadError(name, f"cannot be constructed: {describe(error)}") from error
        try:
            self._manager.register(plugin, name)
        except Exception as error:  # pluggy refuses signatures, and one object under two names
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            raise PluginContractError(name, "hooks", describe(error)) from error
        self._callers.clear()
        driver = context.driver or None
        # What prepare changes may hang on the plugin's options: an instance may know better than its class.
        side_effects = bool(getattr(plugin, "side_effects", loaded.declarations.side_effects))
        declarations = evolve(loaded.declarations, side_effects=side_effects)
        instance = Instance(name, loaded.name, driver, declarations, frozenset(loaded.hooks))
        self.instances[name] = instance
        return instance

    def implementing(self, hook: str) -> list[Instance]:
        """The instances that implement a hook, in the order they were added."""
        return [instance for instance in self.instances.values() if hook in instance.hooks]

    def discover(self, name: str) -> Sequence[Pool]:
        """Ask a backend for its hardware."""
        pools = self._sequence(name, "discover", Pool, self._ask(name, "discover"))
        twice = [pool for pool, times in Counter(pool.name for pool in pools).items() if times > 1]
        if twice:
            raise PluginContractError(name, "discover", f"pool {twice[0]!r} is returned twice; names tell pools apart")
        return pools

    def attributes(self, name: str, ref: DeviceRef, device: Device) -> Mapping[str, AttributeValue]:
        """Ask a plugin for more attributes of one device."""
        answer = self._ask(name, "attributes", ref=ref, device=device)
        if answer is None:
            return {}
        if not isinstance(answer, Mapping):
            raise PluginContractError(name, "attributes", f"must return a mapping or None, not {shorten(answer)}")
        foreign = self.instances[name].driver != ref.driver
        try:
            attributes = dict(answer)  # a copy: the plugin's own may change later, or raise
        except Exception as error:
            raise HookFailed(name, "attributes", error) from error
        for attribute, value in attributes.items():
            if foreign and "/" not in str(attribute):
                raise PluginContractError(
                    name, "attributes", f"{attribute!r} on {ref}, a device of another driver, needs a `domain/` prefix"
                )
            with _legal(name, "attributes"):
                check_attribute(attribute, value)
        return attributes

    def share(self, name: str, device: Device) -> SharePolicy | None:
        """Ask a backend how one of its devices may be shared."""
        answer = self._ask(name, "share", device=device)
        if answer is None:
            return None
        if not isinstance(answer, SharePolicy):
            raise PluginContractError(name, "share", f"must return a SharePolicy or None, not {shorten(answer)}")
        for capacity, policy in answer.policies.items():
            if capacity not in device.capacity:
                raise PluginContractError(name, "share", f"device {device.name!r} has no capacity {capacity!r}")
            with _legal(name, "share"):
                policy.check_capacity(capacity, device.capacity[capacity])
        return answer

    def devicegroups(self, name: str, inventory: Inventory) -> Sequence[DeviceGroup]:
        """Ask a plugin which devices belong together."""
        groups = self._sequence(name, "devicegroups", DeviceGroup, self._ask(name, "devicegroups", inventory=inventory))
        for group in groups:
            unknown = sorted(str(ref) for ref in group.members if ref not in inventory.devices)
            if unknown:
                raise PluginContractError(
                    name,
                    "devicegroups",
                    f"{group.attribute}={group.value!r} names {unknown[0]}, which nobody discovered",
                )
        return groups

    def prepare(
        self, name: str, claim: ClaimAllocation, held: Callable[[DeviceRef], Sequence[Hold]] = lambda _device: ()
    ) -> Sequence[PreparedDevice]:
        """Ask a backend to prepare a claim. Raises ClaimError as the plugin raised it, else PluginError."""
        try:
            answer = self._ask(name, "prepare", claim=claim, held=held)
        except DeviceUnfit as error:
            _check_refusal(name, claim, error)
            raise
        prepared = self._sequence(name, "prepare", PreparedDevice, answer)
        wanted, answered = Counter(d.key for d in claim.devices), Counter(d.key for d in prepared)
        if wanted != answered:
            raise PluginContractError(name, "prepare", _unlike(claim, wanted - answered, answered - wanted))
        return prepared

    def unprepare(self, name: str, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Ask a backend to undo a preparation."""
        self._ask(name, "unprepare", claim=claim, prepared=prepared)

    def in_use(self, name: str, device: DeviceRef) -> bool | None:
        """Ask a backend whether anything has one of its devices open; None where it does not say."""
        answer = self._ask(name, "in_use", device=device)
        if not isinstance(answer, bool | None):
            raise PluginContractError(name, "in_use", f"must return True, False or None, not {shorten(answer)}")
        return answer

    def health(self, name: str) -> Sequence[Health]:
        """Ask a backend for the health of its devices."""
        reports = self._sequence(name, "health", Health, self._ask(name, "health"))
        for report in reports:
            if report.device.driver != self.instances[name].driver:
                raise PluginContractError(name, "health", f"reports on {report.device}, a device of another driver")
        faults = Counter((report.device, fault.name) for report in reports for fault in report.faults)
        for (device, fault), times in faults.items():
            if times > 1:
                raise PluginContractError(name, "health", f"reports fault {fault!r} of {device} {times} times")
        return reports

    def node_labels(self, name: str) -> Mapping[str, str]:
        """Ask a backend which labels its node should have."""
        answer = self._ask(name, "node_labels")
        if answer is None:
            return {}
        if not isinstance(answer, Mapping):
            raise PluginContractError(name, "node_labels", f"must return a mapping, not {shorten(answer)}")
        try:
            labels = dict(answer)  # a copy: the plugin's own may change later, or raise
        except Exception as error:
            raise HookFailed(name, "node_labels", error) from error
        for key, value in labels.items():
            if key not in self.instances[name].declarations.node_label_keys:
                raise PluginContractError(name, "node_labels", f"{key!r} is not declared in node_label_keys")
            with _legal(name, "node_labels"):
                check_label_value(str(key), value)
        return labels

    def check(self, name: str) -> Sequence[Finding]:
        """Ask a plugin what an operator should know of this node."""
        return self._sequence(name, "check", Finding, self._ask(name, "check"))

    def verify(self, name: str, devices: Sequence[DescribedDevice]) -> Sequence[Finding]:
        """Ask a plugin what there is to know of the container that this process is in."""
        return self._sequence(name, "verify", Finding, self._ask(name, "verify", devices=tuple(devices)))

    def layout(self, name: str, node_type: str, root: Path) -> Sequence[PciFunction]:
        """Ask a plugin to write its part of a faked node."""
        answer = self._ask(name, "layout", node_type=node_type, root=root)
        return self._sequence(name, "layout", PciFunction, answer)

    def close(self, *names: str) -> list[PluginError]:
        """Ask plugins, all of them or those named, to release what they hold; returns what failed. Asked once."""
        failures: list[PluginError] = []
        for name in names or self.instances:
            try:
                self._ask(name, "close")
            except PluginError as error:
                failures.append(error)
        return failures

    def _ask(self, name: str, hook: str, **arguments: Any) -> Any:
        """Call one hook of one instance. None where it does not implement it."""
        caller = self._callers.get((name, hook))
        if caller is None:
            caller = self._callers[name, hook] = self._caller(name, hook)
        instance = self.instances[name]
        try:
            with about(driver=instance.driver or "", plugin=instance.plugin, hook=hook):
                answers = self._traced(instance, hook, caller, arguments) if self._traces else caller(**arguments)
        except ClaimError:
            if hook == "prepare":
                raise
            raise PluginContractError(name, hook, "raised a ClaimError; only prepare may") from None
        except PluginError:
            raise
        except BaseException as error:  # SystemExit and the like end a plugin's answer, not the agent
            raise HookFailed(name, hook, error) from error
        return answers[0] if answers else None

    def _traced(self, instance: Instance, hook: str, caller: pluggy.HookCaller, arguments: Mapping[str, Any]) -> Any:
        for trace in self._traces:
            trace.began(instance, hook)
        begin, failure = time.monotonic(), None
        try:
            return caller(**arguments)
        except BaseException as error:
            failure = error
            raise
        finally:
            seconds = time.monotonic() - begin
            for trace in self._traces:
                trace.ended(instance, hook, seconds, failure)

    def _caller(self, name: str, hook: str) -> pluggy.HookCaller:
        if name not in self.instances:
            raise PluginLoadError(name, "is not loaded")
        others = [plugin for other, plugin in self._manager.list_name_plugin() if other != name and plugin is not None]
        return self._manager.subset_hook_caller(hook, others)

    def _sequence(self, name: str, hook: str, kind: type[T], answer: Any) -> Sequence[T]:
        """Insist on a sequence of one kind. Not an iterator: what it raises later would be nobody's failure."""
        if answer is None:
            return ()
        if not isinstance(answer, Sequence) or isinstance(answer, str | bytes):
            raise PluginContractError(name, hook, f"must return a sequence of {kind.__name__}, not {shorten(answer)}")
        for item in answer:
            if not isinstance(item, kind):
                raise PluginContractError(name, hook, f"must return {kind.__name__} only, not {shorten(item)}")
        return tuple(answer)


def _unlike(claim: ClaimAllocation, lacking: Counter[_Key], surplus: Counter[_Key]) -> str:
    """How an answer of `prepare` differs from what was allocated: what it lacks, and what stands there instead."""
    key = next(iter(lacking or surplus))
    problem = f"{'did not prepare' if lacking else 'prepared unasked'} {_in_words(key)} of claim {claim.claim}"
    instead = next((other for other in surplus if other[1] == key[1]), None) if lacking else None
    return f"{problem}; it answered {_in_words(instead)} instead" if instead else problem


def _in_words(key: _Key) -> str:
    request, device, share = key
    return f"{device} for request {request!r}" + (f", share {share!r}," if share is not None else "")


def _check_refusal(name: str, claim: ClaimAllocation, error: DeviceUnfit) -> None:
    """What a refusal asks to be remembered must be of the claim, and have a name that a taint may have."""
    with _legal(name, "prepare"):
        Fault(error.fault, str(error))
    unknown = sorted(set(error.devices) - {device.device.name for device in claim.devices})
    if unknown:
        raise PluginContractError(
            name, "prepare", f"refused device {unknown[0]!r}, which claim {claim.claim} does not have: {error}"
        )


@contextlib.contextmanager
def _legal(name: str, hook: str) -> Iterator[None]:
    """Charge a value the API server would refuse to the plugin that gave it."""
    try:
        yield
    except LimitExceeded as error:
        raise PluginContractError(name, hook, str(error)) from None
