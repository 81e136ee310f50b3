"""Counts every step of this process that changes files of a driver, and dies or fails at the one it is told.

Imported before anything of drakit, in a process that is made to be killed: what changes the file system is wrapped in
`os`, `io`, `fcntl` and `ctypes`, wherever it is called from. A write counts twice: as a whole, and torn in the middle.
Counted is what a fault can befall: where two steps could not differ in what they leave, only one is tried.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import fcntl
import io
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

_real_open, _real_write, _real_readlink = os.open, os.write, os.readlink


NEEDS_ROOM = frozenset({"open", "open file", "write", "torn write", "mkdir", "link", "symlink"})
SYNCS = frozenset({"fsync", "fdatasync"})
"""What a killed process has written is in its files, synced or not: to die before a sync is to die after it."""


class Steps:
    """Steps below `directories`, counted as long as the file `armed` is there.

    What befalls the one numbered `victim`: with the fault "killed", it is the last. With "no room", from there on the
    disk is full. With "no sync", from there on no sync succeeds.
    """

    def __init__(self) -> None:
        self.directories: tuple[str, ...] = ()
        self.armed = ""
        self.victim = 0
        self.fault = "killed"
        self.epitaph = ""
        self.clock = ""
        self._count = 0
        self._lock = threading.Lock()

    def take(self, kind: str, path: str) -> int:
        """Called before each step; returns the errno it is to fail with, or 0. May not return at all."""
        if not self.victim or not self._befalls(kind):
            return 0
        if not path.startswith(self.directories) or not os.path.exists(self.armed):
            return 0
        with self._lock:
            self._count += 1
            reached = self._count - self.victim
        if reached == 0:
            name = path.rpartition("/")[2]
            _real_write(_real_open(self.epitaph, os.O_WRONLY | os.O_CREAT, 0o600), f"{kind} {name}".encode())
        if self.fault == "killed":
            return -1 if reached == 0 else 0
        return {"no room": errno.ENOSPC, "no sync": errno.EIO}[self.fault] if reached >= 0 else 0

    def _befalls(self, kind: str) -> bool:
        match self.fault:
            case "no room":
                return kind in NEEDS_ROOM
            case "no sync":
                return kind in SYNCS
            case _:
                return kind not in SYNCS


STEPS = Steps()


def _failure(kind: str, path: str) -> int:
    """What a step is to fail with, if this is not the end."""
    failure = STEPS.take(kind, path)
    if failure < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return failure


def _step(kind: str, path: str) -> None:
    if failure := _failure(kind, path):
        raise OSError(failure, os.strerror(failure), path)


def _write_failure(path: str, write: Callable[[Any], Any], content: Any) -> int:
    """As for two steps, the second of which is in the middle of the write."""
    if failure := _failure("write", path):
        return failure
    if failure := STEPS.take("torn write", path):
        write(bytes(content)[: len(content) // 2])
    if failure < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return failure


def _path_of(where: Any) -> str:
    if isinstance(where, int):
        try:
            return _real_readlink(f"/proc/self/fd/{where}")
        except OSError:
            return ""
    return os.path.abspath(os.fsdecode(where))


def _by_first_argument(module: Any, name: str) -> None:
    real = getattr(module, name)

    def counted(where: Any, *args: Any, **kwargs: Any) -> Any:
        _step(name, _path_of(where))
        return real(where, *args, **kwargs)

    setattr(module, name, counted)


def _open(where: Any, flags: int, *args: Any, **kwargs: Any) -> int:
    if flags & (os.O_CREAT | os.O_TRUNC):
        _step("open", _path_of(where))
    return _real_open(where, flags, *args, **kwargs)


def _write(descriptor: int, content: Any) -> int:
    path = _path_of(descriptor)
    if failure := _write_failure(path, lambda part: _real_write(descriptor, part), content):
        raise OSError(failure, os.strerror(failure), path)
    return _real_write(descriptor, content)


_real_io_open = io.open


def _io_open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
    if set(mode) & set("wax+"):
        _step("open file", _path_of(file))
    return _real_io_open(file, mode, *args, **kwargs)


_real_time_ns = time.time_ns


def _time_ns() -> int:
    """The wall clock, so many seconds off as the file `clock` says."""
    try:
        with _real_io_open(STEPS.clock) as file:
            return _real_time_ns() + int(file.read() or 0) * 1_000_000_000
    except OSError:
        return _real_time_ns()


_real_flock = fcntl.flock


def _flock(file: Any, operation: int) -> None:
    if operation & fcntl.LOCK_UN:
        _step("unlock", _path_of(file))
    _real_flock(file, operation)


class _CountedLibrary:
    """The C library as ctypes gives it, its changing calls counted."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)

    def open(self, path: bytes, flags: int, *mode: int) -> int:
        if flags & (os.O_CREAT | os.O_TRUNC) and (failure := _failure("open", _path_of(path))):
            return _failed(failure)
        return self._library.open(path, flags, *mode)

    def write(self, descriptor: int, content: bytes, length: int) -> int:
        def write(part: bytes) -> int:
            return self._library.write(descriptor, part, len(part))

        if failure := _write_failure(_path_of(descriptor), write, content):
            return _failed(failure)
        return write(content[:length])

    def rename(self, old: bytes, new: bytes) -> int:
        if failure := _failure("rename", _path_of(old)):
            return _failed(failure)
        return self._library.rename(old, new)


def _failed(number: int) -> int:
    ctypes.set_errno(number)
    return -1


def install() -> None:
    """Wrap everything. Once, before drakit is imported: it keeps some of these functions."""
    for name in ("fsync", "fdatasync", "rename", "replace", "link", "symlink", "unlink", "remove", "rmdir", "mkdir"):
        _by_first_argument(os, name)
    for name in ("ftruncate", "truncate", "chmod", "fchmod"):
        _by_first_argument(os, name)
    os.open, os.write = _open, _write
    time.time_ns = _time_ns
    time.time = lambda: _time_ns() / 1e9
    io.open = builtins.open = _io_open
    fcntl.flock = _flock
    real_library = ctypes.PyDLL
    ctypes.PyDLL = lambda *args, **kwargs: _CountedLibrary(real_library(*args, **kwargs))
