"""Looking at files that others use: nothing is opened for writing, no lock is taken, nothing is waited for."""

from __future__ import annotations

import os
import socket
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drakit.errors import describe

MAX_ENTRIES = 2000
"""How many entries of one directory tree are listed."""
MAX_READ_BYTES = 64 * 2**20

_KINDS = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFSOCK: "socket"}


def read(path: Path, limit: int = MAX_READ_BYTES) -> bytes:
    """The beginning of a plain file. Raises OSError, also for what is none: a pipe would hold us up."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is not a plain file")
        return file.read(limit)


def listing(root: Path, depth: int = 1) -> list[dict[str, Any]]:
    """What is in a directory, and below it to a depth, by path. Raises OSError where not even it can be read.

    What is mounted below it is not entered: it may not answer.
    """
    entries: list[dict[str, Any]] = []
    for path in _walk(root, depth, root.lstat().st_dev):
        if len(entries) == MAX_ENTRIES:
            break
        entries.append(_described(path, root))
    return sorted(entries, key=lambda entry: entry["path"])


def _walk(directory: Path, depth: int, device: int) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        yield path
        try:
            status = path.lstat()
            if depth > 1 and stat.S_ISDIR(status.st_mode) and status.st_dev == device:
                yield from _walk(path, depth - 1, device)
        except OSError:
            continue  # gone by now, or not for us: its own entry says so


def _described(path: Path, root: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": str(path.relative_to(root))}
    try:
        status = path.lstat()
    except OSError as error:
        return entry | {"problem": describe(error)}
    return entry | {
        "kind": _KINDS.get(stat.S_IFMT(status.st_mode), "other"),
        "bytes": status.st_size,
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "owner": f"{status.st_uid}:{status.st_gid}",
        "inode": status.st_ino,
        "modified": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(status.st_mtime)),
    }


def socket_owner(path: Path) -> dict[str, Any]:
    """Who serves a unix socket, as the kernel says it to whoever connects; nothing is sent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(os.fspath(path))
            size = struct.calcsize("3i")
            pid, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        except BlockingIOError:
            return {"alive": True, "problem": "its queue of connections is full"}
        except OSError as error:
            return {"alive": False, "problem": describe(error)}
    return {"alive": True, **process(pid)}


def lock_owners(path: Path, locks: Path = Path("/proc/locks")) -> list[dict[str, Any]]:
    """The processes that hold a lock on a file, as far as this process may see them. Raises OSError."""
    inode = str(path.stat().st_ino)
    rows = [line.split() for line in locks.read_text().splitlines() if "->" not in line]
    return [process(int(row[4])) for row in rows if len(row) > 5 and row[5].rpartition(":")[2] == inode]


def process(pid: int) -> dict[str, Any]:
    """A process by its number and its name, not by its arguments: they may hold secrets."""
    try:
        return {"pid": pid, "process": Path(f"/proc/{pid}/comm").read_text().strip()}
    except OSError:
        return {"pid": pid, "process": "not visible here"}
