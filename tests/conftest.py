"""What all tests share: how hypothesis runs, where files go, paths that are short, what tests of plugins look at."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from drakit import Device
from hypothesis import HealthCheck, settings

# A slow machine is not a failure, so there is no deadline; what is found is found again, so there is no database.
settings.register_profile(
    "drakit", deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("drakit")

MEMORY = Path("/dev/shm")
"""The file system in memory that Linux machines have. Source: shm_overview(7)."""
ROOM = 2 << 30
"""Bytes that have to be free there: far more than the quick suite has at any time, which is not for it alone."""


def pytest_configure(config: pytest.Config) -> None:
    """Choose where files go, for this process and those it starts: xdist's workers, agents and commands."""
    if "TMPDIR" not in os.environ and "not cluster" in config.option.markexpr and _takes_a_node(MEMORY):
        # A faked node is hundreds of directories, which a disk may take fifty times as long for. What runs on
        # real Kubernetes stays on the disk.
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
    # Where the environment says that no bytecode is written, every agent and command compiles all of drakit anew.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _takes_a_node(place: Path) -> bool:
    """Whether a directory has room, device nodes in it are as everywhere, and programs in it run."""
    try:
        has = os.statvfs(place)
    except OSError:
        return False
    unlike = has.f_flag & (os.ST_NODEV | os.ST_NOEXEC)
    return os.access(place, os.W_OK) and not unlike and has.f_bavail * has.f_frsize >= ROOM


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory for sockets, the paths of which have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="dk-") as directory:
        yield Path(directory)


class Told(logging.Handler):
    """What was said in `log`, which is nobody else's."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.log = logging.Logger("under test")  # noqa: LOG001 - of this test alone
        self.log.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def warnings(self) -> list[str]:
        return [record.getMessage() for record in self.records if record.levelno >= logging.WARNING]


@pytest.fixture
def told() -> Told:
    """A log, and what was said in it."""
    return Told()


@pytest.fixture
def devices() -> Callable[[Any], dict[str, Device]]:
    """What a plugin with one pool discovers, by name."""

    def discover(plugin: Any) -> dict[str, Device]:
        (pool,) = plugin.discover()
        return {device.name: device for device in pool.devices}

    return discover


class Launcher:
    """Starts drakit by a fork, with modules imported: see launcher.py."""

    def __init__(self, *modules: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("launcher.py"), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], out: Path, err: Path) -> Forked:
        """Start drakit; what it says is appended to files."""
        out.touch()
        err.touch()
        program = {"arguments": arguments, "environment": environment, "out": str(out), "err": str(err)}
        return Forked(self, self.ask(do="start", program=program))

    def ask(self, **command: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(command), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


class Forked:
    """A process that a launcher has started. To be used as a Popen is."""

    def __init__(self, launcher: Launcher, pid: int) -> None:
        self._launcher = launcher
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._launcher.ask(do="look", pid=self.pid)
        return self.returncode

    def wait(self, timeout: float) -> int:
        end = os.pidfd_open(self.pid) if self.poll() is None else -1
        if end >= 0:
            poller = select.poll()
            poller.register(end, select.POLLIN)
            poller.poll(timeout * 1000)
            os.close(end)
        code = self.poll()
        assert code is not None, f"waited {timeout} s for process {self.pid} to end"
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@pytest.fixture(scope="session")
def new_launcher() -> Iterator[Callable[..., Launcher]]:
    """Make a launcher: `(*modules)`."""
    with contextlib.ExitStack() as closing:

        def make(*modules: str) -> Launcher:
            launcher = Launcher(*modules)
            closing.callback(launcher.close)
            return launcher

        yield make
