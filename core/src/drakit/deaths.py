"""Plugins that bring the agent down: how often each has, and whether it is held out for now.

Native code crashes the whole process, and the restart would run into it again: the other drivers of the node would
never come up. So each start looks for what the last one died of. A plugin in whose hooks the agent has died three times
within an hour is held out: it is not started, until the hour is over or somebody lifts it. A kill from outside is told
from a crash by nothing but chance, so nobody is held out for longer than that: the agent then ends, to be started anew.

Time is that of the boot, for the wall clock may jump; a reboot forgives.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import field, frozen

from drakit.decoding import structure_lenient, unstructure
from drakit.errors import PluginError, describe
from drakit.model.converters import frozen_tuple
from drakit.running import Remains, RunningHooks, is_left, remains

DIRECTORY = ".drakit"
"""Below the kubelet's plugins directory. No driver's name begins with a dot."""
LIMIT = 3
WINDOW_SECONDS = 3600.0
_KEPT = 10


class PluginHeldOut(PluginError):
    """The plugin has brought the agent down too often, and is not started for now."""

    def __init__(self, plugin: str, message: str, driver: str, seconds: float) -> None:
        super().__init__(plugin, message)
        self.driver = driver
        """The driver it would serve; empty for an extension, and where that is not known."""
        self.seconds = seconds
        """For how long, from the start of the agent."""


@frozen
class Death:
    """One death of the agent, as charged to one plugin. `at` are seconds of the boot."""

    at: float
    boot_id: str
    hook: str
    others: tuple[str, ...] = field(default=(), converter=frozen_tuple)
    """Other instances that were in a hook as well, and may have been the cause."""


def since_boot() -> float:
    """Seconds since the machine was booted, with the time it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Deaths:
    """What is known of earlier deaths, and the record of what runs now. One for each agent; made at its start."""

    def __init__(
        self,
        plugins_directory: Path,
        boot_id: str,
        *,
        warn: Callable[[str], None] = lambda _message: None,
        clock: Callable[[], float] = since_boot,
    ) -> None:
        """Look for agents that died, and begin to record. What keeps that from being done is warned of, no more.

        Without the plugins directory no agent can run, which is told elsewhere.
        """
        self._directory = plugins_directory / DIRECTORY
        self._boot_id = boot_id
        self._warn = warn
        self._clock = clock
        self._known: dict[str, list[Death]] = {}
        self._path: Path | None = None
        self.running = RunningHooks()
        if not plugins_directory.is_dir():
            return
        try:
            self._directory.mkdir(mode=0o750, exist_ok=True)
            with self._locked():
                self._take_up()
                self._begin()
        except OSError as error:
            warn(f"what the agent might die of is not recorded: {self._directory}: {describe(error)}")

    def held_out(self, name: str, plugin: str = "", driver: str = "") -> PluginHeldOut | None:
        """Why an instance, or what is to be imported, must not be started now; None if it may."""
        recent = self._recent(name)
        if len(recent) < LIMIT:
            return None
        left = recent[-LIMIT].at + WINDOW_SECONDS - self._clock()
        until = datetime.now(UTC) + timedelta(seconds=left)
        hooks = ", ".join(dict.fromkeys(death.hook for death in recent))
        return PluginHeldOut(
            plugin or name,
            f"is held out: the agent died {len(recent)} times within an hour while {name} was in {hooks}; the "
            f"agent ends at {until:%H:%M} UTC to be started with it; to have that at once, remove "
            f"{self._history(name)} and restart the agent",
            driver,
            left,
        )

    def end(self) -> None:
        """The agent stops on purpose: nothing is left for a later one to find. May be called again."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._path = None
        self.running.close()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other agents of this node from starting at the same moment."""
        descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _take_up(self) -> None:
        for path in self._directory.glob("deaths-*.json"):
            self._read(path)
        for path in sorted(self._directory.glob("running-*")):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if is_left(descriptor):
                    self._charge(remains(path))
                    path.unlink()
            finally:
                os.close(descriptor)

    def _begin(self) -> None:
        path = self._directory / f"running-{secrets.token_hex(4)}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self.running = RunningHooks(descriptor, self._boot_id, self._suspects())
        except BaseException:
            os.close(descriptor)
            path.unlink()
            raise
        self._path = path

    def _charge(self, left: Remains) -> None:
        """Charge one death. That of a machine took the agent with it, and is charged to nobody."""
        if left.boot_id != self._boot_id:
            return
        if left.report and not left.running:
            self._warn(f"an agent died on this node outside of any plugin; {left.report}")
        names = sorted({one.name for one in left.blamed})
        for one in left.blamed:
            others = [name for name in names if name != one.name]
            also = f" (as was {', '.join(others)})" if others else ""
            where = f"; {left.report}" if left.report else ""
            self._warn(f"an agent died on this node while {one.name} was in {one.hook}{also}{where}")
            self._known.setdefault(one.name, []).append(Death(self._clock(), self._boot_id, one.hook, others))
            self._write(one.name)

    def _recent(self, name: str) -> Sequence[Death]:
        """The deaths of the last hour of this boot. One of the future is of no time that can be told."""
        now = self._clock()
        return [
            death
            for death in self._known.get(name, ())
            if death.boot_id == self._boot_id and 0 <= now - death.at < WINDOW_SECONDS
        ]

    def _suspects(self) -> set[str]:
        """Those that were in a hook together when an agent died, and of which one is to be found out."""
        return {name for name in self._known if any(death.others for death in self._recent(name))}

    def _history(self, name: str) -> Path:
        return self._directory / f"deaths-{quote(name, safe='')}.json"

    def _read(self, path: Path) -> None:
        """Take up what is known of one instance. A file that cannot be read holds nobody out."""
        try:
            document: Mapping[str, Any] = json.loads(path.read_bytes())
            self._known[document["name"]] = structure_lenient(list[Death], document["deaths"])
        except Exception as error:  # whatever somebody has put there
            self._warn(f"{path} cannot be read, and is passed over: {describe(error)}")

    def _write(self, name: str) -> None:
        path = self._history(name)
        temporary = path.with_suffix(".tmp")
        document = {"name": name, "deaths": unstructure(self._known[name][-_KEPT:])}
        temporary.write_text(json.dumps(document))
        temporary.rename(path)
