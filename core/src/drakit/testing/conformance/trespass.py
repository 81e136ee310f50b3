"""What code of this process does to files outside of one directory, seen by Python's audit events."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_READS = ("os.listdir", "os.scandir", "os.chdir", "sqlite3.connect")
_CHANGES = (
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.setxattr",
    "os.symlink",
    "os.truncate",
    "os.utime",
)
_PROGRAMS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system")
_TWO_PATHS = ("os.link", "os.rename")
_ALWAYS = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/proc/self")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Trespasses:
    """Installs an audit hook, for the life of the process; what it sees counts while `recorded` is entered.

    Allowed are the root, what the interpreter itself reads (its library, installed packages, the plugin's own package)
    and, for reading, every path that is named in the plugin's options.
    """

    def __init__(self, root: Path, module: Path, options: Mapping[str, Any]) -> None:
        self.found: list[str] = []
        self._root = os.path.realpath(root)
        paths = {*sys.path, *sysconfig.get_paths().values(), str(module.parent), *_named(options)}
        self._readable = [os.path.realpath(path) for path in paths if path and os.path.realpath(path) != "/"]
        self._recording = False
        sys.addaudithook(self._see)

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        """Count what is seen meanwhile."""
        self._recording = True
        try:
            yield
        finally:
            self._recording = False

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._recording:
            return
        if event == "open":
            path, _, flags = arguments
            writing = isinstance(flags, int) and bool(flags & _WRITING)
            self._touch("writes to" if writing else "opens", path, writing)
        elif event in _READS:
            self._touch("lists" if event in ("os.listdir", "os.scandir") else "uses", arguments[0], writing=False)
        elif event in _CHANGES:
            for path in arguments[: 2 if event in _TWO_PATHS else 1]:
                self._touch(f"changes ({event})", path, writing=True)
        elif event in _PROGRAMS:
            self._note(f"starts the program {arguments[0]!r}")
        elif event == "socket.connect" and isinstance(arguments[1], str | bytes):
            self._touch("connects to", arguments[1], writing=True)

    def _touch(self, verb: str, path: Any, writing: bool) -> None:
        if path is None or isinstance(path, int):  # a descriptor: it was opened before
            return
        real = os.path.realpath(os.fsdecode(path))
        if self._is_below(real, self._root) or any(self._is_below(real, place) for place in _ALWAYS):
            return
        if writing or not any(self._is_below(real, place) for place in self._readable):
            self._note(f"{verb} {real}")

    def _note(self, text: str) -> None:
        if text not in self.found:
            self.found.append(text)

    def _is_below(self, path: str, directory: str) -> bool:
        return path == directory or path.startswith(directory.rstrip("/") + "/")


def _named(options: Any) -> Iterator[str]:
    """Every absolute path in the plugin's options."""
    if isinstance(options, str) and options.startswith("/"):
        yield options
    elif isinstance(options, Mapping):
        for value in options.values():
            yield from _named(value)
    elif isinstance(options, list | tuple):
        for value in options:
            yield from _named(value)
