"""The plugin under test, and instances of it that are asked as the agent asks them."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, evolve, field

from drakit.context import PluginContext, read_boot_id
from drakit.decoding import decode_config, unstructure
from drakit.errors import ClaimError, DRAError, PluginError
from drakit.host import HookTrace, PluginHost
from drakit.inventory import Round, begin, with_attributes
from drakit.loading import Declarations, LoadedPlugin, inspect
from drakit.model import (
    AllocatedDevice,
    ClaimAllocation,
    ClaimRef,
    DescribedDevice,
    Device,
    DeviceRef,
    Hold,
    Pool,
    PreparedDevice,
    SharePolicy,
)
from drakit.settings import decode_options
from drakit.testing.conformance.rules import NotTried

NODE = "conformance-node"
HOOK_SECONDS = 10.0
"""How long a hook may take here, where hardware is faked: well below the agent's bound, and the kubelet's 45 s."""

T = TypeVar("T")
Prepared = tuple[PreparedDevice, ...]


def _resolved(path: Path) -> Path:
    return path.resolve()


def _plain(value: Any) -> Any:
    """What stands in a YAML file, whatever mappings and sequences it was given as."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@define(eq=False, kw_only=True)
class Subject:
    """A plugin class and what it is tried with.

    `root` is a directory that looks like the root of a node with the plugin's hardware; it may be written to, unless
    it is `/`. `options` are the plugin's as in the agent's configuration, `driver` the name it serves (by default its
    own), `parameters` opaque configuration that every claim carries. A hook may take `hook_seconds`.
    """

    plugin: type
    root: Path = field(converter=_resolved)
    options: Mapping[str, Any] = field(factory=dict, converter=_plain)
    driver: str | None = None
    parameters: Sequence[Mapping[str, Any]] = field(default=(), converter=_plain)
    hook_seconds: float = HOOK_SECONDS
    hung: set[str] = field(factory=set, init=False)
    """The hooks that have not returned: they are not asked again."""

    @cached_property
    def loaded(self) -> LoadedPlugin:
        """The class, inspected as by the agent. Raises NotTried where it would not be loaded."""
        try:
            return self.inspect()
        except PluginError as error:
            raise NotTried(f"the class cannot be loaded, see declarations_are_legal: {error}") from error

    def inspect(self) -> LoadedPlugin:
        """Read what the class declares. Raises PluginContractError."""
        return inspect(self.plugin.__name__, self.plugin)

    @property
    def declarations(self) -> Declarations:
        """What the class says of itself."""
        return self.loaded.declarations

    @property
    def name(self) -> str:
        """The driver's name, or for an extension the class's."""
        return self.driver or self.declarations.driver_name or self.loaded.name

    @property
    def is_backend(self) -> bool:
        """Whether the plugin owns a driver; else it is an extension."""
        return self.declarations.driver_name is not None

    def require(self, hook: str) -> None:
        """Raise NotTried for a plugin that does not implement a hook."""
        if hook not in self.loaded.hooks:
            raise NotTried(f"the plugin does not implement {hook}")

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """One instance, closed in the end. Raises NotTried where it cannot be constructed."""
        try:
            session = self.construct()
        except DRAError as error:
            raise NotTried(f"no instance can be had, see it_can_be_constructed: {error}") from error
        try:
            yield session
        finally:
            session.close()

    def construct(self) -> Session:
        """Construct an instance. Raises ConfigError for options, PluginError for the constructor."""
        return Session(self, within(self, "the constructor", lambda: host_of(self.loaded, self.context())))

    def context(self) -> PluginContext:
        """What the agent would give an instance. Raises ConfigError for options that are wrong."""
        return PluginContext(
            driver=self.name if self.is_backend else "",
            node=NODE,
            pool=NODE,
            root=self.root,
            options=decode_options(self.declarations.options, self.options, "options"),
            boot_id=read_boot_id(self.root),
            log=logging.getLogger(f"drakit.plugins.{self.loaded.name}"),
        )

    @cached_property
    def pools(self) -> Sequence[Pool]:
        """What the plugin discovers. Raises NotTried where it does not."""
        if not self.is_backend:
            raise NotTried("the plugin is an extension: it has no driver and no devices")
        with self.session() as session:
            try:
                return session.discover()
            except PluginError as error:
                raise NotTried("discover fails, see discovery_answers") from error

    @property
    def found(self) -> dict[DeviceRef, Device]:
        """Every device by identity. Raises NotTried where there is none."""
        refs = {DeviceRef(self.name, pool.name or NODE, one.name): one for pool in self.pools for one in pool.devices}
        if not refs:
            raise NotTried("the plugin has found no devices, see hardware_is_found")
        return refs

    @cached_property
    def shares(self) -> Mapping[DeviceRef, SharePolicy]:
        """The devices that may be shared; none where `share` fails."""
        with self.session() as session:
            try:
                said = {ref: session.share(device) for ref, device in self.found.items()}
            except DRAError:
                return {}
        return {ref: policy for ref, policy in said.items() if policy is not None}

    def described(self, session: Session) -> Round:
        """The node as `devicegroups` sees it: what was discovered with the plugin's own attributes."""
        begun = begin(NODE, {self.name: self.pools} if self.is_backend else {})
        said = {ref: session.attributes(ref, device) for ref, device in begun.inventory}
        return with_attributes(begun, {self.loaded.name: said})


class Session:
    """One instance of the plugin. Each call is made on a thread of its own and is bounded; raises what the host does.

    It keeps a record of what is prepared, as the journal does, for plugins that ask what is held. A hook that does not
    return raises NotTried: how long hooks take is a rule of its own.
    """

    def __init__(self, subject: Subject, host: PluginHost) -> None:
        self._subject = subject
        self._host = host
        (self._name,) = host.instances
        self._on_record: dict[ClaimRef, Prepared] = {}

    def discover(self) -> Sequence[Pool]:
        """Ask for the hardware."""
        return self._ask("discover", self._host.discover)

    def attributes(self, ref: DeviceRef, device: Device) -> Mapping[str, Any]:
        """Ask for more attributes."""
        return self._ask("attributes", self._host.attributes, ref, device)

    def share(self, device: Device) -> SharePolicy | None:
        """Ask how a device may be shared."""
        return self._ask("share", self._host.share, device)

    def devicegroups(self, current: Round) -> Sequence[Any]:
        """Ask what belongs together."""
        return self._ask("devicegroups", self._host.devicegroups, current.inventory)

    def health(self) -> Sequence[Any]:
        """Ask for health."""
        return self._ask("health", self._host.health)

    def node_labels(self) -> Mapping[str, str]:
        """Ask how the Node should be labelled."""
        return self._ask("node_labels", self._host.node_labels)

    def check(self) -> Sequence[Any]:
        """Ask what an operator should know."""
        return self._ask("check", self._host.check)

    def verify(self, devices: Sequence[DescribedDevice]) -> Sequence[Any]:
        """Ask, as in a container that was given these devices, what there is to know of it."""
        return self._ask("verify", self._host.verify, devices)

    def prepare(self, claim: ClaimAllocation) -> Prepared:
        """Prepare, with the configuration decoded; in the order of the allocation."""
        answered = self._ask("prepare", self._host.prepare, decoded(claim, self._subject.declarations), self._held)
        self._on_record[claim.claim] = in_order(claim, answered)
        return self._on_record[claim.claim]

    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice] = ()) -> None:
        """Undo it."""
        self._ask("unprepare", self._host.unprepare, claim, prepared)
        self._on_record.pop(claim, None)

    def release(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Undo it after a rule about something else: whether that succeeds is not looked at."""
        with contextlib.suppress(DRAError, NotTried):
            self.unprepare(claim, prepared)

    def in_use(self, device: DeviceRef) -> bool | None:
        """Ask whether a device is open."""
        return self._ask("in_use", self._host.in_use, device)

    def close(self) -> list[PluginError]:
        """Have the plugin release what it holds; returns what went wrong."""
        try:
            return within(self._subject, "close", self._host.close)
        except NotTried:
            return []

    def prepare_or_skip(self, claim: ClaimAllocation) -> Prepared:
        """Prepare for a rule about something else: raises NotTried where it fails."""
        try:
            return self.prepare(claim)
        except (ClaimError, PluginError) as error:
            raise NotTried(f"prepare fails, see prepare_answers_every_device: {error}") from error

    def _held(self, device: DeviceRef) -> Sequence[Hold]:
        return [
            Hold(claim, prepared)
            for claim, devices in self._on_record.items()
            for prepared in devices
            if prepared.device == device
        ]

    def _ask(self, hook: str, call: Callable[..., T], *arguments: Any) -> T:
        return within(self._subject, hook, lambda: call(self._name, *arguments))


def host_of(loaded: LoadedPlugin, context: PluginContext, traces: Sequence[HookTrace] = ()) -> PluginHost:
    """A host with one instance. Raises PluginError."""
    host = PluginHost(traces)
    host.add(context.driver or loaded.name, loaded, context)
    return host


def within(subject: Subject, hook: str, call: Callable[[], T]) -> T:
    """Make a call on a thread of its own; raises NotTried when its time is over, and then it is left to itself."""
    if hook in subject.hung:
        raise NotTried(f"{hook} has not returned when it was asked before, see hooks_answer_in_time")
    answers: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(call())
        except BaseException as error:  # carried to the caller
            errors.append(error)

    thread = threading.Thread(target=run, name=f"{hook} under test", daemon=True)
    thread.start()
    thread.join(subject.hook_seconds)
    if thread.is_alive():
        subject.hung.add(hook)
        raise NotTried(f"{hook} has not returned within {subject.hook_seconds:g} s, see hooks_answer_in_time")
    if errors:
        raise errors[0]
    return answers[0]


def decoded(claim: ClaimAllocation, declared: Declarations) -> ClaimAllocation:
    """The claim with its configuration decoded into the plugin's classes. Raises InvalidDeviceConfig."""

    def decode(device: AllocatedDevice) -> AllocatedDevice:
        return evolve(device, config=[decode_config(opaque, declared.config_types) for opaque in device.opaque])

    return evolve(claim, devices=[decode(device) for device in claim.devices])


def in_order(claim: ClaimAllocation, prepared: Sequence[PreparedDevice]) -> Prepared:
    """A preparation in the order of the allocation: that of the answer means nothing."""
    order = {device.key: index for index, device in enumerate(claim.devices)}
    return tuple(sorted(prepared, key=lambda device: order[device.key]))


def plain_answer(prepared: Sequence[PreparedDevice]) -> list[Any]:
    """What must not change of a preparation, as plain data: its status may tell the time."""
    return [unstructure(evolve(device, status=None)) for device in prepared]
