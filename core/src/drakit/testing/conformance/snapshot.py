"""What lies below a directory, and what has changed in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

Snapshot = dict[str, tuple[object, ...]]
"""By path from the root, what tells one state of an entry from another; times are left out."""

_COMPARED_BYTES = 65536


def snapshot(root: Path) -> Snapshot:
    """Every entry below a directory. What cannot be read is compared by its size and kind."""
    found: Snapshot = {}
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = os.path.join(directory, name)
            found[os.path.relpath(path, root)] = _state(path)
    return found


def changes(before: Snapshot, after: Snapshot) -> list[str]:
    """The entries that were made, removed or changed, by path."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def _state(path: str) -> tuple[object, ...]:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return (status.st_mode, os.readlink(path))
    if not stat.S_ISREG(status.st_mode):
        return (status.st_mode, status.st_rdev)
    try:
        with open(path, "rb") as file:
            return (status.st_mode, status.st_size, file.read(_COMPARED_BYTES))
    except OSError:
        return (status.st_mode, status.st_size)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a faked tree: symlinks as they are, device nodes as such where that is permitted, else as empty files."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in os.scandir(source):
        place = target / entry.name
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            place.symlink_to(os.readlink(entry.path))
        elif stat.S_ISDIR(mode):
            copy_tree(Path(entry.path), place)
        elif stat.S_ISREG(mode):
            place.write_bytes(Path(entry.path).read_bytes())
            place.chmod(stat.S_IMODE(mode) | stat.S_IWUSR)
        else:
            _copy_special(Path(entry.path), place, mode)


def _copy_special(source: Path, target: Path, mode: int) -> None:
    try:
        os.mknod(target, mode, os.lstat(source).st_rdev)
    except OSError:  # not permitted, or a socket
        target.touch()
