"""The sockets of one driver, as a kubelet expects them: the DRA server, and the registrar that leads to it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import grpc

from drakit.errors import ConfigError, describe
from drakit.kubelet.dra import DRA_VERSIONS, ClaimService, dra_handlers
from drakit.kubelet.health import HEALTH_VERSIONS, HealthBoard, HealthService
from drakit.kubelet.leftovers import remove_leftovers
from drakit.kubelet.registration import OnRegistered, registration_handler
from drakit.kubelet.sockets import KubeletPaths, hidden_name

LONGEST_PATIENCE = 600.0
_LEFTOVER_ROUNDS = 12
"""Every how many looks at the sockets those of dead agents are looked for too."""

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    # The kubelet keeps one connection open for good. It may ping as it likes; a unix socket needs no pings from us.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
)


def _nobody_asks(_registered: bool, _reason: str) -> None:
    """The default of `on_registered`."""


class KubeletServer:
    """Serves one driver to the kubelet, on two sockets of its own.

    `health` is None for a driver that reports none; it is then not advertised. A socket that someone removed is made
    anew within `check_seconds`; one that someone else has put in its place is left alone, also by `stop`. Sockets of
    agents that were killed are removed. A stopped server stays stopped, and every server must be stopped before its
    event loop ends.

    A driver that is refused, or not asked, for `patience_seconds` makes its registration socket anew, and again ever
    later: kubelets before 1.36 try a socket only once.
    """

    def __init__(
        self,
        paths: KubeletPaths,
        driver: str,
        claims: ClaimService,
        health: HealthBoard | None = None,
        *,
        on_registered: OnRegistered = _nobody_asks,
        log: logging.Logger | None = None,
        check_seconds: float = 5.0,
        patience_seconds: float = 30.0,
    ) -> None:
        """Raises ConfigError if no socket path fits into 107 bytes."""
        self.driver = driver
        self.registered = asyncio.Event()
        """Set by a kubelet's registration, cleared by a refusal."""
        self._log = log or logging.getLogger(__name__)
        self._paths = paths
        self._on_registered = on_registered
        self._check_seconds = check_seconds
        self._patience = self._first_patience = patience_seconds
        self._waited = 0.0
        self._closing = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._health = HealthService(health or HealthBoard())
        versions = DRA_VERSIONS if health is None else DRA_VERSIONS + HEALTH_VERSIONS
        endpoint = paths.dra_socket(driver)
        registration = registration_handler(driver, endpoint, versions, self._heard, self._log)
        self._dra = _Listener(endpoint, [*dra_handlers(driver, claims, self._log), *self._health.handlers()])
        self._registrar = _Listener(paths.registration_socket(driver), [registration])

    @property
    def endpoint(self) -> Path:
        """The socket of the DRA services."""
        return self._dra.path

    @property
    def registration_socket(self) -> Path:
        """The socket that the kubelet finds."""
        return self._registrar.path

    async def start(self) -> None:
        """Serve the DRA services, then the registrar: the kubelet calls as soon as it sees that, some only once.

        Raises ConfigError, with nothing left bound, if a directory is missing or a socket cannot be made.
        """
        _check_directory(self._paths.registry, "registry")
        _check_directory(self._paths.plugins, "plugins")
        _make_private(self._paths.driver_directory(self.driver))
        try:
            await self._dra.start()
            await self._registrar.start()
        except BaseException:
            await self.stop(0)
            raise
        self._keeper = asyncio.create_task(self._keep_sockets(), name=f"sockets of {self.driver}")

    async def stop(self, grace_seconds: float) -> None:
        """Deregister, end the health streams, let calls in flight end within the grace, and remove the sockets.

        Calls still running then are cancelled: their answers are abandoned. Idempotent.
        """
        self._closing.set()
        if self._keeper is not None:
            await asyncio.gather(self._keeper, return_exceptions=True)  # whatever it ended of, the sockets go
        try:
            await self._registrar.stop(0)
        finally:
            self._health.close()
            await self._dra.stop(grace_seconds)

    def _heard(self, registered: bool, reason: str) -> None:
        if registered:
            self.registered.set()
        else:
            self.registered.clear()
        self._on_registered(registered, reason)

    async def _keep_sockets(self) -> None:
        """Until the server stops, look for sockets that are gone: two stat calls in most rounds."""
        for number in itertools.count():
            if number % _LEFTOVER_ROUNDS == 0:
                self._remove_leftovers()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._check_seconds):
                    await self._closing.wait()
            for listener in (self._dra, self._registrar):
                if not self._closing.is_set() and listener.is_missing:
                    await self._restore(listener)
            if self._closing.is_set():
                return
            if self._is_out_of_patience():
                self._log.info("driver %s is not registered yet; asking the kubelet again", self.driver)
                await self._remake(self._registrar)

    def _remove_leftovers(self) -> None:
        """Tidy up after others. That this cannot be done just now must not keep our own sockets from being kept."""
        try:
            for path in remove_leftovers(self._paths):
                self._log.warning("removed socket %s: the agent that served it is dead", path)
        except Exception as error:
            self._log.warning(
                "driver %s: sockets of dead agents cannot be looked for: %s; trying again", self.driver, describe(error)
            )

    def _is_out_of_patience(self) -> bool:
        """Whether it is time to draw the kubelet's attention, after a round of waiting for it."""
        if self.registered.is_set():
            self._waited, self._patience = 0.0, self._first_patience
            return False
        self._waited += self._check_seconds
        if self._waited < self._patience:
            return False
        self._waited, self._patience = 0.0, min(2 * self._patience, LONGEST_PATIENCE)
        return True

    async def _restore(self, listener: _Listener) -> None:
        if await self._remake(listener):
            self._log.warning("driver %s: socket %s was removed; made it anew", self.driver, listener.path)

    async def _remake(self, listener: _Listener) -> bool:
        """Serve on a new socket; a failure is told, and repaired in the next round."""
        try:
            await listener.stop(0)
            _make_private(self._paths.driver_directory(self.driver))  # it may be the directory that is gone
            await listener.start()
        except Exception as error:
            self._log.error("driver %s: %s; trying again", self.driver, describe(error))
            return False
        return True


class _Listener:
    """A gRPC server on one unix socket, which appears at its path, in the place of any other, once it is served.

    grpc makes the file before it listens, and removes at the path it bound whatever is there when it stops. So it is
    given a hidden name, which the kubelet passes over; the path is ours to give and to take away.
    """

    def __init__(self, path: Path, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self.path = path
        self._hidden = hidden_name(path)
        self._handlers = tuple(handlers)
        self._server: grpc.aio.Server | None = None
        self._identity: _Identity | None = None

    @property
    def is_missing(self) -> bool:
        return not os.path.lexists(self.path)

    async def start(self) -> None:
        self._server = server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers(self._handlers)
        try:
            server.add_insecure_port(f"unix:{self._hidden}")
            await server.start()
            self._identity = _identify(self._hidden)
            self._hidden.rename(self.path)
        except (RuntimeError, OSError) as error:
            await self.stop(0)  # even a server that never served must be stopped before its loop ends
            raise ConfigError(f"cannot serve on socket {str(self.path)!r}: {describe(error)}") from error

    async def stop(self, grace_seconds: float) -> None:
        """Remove the socket, unless another is at its path by now, then let calls end within the grace."""
        identity, self._identity = self._identity, None
        if identity is not None and _identify(self.path) == identity:
            with contextlib.suppress(OSError):  # what a read-only directory keeps leads nowhere from now on
                self.path.unlink()
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace_seconds)


_Identity = tuple[int, int]


def _identify(path: Path) -> _Identity | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns)


def _check_directory(directory: Path, name: str) -> None:
    if not directory.is_dir():
        raise ConfigError(
            f"the kubelet's {name} directory {str(directory)!r} does not exist; mount it at the same path as on the "
            "host, or set where it is"
        )


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o750, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the driver's directory {str(directory)!r}: {describe(error)}") from error
