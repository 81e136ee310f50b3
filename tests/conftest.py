"""What all tests share: how hypothesis runs, paths that are short, and what tests of plugins look at."""

from __future__ import annotations

import logging
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
