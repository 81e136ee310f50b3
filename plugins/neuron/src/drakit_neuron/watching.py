"""Waiting for the kernel to say that a file of sysfs has changed, so that health need not wait for its next round."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable, Collection

PAUSE_SECONDS = 1.0
"""The least time between two calls of `changed`: a driver may notify as often as it likes."""

_EVENTS = select.POLLPRI | select.POLLERR
_MAX_BYTES = 4096


class Watcher:
    """Calls `changed`, on a daemon thread of its own, when the kernel notifies of a file that is followed.

    A file that does not notify costs a descriptor.
    """

    def __init__(self, changed: Callable[[], None], *, pause_seconds: float = PAUSE_SECONDS) -> None:
        """Nothing is started before the first file is to be followed."""
        self._changed = changed
        self._pause = pause_seconds
        self._lock = threading.Lock()
        self._wanted: frozenset[str] = frozenset()
        self._thread: threading.Thread | None = None
        self._wake = -1
        self._closed = threading.Event()

    def follow(self, paths: Collection[str]) -> None:
        """Follow these files, and no others.

        To be called again and again: the kernel does not say when a file goes away, and one that did, which counts as a
        change, is noticed then, and opened again if there is another of its name.
        """
        with self._lock:
            self._wanted = frozenset(paths)
            if self._closed.is_set() or not (self._wanted or self._thread):
                return
            if self._thread is None:
                self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                self._thread = threading.Thread(target=self._run, name="neuron-health", daemon=True)
                self._thread.start()
            os.eventfd_write(self._wake, 1)

    def close(self, seconds: float = 1.0) -> None:
        """End the thread, and wait for it so long. Idempotent; nothing is followed any more."""
        with self._lock:
            self._closed.set()
            thread = self._thread
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)
        if thread is not None:
            thread.join(seconds)

    def _run(self) -> None:
        files: dict[str, int] = {}
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        try:
            while self._follow_wanted(files, poll):
                if self._look(files, poll):
                    self._changed()
                    self._closed.wait(self._pause)
        finally:
            with self._lock:
                self._closed.set()
                os.close(self._wake)
                self._wake = -1
            for descriptor in files.values():
                os.close(descriptor)

    def _follow_wanted(self, files: dict[str, int], poll: select.poll) -> bool:
        """Open what is newly wanted, and close what is not any more; False once this is closed."""
        with self._lock:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            wanted = self._wanted
        if self._closed.is_set():
            return False
        for path in files.keys() - wanted:
            _forget(path, files, poll)
        for path in wanted - files.keys():
            _open(path, files, poll)
        return True

    def _look(self, files: dict[str, int], poll: select.poll) -> bool:
        """Wait for something to happen; whether a file has changed. Each is read, which readies it for the next."""
        ready = {descriptor for descriptor, _ in poll.poll()}
        changed = {path: descriptor for path, descriptor in files.items() if descriptor in ready}
        for path, descriptor in changed.items():
            if not _read(descriptor):
                _forget(path, files, poll)
        return bool(changed)


def _open(path: str, files: dict[str, int], poll: select.poll) -> None:
    """Follow a file, if it can be read. The kernel notifies of what was read before."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return
    files[path] = descriptor
    poll.register(descriptor, _EVENTS)
    if not _read(descriptor):
        _forget(path, files, poll)


def _forget(path: str, files: dict[str, int], poll: select.poll) -> None:
    descriptor = files.pop(path)
    poll.unregister(descriptor)
    os.close(descriptor)


def _read(descriptor: int) -> bool:
    """Read a file from its beginning; False where that fails, as for one whose device is gone."""
    try:
        os.pread(descriptor, _MAX_BYTES, 0)
    except OSError:
        return False
    return True
