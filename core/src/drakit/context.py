"""What a plugin is given when it is constructed: its names, its settings and its one door to the host."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Mapping
from io import FileIO
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from attrs import field, frozen

from drakit.errors import ConfigError

_MAX_SYMLINKS = 40
_MODES = {os.O_RDONLY: "r", os.O_WRONLY: "w", os.O_RDWR: "r+"}


def _nothing() -> None:
    """Nobody listens for changes: an offline command or a test."""


@frozen(eq=False, kw_only=True)
class PluginContext:
    """Given to a plugin's constructor, once. Everything the plugin learns of its surroundings comes through it.

    `driver` is the DRA driver this instance serves ("" for an extension), `pool` the name of the node's own pool,
    `options` an instance of the plugin's declared settings class. `node_labels` is a live, read-only view: labels may
    come late, and none may be waited for. It is empty as long as nobody has read the Node, and only then, for the
    kubelet labels every Node. `boot_id` changes with every boot of the host. `root` is where this process
    sees the host's file system, `host_root` where the container runtime sees the same tree. `list_attributes` says
    whether attributes may be lists: where they may not, one that is a list is not published.
    """

    driver: str
    node: str
    pool: str
    root: Path = Path("/")
    host_root: Path = field(converter=Path)
    options: Any = None
    node_labels: Mapping[str, str] = field(factory=lambda: MappingProxyType({}))
    boot_id: str = ""
    list_attributes: bool = False
    log: logging.Logger = field(factory=lambda: logging.getLogger("drakit.plugin"))
    changed: Callable[[], None] = _nothing
    """Say, from any thread, that discovery or health may differ now; the core asks again soon."""
    renumbered: Callable[[], None] = _nothing
    """Say, from any thread, that device numbers of what is prepared may differ now, as after a reload of a module.

    The core asks `prepare` about each prepared claim again, and has its CDI files name what it answers. Said within
    `prepare`, that is done before the claim is answered.
    """

    @host_root.default
    def _same_as_root(self) -> Path:
        return self.root

    def path(self, path: str | PurePosixPath) -> Path:
        """A host path as this process can open it, every symlink resolved inside `root`.

        The path need not exist. Raises OSError (ELOOP) for a circle of symlinks.
        """
        return path_below(self.root, path)

    def host_path(self, path: str | PurePosixPath) -> str:
        """The same path as the container runtime must be told it, for device nodes and mounts."""
        return str(self.host_root / PurePosixPath(path).relative_to("/"))

    def open_device(self, path: str | PurePosixPath, flags: int = os.O_RDWR) -> FileIO:
        """Open a device file without blocking, for ioctl or kmsg: the one way a plugin opens what is not sysfs.

        Raises OSError, as for a device that is absent or not permitted.
        """
        descriptor = os.open(self.path(path), flags | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return FileIO(descriptor, _MODES[flags & os.O_ACCMODE])
        except BaseException:  # a directory opens, and is no file
            os.close(descriptor)
            raise


def path_below(root: Path, path: str | PurePosixPath) -> Path:
    """A path of the file system at `root`, every symlink resolved inside it. Raises OSError as PluginContext.path."""
    if root == Path("/"):
        return Path(os.path.realpath(path))
    return _resolve_inside(root, PurePosixPath(path))


def _resolve_inside(root: Path, path: PurePosixPath) -> Path:
    """Resolve as chroot would: absolute targets start at `root`, and `..` stops there."""
    pending = [part for part in path.parts if part != "/"][::-1]
    resolved: list[str] = []
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            del resolved[-1:]
            continue
        candidate = os.path.join(root, *resolved, part)
        try:
            target = os.readlink(candidate)
        except OSError:
            resolved.append(part)
            continue
        links += 1
        if links > _MAX_SYMLINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        if target.startswith("/"):
            resolved.clear()
        pending.extend([piece for piece in PurePosixPath(target).parts if piece != "/"][::-1])
    return Path(root, *resolved)


def read_boot_id(root: Path) -> str:
    """The kernel's id of this boot; empty where the tree has none, as a faked one may not."""
    try:
        return (root / "proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def check_root(root: Path) -> None:
    """Raise ConfigError unless `root` is a directory."""
    if not root.is_dir():
        raise ConfigError(f"root {str(root)!r} is not a directory; give the place where the host's / is mounted")
