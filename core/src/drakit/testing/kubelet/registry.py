"""The kubelet's plugin registry: it watches a directory for sockets and registers what answers there."""

from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path
from typing import Any, Protocol

from attrs import define

from drakit.kubelet.proto import pluginregistration_pb2
from drakit.testing.kubelet.connection import Connection
from drakit.testing.kubelet.rules import CallFailed, Registration, RuleBroken

GET_INFO_SECONDS = 1.0
NOTIFY_SECONDS = 5.0
LONGEST_BACKOFF_SECONDS = 120.0
_POLL_SECONDS = 0.02


class RegistrationRefused(Exception):
    """The kubelet does not take this registration; the message is the reason it gives the driver."""


class Registrar(Protocol):
    """Decides on registrations and keeps them. Called by the registry's thread."""

    def admit(self, info: Any, socket: Path) -> Registration:
        """Raise RuleBroken or RegistrationRefused, or return the registration to be made."""
        ...

    def add(self, registration: Registration) -> None:
        """The driver has been told that it is registered."""
        ...

    def remove(self, registration: Registration) -> None:
        """The registration socket is gone."""
        ...

    def complain(self, problem: str) -> None:
        """A registration failed."""
        ...


@define
class _Socket:
    """A socket in the directory; one that is removed and made anew is another, by its identity."""

    identity: tuple[int, int]
    backoff_seconds: float
    registration: Registration | None = None
    retry_at: float | None = 0.0
    """When to try to register, by the monotonic clock; None: not again."""


class PluginRegistry:
    """A thread that looks after one registry directory. Files that are no sockets or hidden are passed over."""

    def __init__(self, directory: Path, registrar: Registrar, *, retries: bool, retry_seconds: float) -> None:
        self._directory = directory
        self._registrar = registrar
        self._retries = retries
        self._retry_seconds = retry_seconds
        self._sockets: dict[Path, _Socket] = {}
        self._scanning = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet's plugin registry", daemon=True)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking, and remove all registrations without a word to the drivers."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()
        self.forget()

    def forget(self) -> None:
        """Remove all registrations; what is in the directory is found again."""
        with self._scanning:
            for socket in self._sockets.values():
                self._drop(socket)
            self._sockets.clear()

    def _run(self) -> None:
        while not self._closed.wait(_POLL_SECONDS):
            with self._scanning:
                self._scan()

    def _scan(self) -> None:
        present = {path: identity for path in _entries(self._directory) if (identity := _identify(path))}
        for path in [path for path, socket in self._sockets.items() if present.get(path) != socket.identity]:
            self._drop(self._sockets.pop(path))
        for path, identity in present.items():
            socket = self._sockets.setdefault(path, _Socket(identity, self._retry_seconds))
            if socket.retry_at is not None and time.monotonic() >= socket.retry_at:
                self._try(path, socket)

    def _try(self, path: Path, socket: _Socket) -> None:
        socket.retry_at = None
        try:
            with Connection(path) as connection:
                self._register(connection, socket)
        except (CallFailed, RuleBroken, RegistrationRefused) as error:
            if _identify(path) == socket.identity:  # else it was removed while it was asked
                self._registrar.complain(f"{path.name}: {error}")

    def _register(self, connection: Connection, socket: _Socket) -> None:
        try:
            info = connection.call("Registration", "GetInfo", pluginregistration_pb2.InfoRequest(), GET_INFO_SECONDS)
        except CallFailed:
            self._plan_retry(socket)
            raise
        try:
            registration = self._registrar.admit(info, connection.path)
        except (RuleBroken, RegistrationRefused) as error:
            if self._retries:
                self._plan_retry(socket)
            _notify(connection, registered=False, reason=f"RegisterPlugin error: {error}")
            raise
        self._confirm(connection, socket, registration)

    def _confirm(self, connection: Connection, socket: _Socket, registration: Registration) -> None:
        """Tell the driver. Where it answers with an error, kubelets from 1.36 on undo the registration."""
        try:
            _notify(connection, registered=True)
        except CallFailed:
            if self._retries:
                self._plan_retry(socket)
                raise
        socket.registration = registration
        self._registrar.add(registration)

    def _plan_retry(self, socket: _Socket) -> None:
        socket.retry_at = time.monotonic() + socket.backoff_seconds
        socket.backoff_seconds = min(2 * socket.backoff_seconds, LONGEST_BACKOFF_SECONDS)

    def _drop(self, socket: _Socket) -> None:
        if socket.registration is not None:
            self._registrar.remove(socket.registration)


def _notify(connection: Connection, *, registered: bool, reason: str = "") -> None:
    """A driver is right to answer a refusal with an error."""
    status = pluginregistration_pb2.RegistrationStatus(plugin_registered=registered, error=reason)
    try:
        connection.call("Registration", "NotifyRegistrationStatus", status, NOTIFY_SECONDS)
    except CallFailed:
        if registered:
            raise


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory / name for name in os.listdir(directory) if not name.startswith("."))
    except FileNotFoundError:
        return []


def _identify(path: Path) -> tuple[int, int] | None:
    """What tells one socket from the next of its name; None if there is none."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return (status.st_ino, status.st_mtime_ns) if stat.S_ISSOCK(status.st_mode) else None
