"""The file in which the faults of a driver's devices are remembered.

It holds what must outlive the report: faults that stay until they are steadily gone or cleared, and the baselines of
counts. It is replaced as a whole by whoever holds its lock: an agent, the other one of a rolling update, or the command
line. Nothing in it outlives the boot, so it is not synced.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from drakit.decoding import structure_lenient, unstructure
from drakit.errors import DRAError, describe
from drakit.model import DeviceRef, FaultEnd
from drakit.model.converters import frozen_mapping, frozen_tuple

FILE_NAME = "faults.json"
SCHEMA = 1
"""Grows when what stands in the file comes to mean something else."""

Signature = tuple[int, int, int]
"""What tells one state of the file from another without reading it."""


class FaultsUnreadable(DRAError):
    """The file is there, and what it says cannot be told."""


class FaultsLocked(DRAError):
    """Somebody else is at work on the file."""


@frozen(kw_only=True)
class RememberedFault:
    """One fault of a device, from when it began to when it ends."""

    message: str = ""
    end: FaultEnd = field(default=FaultEnd.CLEARED, converter=FaultEnd)
    since: str = ""
    """When it began, RFC 3339, by the clock as it was then: for people only."""
    refused: str = ""
    """The uid of the claim that was refused for it: it is to be placed anew."""
    spared: bool = False
    """Whether it stood while most devices of the driver were faulty: then it never evicts."""


@frozen(kw_only=True)
class Memory:
    """What is remembered of one device, by the names of its faults."""

    epoch: str = ""
    """As the backend last told it. Kept only beside what ends with it."""
    faults: Mapping[str, RememberedFault] = field(factory=dict, converter=frozen_mapping)
    baselines: Mapping[str, int | None] = field(factory=dict, converter=frozen_mapping)
    """What counts were when their faults were last cleared: 0 where there is none, None is "as reported next"."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remember."""
        return not self.faults and not self.baselines

    def cleared(self, names: frozenset[str]) -> Memory:
        """Without these faults, which begin again only by what is counted or seen from now on."""
        return evolve(
            self,
            faults={name: fault for name, fault in self.faults.items() if name not in names},
            baselines={**self.baselines, **dict.fromkeys(names)},
        )


Memories = Mapping[DeviceRef, Memory]


@frozen(kw_only=True)
class _Row:
    pool: str
    device: str
    epoch: str = ""
    faults: dict[str, RememberedFault] = field(factory=dict)
    baselines: dict[str, int | None] = field(factory=dict)


@frozen(kw_only=True)
class _Document:
    schema: int
    boot_id: str = ""
    devices: tuple[_Row, ...] = field(default=(), converter=frozen_tuple)


@frozen
class FaultFile:
    """The file of one driver, as one boot sees it: what is of another boot is not there."""

    path: Path
    driver: str
    boot_id: str

    def signature(self) -> Signature | None:
        """Which state the file is in: one look, no reading. None where there is none. Raises FaultsUnreadable."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error) from error
        return status.st_ino, status.st_mtime_ns, status.st_size

    def read(self) -> Memories:
        """What is remembered; nothing where there is no file. Raises FaultsUnreadable."""
        try:
            document = structure_lenient(_Document, json.loads(_content(self.path)))
            found = {
                DeviceRef(self.driver, row.pool, row.device): Memory(
                    epoch=row.epoch, faults=row.faults, baselines=row.baselines
                )
                for row in document.devices
            }
        except FileNotFoundError:
            return {}
        except Exception as error:  # whatever somebody has put there
            raise self._unreadable(error) from error
        return {} if self._is_of_another_boot(document.boot_id) else found

    def write(self, memories: Memories) -> None:
        """Replace the file. Only within `locked`. Raises OSError."""
        rows = [
            _Row(
                pool=ref.pool,
                device=ref.name,
                epoch=memory.epoch,
                faults=dict(memory.faults),
                baselines=dict(memory.baselines),
            )
            for ref, memory in sorted(memories.items())
        ]
        document: Any = unstructure(_Document(schema=SCHEMA, boot_id=self.boot_id, devices=tuple(rows)))
        temporary = self._temporary
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
        os.rename(temporary, self.path)

    def remove_unfinished(self) -> None:
        """Remove what a crash in the middle of a write left. Raises FaultsLocked, or OSError."""
        if os.path.lexists(self._temporary):
            with self.locked():  # who writes now holds the lock
                os.unlink(self._temporary)

    @contextlib.contextmanager
    def locked(self, patience_seconds: float = 0.0, pause: Callable[[float], None] = time.sleep) -> Iterator[None]:
        """Keep the others from writing. Raises FaultsLocked where one of them is at it for longer, or OSError."""
        descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            until = time.monotonic() + patience_seconds
            while not _lock(descriptor):
                if time.monotonic() >= until:
                    raise FaultsLocked(f"{self.path} is locked by another process; try again, or see who it is")
                pause(0.05)
            yield
        finally:
            os.close(descriptor)

    @property
    def _temporary(self) -> str:
        return f"{self.path}.tmp"

    def _is_of_another_boot(self, boot_id: str) -> bool:
        return "" not in (boot_id, self.boot_id) and boot_id != self.boot_id

    def _unreadable(self, error: Exception) -> FaultsUnreadable:
        return FaultsUnreadable(f"{self.path} cannot be read: {describe(error)}")


def merged(base: Memories, ours: Memories, theirs: Memories) -> Memories:
    """What others have made of `base`, with what we have come to know since, and they have not.

    What they cleared is cleared.
    """
    found = {
        ref: _merged(base.get(ref, _NOTHING), ours.get(ref, _NOTHING), theirs.get(ref, _NOTHING))
        for ref in (*theirs, *ours)
    }
    return {ref: memory for ref, memory in found.items() if not memory.is_empty}


_NOTHING = Memory()


def _merged(base: Memory, ours: Memory, theirs: Memory) -> Memory:
    begun = {name: fault for name, fault in ours.faults.items() if name not in base.faults}
    counted = {name: count for name, count in ours.baselines.items() if base.baselines.get(name, 0) != count}
    changed = {name for name, count in theirs.baselines.items() if base.baselines.get(name, 0) != count}
    own = {name: count for name, count in counted.items() if name not in changed}
    return evolve(
        theirs,
        epoch=theirs.epoch or ours.epoch,
        faults={**begun, **theirs.faults},
        baselines={**theirs.baselines, **own},
    )


def _content(path: Path) -> bytes:
    """The content of a plain file. Raises OSError, also for what is none: a pipe would hold us up."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a plain file")
        return file.read()


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
