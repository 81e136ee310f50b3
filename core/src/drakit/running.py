"""Which hooks are running, in a file that outlives the process: what a crash was in the middle of.

The file is mapped into memory, so that noting a hook costs no system call, and what was noted is there after a segfault
or SIGKILL. It does not outlive the machine: a crash of that is nobody's fault here. One file per process, locked for as
long as the process lives; whoever ends on purpose removes it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import mmap
import os
import re
import struct
import threading
from collections.abc import Collection, Iterator
from pathlib import Path

from attrs import frozen

from drakit.host import Instance
from drakit.loading import HOOKS

_SLOT = struct.Struct("<Q24s96s")
"""The thread, the hook or nothing, and the name of the instance."""
_HOOK = slice(8, 8 + 24)
_SLOTS = 256
_HEADER = 128
_SIZE = _HEADER + _SLOTS * _SLOT.size
_IDLE = b"\0"
_MAX_REPORT = 64 * 1024
_TURN_SECONDS = 5.0
"""How long a suspect waits for another one's hook to end."""

IMPORT, CONSTRUCTOR = "import", "constructor"
"""What of a plugin runs beside its hooks."""

_PADDED = {name: name.encode().ljust(24, b"\0") for name in (*HOOKS, IMPORT, CONSTRUCTOR)}
_CRASHED = re.compile(r"^Current thread 0x([0-9a-f]+).*?(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)


@frozen
class Running:
    """A hook, or what else of a plugin runs, of one instance."""

    name: str
    hook: str
    thread: int


@frozen
class Remains:
    """What a dead process left. `crashed` is the thread that brought it down, where that is known."""

    boot_id: str
    running: tuple[Running, ...] = ()
    crashed: int | None = None
    report: str = ""
    """Where in the code the crashed thread was."""

    @property
    def blamed(self) -> tuple[Running, ...]:
        """Those that may have brought the process down: one where the thread is known, else whatever was running."""
        return tuple(one for one in self.running if one.thread == self.crashed) or self.running


class RunningHooks:
    """A trace of hooks that is written into a file. `began` and `ended` come from any thread.

    `suspects` are names of instances whose hooks run one at a time, as far as none of them takes long: so that the
    next crash is one of them's alone.
    """

    def __init__(self, descriptor: int | None = None, boot_id: str = "", suspects: Collection[str] = ()) -> None:
        """`descriptor` is of an empty file, and is taken; without one nothing is kept. Raises OSError."""
        self._descriptor = descriptor
        self._memory: bytearray | mmap.mmap = bytearray(_SIZE)
        self._offsets: dict[tuple[str, int], int] = {}
        self._allocating = threading.Lock()
        self._suspects = frozenset(suspects)
        self._turn = threading.Lock()
        self._has_turn: set[int] = set()
        self._reports = False
        if descriptor is not None:
            # Written, not made sparse: a page of a mapping that finds no room on the disk would end the process.
            os.pwrite(descriptor, boot_id.encode().ljust(_HEADER, b"\0") + bytes(_SIZE - _HEADER), 0)
            self._memory = mmap.mmap(descriptor, _SIZE)

    def began(self, instance: Instance, hook: str) -> None:
        """A hook is about to be called, on this thread."""
        self._note(instance.name, hook)

    def ended(self, instance: Instance, hook: str, seconds: float, error: BaseException | None) -> None:  # noqa: ARG002 - as a trace is told
        """It has returned, or raised."""
        self._clear(instance.name)

    @contextlib.contextmanager
    def during(self, name: str, what: str) -> Iterator[None]:
        """Note what else of a plugin runs: its import, its constructor."""
        self._note(name, what)
        try:
            yield
        finally:
            self._clear(name)

    def report_crashes(self) -> None:
        """Have a fatal signal say, in the file, which thread it hit and where. For the whole process; until `close`."""
        if self._descriptor is not None:
            os.lseek(self._descriptor, _SIZE, os.SEEK_SET)
            faulthandler.enable(self._descriptor, all_threads=True)  # of one thread, it would not say which
            self._reports = True

    def close(self) -> None:
        """Forget the file; what still runs is noted nowhere from now on. May be called again."""
        self._memory = bytearray(_SIZE)  # the mapping goes with the last thread that looks at it
        if self._reports:
            faulthandler.disable()
            self._reports = False
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _note(self, name: str, hook: str) -> None:
        thread = threading.get_ident()
        if name in self._suspects and self._turn.acquire(timeout=_TURN_SECONDS):
            self._has_turn.add(thread)
        offset = self._offsets.get((name, thread))
        if offset is None:
            offset = self._allocate(name, thread)
        self._memory[offset + _HOOK.start : offset + _HOOK.stop] = _PADDED[hook]

    def _clear(self, name: str) -> None:
        thread = threading.get_ident()
        offset = self._offsets[name, thread] + _HOOK.start
        self._memory[offset : offset + 1] = _IDLE
        if thread in self._has_turn:
            self._has_turn.discard(thread)
            self._turn.release()

    def _allocate(self, name: str, thread: int) -> int:
        """A slot for an instance on a thread. Beyond the last one all share that: threads come and go in tests only."""
        with self._allocating:
            offset = _HEADER + min(len(self._offsets), _SLOTS - 1) * _SLOT.size
            _SLOT.pack_into(self._memory, offset, thread, b"", name.encode()[:96])
            self._offsets[name, thread] = offset
        return offset


def is_left(descriptor: int) -> bool:
    """Whether the process that wrote a file is gone; the file is then locked for the caller, while it is open."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remains(path: Path) -> Remains:
    """What a dead process left in its file; nothing where that cannot be read. Raises OSError."""
    with path.open("rb") as file:
        content = file.read(_SIZE)
        report = file.read(_MAX_REPORT).decode("utf-8", "replace")
    slots = (content[start : start + _SLOT.size] for start in range(_HEADER, len(content), _SLOT.size))
    unpacked = [_SLOT.unpack(slot) for slot in slots if len(slot) == _SLOT.size]
    running = [Running(_text(name), _text(hook), thread) for thread, hook, name in unpacked if _text(hook)]
    crashed = _CRASHED.search(report)
    return Remains(
        _text(content[:_HEADER]),
        tuple(running),
        int(crashed[1], 16) if crashed else None,
        crashed[0] if crashed else "",
    )


def _text(padded: bytes) -> str:
    return padded.partition(b"\0")[0].decode("utf-8", "replace")
