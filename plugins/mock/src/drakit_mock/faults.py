"""Faults of mock devices: what can be injected, and the file that says what is.

One file for all mock drivers of a node. It is replaced as a whole, and stays as it is when agents restart.
"""

from __future__ import annotations

import enum
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import attrs
import drakit
from attrs import evolve, field, frozen
from drakit import DeviceRef, FaultEnd, PluginContext, TaintEffect, read_document
from drakit.errors import ConfigError

from drakit_mock.locking import locked
from drakit_mock.profile import API_VERSION

STATE = "/var/lib/drakit-mock"
"""Where a mock backend keeps its state on a node, unless its options say otherwise."""
MIN_SECONDS, MAX_SECONDS = 0.001, 86_400
MAX_MESSAGE = 1024
HOOKS = ("discover", "share", "devicegroups", "prepare", "unprepare", "health")
"""What can be slow or hang."""


class FaultKind(enum.StrEnum):
    """What can be wrong with a mock device."""

    UNHEALTHY = "unhealthy"
    FAULTY = "faulty"
    VANISH = "vanish"
    SLOW = "slow"
    HANG = "hang"
    FAIL_PREPARE = "fail-prepare"
    UNFIT = "unfit"
    IN_USE = "in-use"


_TAKES = {
    FaultKind.UNHEALTHY: {"message", "taint"},
    FaultKind.FAULTY: {"name", "message", "end", "count", "threshold"},
    FaultKind.SLOW: {"hook", "seconds"},
    FaultKind.HANG: {"hook"},
    FaultKind.FAIL_PREPARE: {"message"},
    FaultKind.UNFIT: {"name", "message"},
}
_NEEDS = {
    FaultKind.FAULTY: {"name"},
    FaultKind.SLOW: {"hook", "seconds"},
    FaultKind.HANG: {"hook"},
    FaultKind.UNFIT: {"name"},
}
_DETAILS = ("message", "taint", "hook", "seconds", "name", "end", "count", "threshold")


@frozen(kw_only=True)
class Fault:
    """One fault of one device. Without a `driver` it is that of every mock driver with a device of this name.

    `message` says why (unhealthy, faulty, fail-prepare, unfit); `taint` is the effect of the taint it gets (unhealthy);
    `hook` is what takes so many `seconds` more (slow) or does not return (hang) when it comes to the device. `name`,
    `end`, `count` and `threshold` are those of the fault that health reports (faulty, see `drakit.Fault`), and `name`
    that of the fault that a lasting refusal names (unfit).
    """

    device: str
    kind: FaultKind = field(converter=FaultKind)
    driver: str | None = None
    message: str = ""
    taint: TaintEffect | None = field(default=None, converter=attrs.converters.optional(TaintEffect))
    hook: str | None = None
    seconds: float | None = None
    name: str = ""
    end: FaultEnd | None = field(default=None, converter=attrs.converters.optional(FaultEnd))
    count: int | None = None
    threshold: int | None = None

    def __attrs_post_init__(self) -> None:
        DeviceRef(self.driver or "any", "any", self.device)  # refuses what are no names
        given = {name for name in _DETAILS if getattr(self, name) not in (None, "")}
        for name in sorted(given - _TAKES.get(self.kind, set())):
            raise ConfigError(f"{self.kind} takes no {name}")
        for name in sorted(_NEEDS.get(self.kind, set()) - given):
            raise ConfigError(f"{self.kind} needs {name}")
        if self.hook is not None and self.hook not in HOOKS:
            raise ConfigError(f"hook must be one of {', '.join(HOOKS)}, not {self.hook!r}")
        if self.seconds is not None and not MIN_SECONDS <= self.seconds <= MAX_SECONDS:
            raise ConfigError(f"seconds must be from {MIN_SECONDS} to {MAX_SECONDS}, not {self.seconds:g}")
        if len(self.message) > MAX_MESSAGE or not self.message.isprintable():
            raise ConfigError(f"message must be one line of at most {MAX_MESSAGE} characters")
        if self.count is not None and self.count < 0:
            raise ConfigError(f"count must be at least 0, not {self.count}")
        if self.threshold is not None and (self.threshold < 1 or self.count is None):
            raise ConfigError("threshold must be at least 1, and goes with a count")
        if self.name:
            self.reported()

    def reported(self) -> drakit.Fault:
        """What health says of it, if it is of a kind that has a name. Raises LimitExceeded for one that is none."""
        return drakit.Fault(
            self.name,
            self.message or "a fault that was injected",
            end=self.end or FaultEnd.GONE,
            count=self.count,
            threshold=self.threshold or 1,
        )

    def concerns(self, device: str, driver: str | None) -> bool:
        """Whether it is a fault of this device, of this driver's or, with None, of any."""
        return self.device == device and (driver is None or self.driver in (None, driver))

    def replaces(self, other: Fault) -> bool:
        """Whether both say the same thing of the same device, perhaps in other words."""
        return _subject(self) == _subject(other)


def _subject(fault: Fault) -> tuple[object, ...]:
    return fault.device, fault.driver, fault.kind, fault.hook, fault.name


@frozen(kw_only=True)
class MockFaults:
    """The file's document. `resets`: how often a device was reset, by its name or `driver/name`."""

    api_version: ClassVar[str] = API_VERSION
    kind: ClassVar[str] = "MockFaults"

    faults: tuple[Fault, ...] = ()
    resets: Mapping[str, int] = field(factory=dict)

    def resets_of(self, device: str, driver: str) -> int:
        """How often a driver's device was reset."""
        return self.resets.get(device, 0) + self.resets.get(f"{driver}/{device}", 0)


def state_directory(root: Path, given: Path | None = None) -> Path:
    """Where the mock backends of a node keep their state, as this process sees it."""
    return given or PluginContext(driver="", node="", pool="", root=root).path(STATE)


def faults_file(state: Path) -> Path:
    """The file in a directory of state."""
    return state / "faults.json"


def read_state(path: Path) -> MockFaults:
    """The file; an empty one where there is none. Raises ConfigError for one that is wrong, or cannot be read."""
    try:
        path.stat()
    except FileNotFoundError:
        return MockFaults()
    except OSError:
        pass  # reading says what is wrong
    try:
        return read_document(path, MockFaults, MockFaults.api_version, MockFaults.kind)
    except ConfigError as error:
        raise ConfigError(f"{error}; mend the file that holds the injected faults, or remove it to end all") from None


def read_faults(path: Path) -> tuple[Fault, ...]:
    """What is injected. Raises ConfigError as `read_state` does."""
    return read_state(path).faults


def inject(path: Path, fault: Fault) -> None:
    """Add a fault, over one that it replaces. Raises ConfigError where the file is wrong or cannot be written."""
    _change(path, lambda state: evolve(state, faults=(*_without(state, fault.replaces), fault)))


def end_faults(path: Path, concerned: Callable[[Fault], bool] = lambda _fault: True) -> Sequence[Fault]:
    """Take faults out, all of them by default; returns these. Raises ConfigError as `inject` does."""
    ended: list[Fault] = []

    def rest(state: MockFaults) -> MockFaults:
        ended.extend(filter(concerned, state.faults))
        return evolve(state, faults=_without(state, concerned))

    if read_faults(path):
        _change(path, rest)
    return ended


def reset_device(path: Path, device: str, driver: str | None) -> None:
    """Begin another epoch of a device: what it counted, and all that health reports of it, is over.

    Without a `driver`, of every mock driver with a device of this name. Raises ConfigError as `inject` does.
    """
    key = f"{driver}/{device}" if driver else device

    def reset(state: MockFaults) -> MockFaults:
        rest = _without(state, lambda fault: fault.kind is FaultKind.FAULTY and fault.concerns(device, driver))
        return evolve(state, faults=rest, resets={**state.resets, key: state.resets.get(key, 0) + 1})

    _change(path, reset)


def _without(state: MockFaults, concerned: Callable[[Fault], bool]) -> tuple[Fault, ...]:
    return tuple(fault for fault in state.faults if not concerned(fault))


def _change(path: Path, change: Callable[[MockFaults], MockFaults]) -> None:
    """Replace the file by a changed one. Several at a time wait for one another."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent):
            before = read_state(path)
            after = change(before)
            if after != before:
                _replace(path, after)
    except OSError as error:
        raise ConfigError(f"cannot write the faults to {path}: {error.strerror or error}") from None


def _replace(path: Path, state: MockFaults) -> None:
    document = {
        "apiVersion": MockFaults.api_version,
        "kind": MockFaults.kind,
        "faults": [attrs.asdict(fault, filter=lambda _, value: value not in (None, "")) for fault in state.faults],
        "resets": dict(state.resets),
    }
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    beside = path.with_name(f".{path.name}.new")  # one name is enough: the directory is locked
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
