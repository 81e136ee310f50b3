"""Books of faults as agents keep them: one file, clocks that a test sets, and any number of agents and boots."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from drakit import DeviceRef, Fault, Health
from drakit.faults import FaultBook
from drakit.faults.record import FaultFile

DRIVER, NODE, STEADY_SECONDS = "gpu.example.com", "node-1", 300.0


class Clock:
    """Seconds that only go on, and the time of day, which may be anything."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.day = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "faults.json"


@pytest.fixture
def agent(path: Path, clock: Clock) -> Callable[..., FaultBook]:
    """One more agent of the node: `(boot="boot-1", **what_a_book_takes)`."""

    def make(boot: str = "boot-1", **more: Any) -> FaultBook:
        taken = {"steady_seconds": STEADY_SECONDS, "clock": clock, "now": lambda: clock.day} | more
        book = FaultBook(FaultFile(path, DRIVER, boot), **taken)
        book.open()
        return book

    return make


@pytest.fixture
def book(agent: Callable[..., FaultBook]) -> FaultBook:
    return agent()


def _ref(name: str = "gpu-0") -> DeviceRef:
    return DeviceRef(DRIVER, NODE, name)


@pytest.fixture
def ref() -> Callable[..., DeviceRef]:
    return _ref


@pytest.fixture
def report() -> Callable[..., list[Health]]:
    """What a backend says of one device: `(*faults, device="gpu-0", epoch="", **more)`."""

    def make(*faults: Fault, device: str = "gpu-0", **more: Any) -> list[Health]:
        return [Health(_ref(device), "Healthy", faults=faults, **more)]

    return make


@pytest.fixture
def names() -> Callable[[FaultBook], list[str]]:
    """The faults that stand, as `device fault`."""

    def of(book: FaultBook) -> list[str]:
        return [f"{fault.device.name} {fault.name}" for fault in book.standing]

    return of


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[str], int]:
    """How many events of the log have these words."""
    caplog.set_level(logging.INFO)
    return lambda words: sum(words in record.getMessage() for record in caplog.records)
