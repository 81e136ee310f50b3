"""HTTP/1.1 to one server on asyncio, kept alive: what the claim of every pod that starts goes through.

httptools parses; here are the connections, their reuse and their bounds. Nothing here knows of Kubernetes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

from attrs import frozen

from drakit.kube.connection import Answer, Connection, Response, StaleConnection, Stream
from drakit.kube.credentials import Credentials
from drakit.kube.identity import Authorization, Trust
from drakit.kube.requests import Requests
from drakit.kube.resolver import Resolver

MAX_IDLE = 32
IDLE_SECONDS = 60.0
"""A connection that has idled longer is not used again: a silent peer or a middlebox may have forgotten it."""
_NEXT_ADDRESS_SECONDS = 0.5
"""How long one address of the server has to itself: of several, one that is silent must not cost the whole bound."""
_CLOSE_SECONDS = 2.0
_IDEMPOTENT = frozenset({"GET", "PUT", "DELETE", "PATCH"})
_BODIES = {"PATCH": "application/apply-patch+yaml"}
"""What a body is, if not plain JSON: all patches are of the kind that makes an object be as they say."""


@frozen
class _Server:
    host: str
    port: int
    prefix: str
    encrypted: bool

    @property
    def has_name(self) -> bool:
        """Whether it is known by a name, which may stand for several addresses."""
        return not (":" in self.host or self.host.replace(".", "").isdecimal())

    @classmethod
    def parse(cls, url: str) -> _Server:
        parts = urlsplit(url)
        encrypted = parts.scheme == "https"
        return cls(parts.hostname or "", parts.port or (443 if encrypted else 80), parts.path.rstrip("/"), encrypted)


class Transport:
    """A pool of connections to one server. To be used from one event loop.

    A request takes an idle connection or opens one: none ever waits for another.
    """

    def __init__(self, credentials: Credentials, *, user_agent: str) -> None:
        self.authorization = Authorization(credentials)
        self.requests = Requests()
        self._trust = Trust(credentials)
        self._server = _Server.parse(credentials.server)
        self._server_name = credentials.server_name or self._server.host
        self._resolver = Resolver(self._server.host, self._server.port)
        self._fixed = (
            f" HTTP/1.1\r\nHost: {urlsplit(credentials.server).netloc}\r\n"
            f"User-Agent: {user_agent}\r\nAccept: application/json\r\n"
        )
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()

    async def request(
        self, method: str, path: str, body: bytes | None = None, *, authorization: str, timeout_seconds: float
    ) -> Response:
        """Send one request and read its whole answer, of whatever status, connecting included.

        `authorization` is the value of that header, "" for none. An idempotent request is sent once more where a
        kept-alive connection turned out to be closed. Raises TimeoutError and OSError, which leave open whether the
        server has acted, and ConfigError.
        """
        request = self._encode(method, path, body, authorization)
        with self.requests.one(method) as counted:
            try:
                async with asyncio.timeout(timeout_seconds):
                    response = await self._answer(method, request)
            except TimeoutError:
                self._drop_idle()  # they may lead to the same silence
                raise
            counted.status = response.status
        return response

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, *, timeout_seconds: float
    ) -> AsyncIterator[tuple[int, dict[str, str], asyncio.StreamReader]]:
        """GET an answer that is read as it comes: its status, its headers and a reader of its body.

        `timeout_seconds` bounds the way to the headers. The connection is closed on leaving, however that happens.
        """
        request = self._encode("GET", path, None, self.authorization.header())
        with self.requests.one("WATCH") as counted:
            async with asyncio.timeout(timeout_seconds):
                connection = await self._connect()
                try:
                    stream = Stream(connection)
                    connection.send(request, stream)
                    status, headers = await stream.head
                except BaseException:
                    connection.abort()
                    raise
            counted.status = status
        try:
            yield status, headers, stream.reader
        finally:
            connection.abort()

    async def close(self) -> None:
        """Close every connection. Requests under way fail."""
        closing = [connection.closed for connection in self._open]
        for connection in tuple(self._open):
            connection.abort()
        self._idle.clear()
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_SECONDS)

    def _encode(self, method: str, path: str, body: bytes | None, authorization: str) -> bytes:
        head = f"{method} {self._server.prefix}{path}{self._fixed}"
        if authorization:
            head += f"Authorization: {authorization}\r\n"
        if body is None:
            return f"{head}\r\n".encode()
        kind = _BODIES.get(method, "application/json")
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    async def _answer(self, method: str, request: bytes) -> Response:
        connection = self._reuse() or await self._connect()
        try:
            return await self._exchange(connection, request)
        except StaleConnection:
            if method not in _IDEMPOTENT:
                raise
        self._drop_idle()
        return await self._exchange(await self._connect(), request)

    async def _exchange(self, connection: Connection, request: bytes) -> Response:
        answer = Answer()
        try:
            connection.send(request, answer)
            response = await answer.done
        except BaseException:
            connection.abort()
            raise
        self._keep(connection)
        return response

    def _keep(self, connection: Connection) -> None:
        if connection.reusable and len(self._idle) < MAX_IDLE:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.abort()

    def _reuse(self) -> Connection | None:
        oldest = asyncio.get_running_loop().time() - IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.idle_since >= oldest:
                return connection
            connection.abort()
        return None

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().abort()

    async def _connect(self) -> Connection:
        context = self._trust.context() if self._server.encrypted else None
        if not self._server.has_name:
            return await self._connect_to(self._server.host, context)
        return await self._connect_to_first(await self._resolver.addresses(), context)

    async def _connect_to_first(self, addresses: Sequence[str], context: ssl.SSLContext | None) -> Connection:
        """Connect to the first address that answers; each has a head start on the next. Raises the last one's error."""
        attempts: set[asyncio.Task[Connection]] = set()
        left, failure = list(addresses), OSError(f"{self._server.host} has no address")
        try:
            while left or attempts:
                if left:
                    attempts.add(asyncio.create_task(self._connect_to(left.pop(0), context)))
                patience = _NEXT_ADDRESS_SECONDS if left else None
                done, _ = await asyncio.wait(attempts, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for attempt in done:
                    attempts.remove(attempt)
                    error = attempt.exception()
                    if error is None:
                        return attempt.result()
                    if not isinstance(error, OSError):
                        raise error
                    failure = error
            raise failure
        finally:
            for attempt in attempts:
                attempt.add_done_callback(_give_up)
                attempt.cancel()

    async def _connect_to(self, address: str, context: ssl.SSLContext | None) -> Connection:
        """Connect to one address. That of a name was looked up: the loop itself is never given one to resolve."""
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(on_closed=self._open.discard),
            address,
            self._server.port,
            ssl=context,
            server_hostname=self._server_name if context else None,
        )
        if not connection.closed.done():
            self._open.add(connection)
        return connection


def _give_up(attempt: asyncio.Task[Connection]) -> None:
    """Close a connection that came too late, and look at an error that nobody waits for."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().abort()
