"""The faults of one mock driver, as its backend meets them: read again when the file has changed."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from attrs import evolve
from drakit.errors import ConfigError

from drakit_mock.faults import Fault, FaultKind, MockFaults, read_state
from drakit_mock.filestamp import stamp_of

GLANCE_SECONDS = 0.05
"""How often a hook that is held up looks whether it still is."""


class InjectedFaults:
    """Both threads of a backend may ask; what they read is replaced as one value."""

    def __init__(self, path: Path, driver: str, changed: Callable[[], None]) -> None:
        """Reads nothing yet. `changed` is called, on the thread that asks, when the file is found to be another one."""
        self._path = path
        self._driver = driver
        self._changed = changed
        self._stamp: object = None
        self._state = MockFaults()

    def refresh(self) -> None:
        """Read the file if it is another one now. Raises ConfigError, each time, for one that is wrong."""
        stamp = stamp_of(self._path)
        if stamp == self._stamp:
            return
        state = read_state(self._path)
        own = tuple(fault for fault in state.faults if fault.driver in (None, self._driver))
        self._state, self._stamp = evolve(state, faults=own), stamp
        self._changed()

    def find(self, device: str, kind: FaultKind) -> Fault | None:
        """The fault of a kind that a device has; the first if there are several."""
        return next(self.of(device, kind), None)

    def of(self, device: str, kind: FaultKind) -> Iterator[Fault]:
        """Every fault of a kind that a device has, in the order they were injected."""
        return (fault for fault in self._state.faults if fault.device == device and fault.kind is kind)

    def epoch(self, device: str) -> str:
        """What differs after each reset of a device."""
        return str(self._state.resets_of(device, self._driver))

    def hold_up(self, hook: str, devices: Iterable[str]) -> None:
        """Take as long as the faults of these devices make the hook take: for as long as they say so."""
        self.refresh_quietly()
        if not self._state.faults:
            return
        names, begun = frozenset(devices), time.monotonic()
        while time.monotonic() - begun < self._seconds(hook, names):
            time.sleep(GLANCE_SECONDS)
            self.refresh_quietly()

    def refresh_quietly(self) -> None:
        """Read the file if it can be read; discovery and health say that it cannot."""
        with contextlib.suppress(ConfigError):
            self.refresh()

    def _seconds(self, hook: str, devices: frozenset[str]) -> float:
        concerned = [fault for fault in self._state.faults if fault.hook == hook and fault.device in devices]
        return max((math.inf if fault.seconds is None else fault.seconds for fault in concerned), default=0.0)
