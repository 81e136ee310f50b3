"""Sockets that a killed agent has left: the kubelet asks them for ever, and a pod's uid never comes again to take them.

An agent that serves a driver holds a lock beside the driver's endpoint, and has written into it where the registration
socket is. A lock that can be had belongs to nobody who is alive.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from drakit.kubelet.sockets import KubeletPaths, is_alive

_SUFFIX = ".lock"
_REGISTRATION_SUFFIX = "-reg.sock"
_MOST_BYTES = 4096


def lock_path(endpoint: Path) -> Path:
    """The lock that whoever serves this endpoint holds."""
    return endpoint.with_name(f"{endpoint.name}{_SUFFIX}")


def sign(lock: int, registration_socket: Path) -> None:
    """Write into a lock that is held what goes when its holder has died."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, os.fsencode(registration_socket), 0)


def served_beside(endpoint: Path) -> bool:
    """Whether another drakit agent, alive, serves the driver of this endpoint too, as far as locks tell."""
    own = lock_path(endpoint)
    return any(_is_held(lock) for lock in endpoint.parent.glob(f"*.sock{_SUFFIX}") if lock != own)


def _is_held(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def remove_leftovers(paths: KubeletPaths) -> list[Path]:
    """Remove the sockets of every drakit agent on the node that is proven dead; returns those that were there.

    Nothing is touched whose lock is held, that accepts connections, or that is not signed for by a lock of ours.
    """
    locks = [*paths.plugins.glob(f"*.sock{_SUFFIX}"), *paths.plugins.glob(f"*/*.sock{_SUFFIX}")]
    return [path for lock in sorted(locks) for path in _remove_if_dead(lock, paths.registry)]


def _remove_if_dead(path: Path, registry: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):  # held, or removed, or not to be told: another time
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            registration = Path(os.fsdecode(os.pread(lock, _MOST_BYTES, 0)))
            sockets = (registration, path.with_name(path.name.removesuffix(_SUFFIX)))
            ours = registration.parent == registry and registration.name.endswith(_REGISTRATION_SUFFIX)
            if ours and not any(map(is_alive, sockets)):
                yield from _remove(sockets)
                path.unlink()
        finally:
            os.close(lock)


def _remove(sockets: tuple[Path, ...]) -> Iterator[Path]:
    for socket in sockets:
        with contextlib.suppress(FileNotFoundError):
            socket.unlink()
            yield socket
