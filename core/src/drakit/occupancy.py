"""Who serves a driver's sockets on this node: one agent, or two of a rolling update, and never beside a stranger."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable

from attrs import frozen

from drakit.kubelet.leftovers import lock_path, sign
from drakit.kubelet.server import KubeletServer
from drakit.kubelet.sockets import KubeletPaths, is_alive
from drakit.settings import Settings

OCCUPIED_SECONDS = 2.0
"""How often sockets that somebody else serves are looked at again."""


@frozen
class Occupancy:
    """The right to serve a driver's sockets: a lock that ends with the process."""

    path: str
    descriptor: int
    own_name: bool
    """Whether no other agent will ever have this name: then the file goes with the lock."""

    def release(self) -> None:
        """Give the lock back. Once."""
        if self.own_name:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        os.close(self.descriptor)


async def take_sockets(server: KubeletServer, settings: Settings, tell: Callable[[str], None]) -> Occupancy:
    """Wait until nobody else serves this driver here; `tell` is told who does. Cancelled, it holds nothing."""
    path = os.fspath(lock_path(server.endpoint))
    told: str | None = ""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            occupied = _occupied(server, settings, lock)
            if occupied is None and _is_at(path, lock):
                sign(lock, server.registration_socket)
                return Occupancy(path, lock, bool(settings.pod_uid))
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
        if occupied is not None and occupied != told:
            tell(occupied)
        told = occupied
        await asyncio.sleep(OCCUPIED_SECONDS if occupied else 0)


def _is_at(path: str, lock: int) -> bool:
    """Whether a lock is still the one at its path: another agent removes it there with the sockets of a dead one."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path), os.fstat(lock))
    return False


def paths_of(settings: Settings, pod_uid: str) -> KubeletPaths:
    """Where an agent of this pod has its sockets; with "" as the pod, where a driver by itself has them."""
    return KubeletPaths(
        registry=settings.kubelet_registrar_directory_path,
        plugins=settings.kubelet_plugins_directory_path,
        pod_uid=pod_uid,
    )


def _occupied(server: KubeletServer, settings: Settings, lock: int) -> str | None:
    driver = server.driver
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return f"another drakit agent serves driver {driver} on this node; stop it, or give both a POD_UID"
    plain = paths_of(settings, "")  # what a driver without a pod's uid in its names would have
    sockets = (server.registration_socket, server.endpoint)
    for path in (*sockets, plain.registration_socket(driver), plain.dra_socket(driver)):
        if is_alive(path):
            return (
                f"another driver named {driver} serves {path}; drakit serves nothing under this name until it "
                f"is gone: remove that driver, or give this backend another `driver`"
            )
    return None
