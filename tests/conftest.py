"""What all tests share: how hypothesis runs, where files go, paths that are short, what tests of plugins look at."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
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
"""Bytes that the quick suite may need there; it needs a quarter."""


def pytest_configure(config: pytest.Config) -> None:
    """Choose where files go, for this process and those it starts: xdist's workers, agents and commands."""
    if "TMPDIR" not in os.environ and "not cluster" in config.option.markexpr and _takes_a_node(MEMORY):
        # A faked node is hundreds of directories, which a disk may take a hundred times as long for. What runs on
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
