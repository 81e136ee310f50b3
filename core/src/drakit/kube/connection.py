"""One HTTP/1.1 connection: one exchange after another, each answer given to whoever waits for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

import httptools
from attrs import frozen

MAX_LINE_BYTES = 4 * 1024 * 1024
"""The longest line of a stream: more than the largest object that the API server stores."""

# A peer that has silently gone is noticed within a minute, also by a stream on which nothing is due.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}


class ConnectionLost(ConnectionError):
    """The connection ended within an exchange."""


class StaleConnection(ConnectionLost):
    """A connection that had served before ended with no byte of an answer: the peer had closed it while idle."""


class NotHttp(ConnectionError):
    """The peer sent what is not HTTP."""


@frozen
class Response:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Receiver(Protocol):
    """Who takes an answer as it is parsed. `fail` may come at any time, and ends it."""

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """Take the head of the answer."""

    def feed(self, data: bytes) -> None:
        """Take a part of the body."""

    def complete(self) -> None:
        """Nothing follows: the answer is whole."""

    def fail(self, error: Exception) -> None:
        """Nothing follows: the answer will never be whole."""


class Answer:
    """Collects a whole answer into `done`."""

    def __init__(self) -> None:
        self.done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """Keep the head of the answer."""
        self._status, self._headers = status, headers

    def feed(self, data: bytes) -> None:
        """Keep a part of the body."""
        self._chunks.append(data)

    def complete(self) -> None:
        """Give the answer."""
        if not self.done.done():
            body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
            self.done.set_result(Response(self._status, self._headers, body))

    def fail(self, error: Exception) -> None:
        """Raise where the answer is waited for."""
        if not self.done.done():
            self.done.set_exception(error)


class Stream:
    """Gives `head` when the headers are there, and the body to `reader` as it comes, with backpressure."""

    def __init__(self, connection: Connection) -> None:
        self.head: asyncio.Future[tuple[int, dict[str, str]]] = asyncio.get_running_loop().create_future()
        self.reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
        self.reader.set_transport(connection.transport)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """Keep the head of the answer."""
        if not self.head.done():
            self.head.set_result((status, headers))

    def feed(self, data: bytes) -> None:
        """Keep a part of the body."""
        self.reader.feed_data(data)

    def complete(self) -> None:
        """Give the answer."""
        self.reader.feed_eof()

    def fail(self, error: Exception) -> None:
        """Raise where the answer is waited for."""
        if not self.head.done():
            self.head.set_exception(error)
        self.reader.set_exception(error)


class Connection(asyncio.Protocol):
    """An asyncio protocol; the `on_...` methods are httptools' callbacks."""

    transport: asyncio.Transport

    def __init__(self, on_closed: Callable[[Connection], None]) -> None:
        self.idle_since = 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_closed = on_closed
        self._parser: httptools.HttpResponseParser | None = None
        self._receiver: Receiver | None = None
        self._headers: dict[str, str] = {}
        self._served = self._answered = self._in_body = self._lasting = False

    @property
    def reusable(self) -> bool:
        """Whether the connection is between exchanges and both sides would go on."""
        return self._receiver is None and self._lasting and not self.transport.is_closing()

    def send(self, request: bytes, receiver: Receiver) -> None:
        """Begin an exchange. One at a time; what happens next is told to the receiver."""
        self._answered = self._lasting = False
        if self.transport.is_closing():
            receiver.fail(self._loss(None))
            return
        self._receiver = receiver
        self.transport.write(request)

    def abort(self) -> None:
        """Close at once. Idempotent."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._parser = httptools.HttpResponseParser(self)
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):  # systems differ
                peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._receiver is None or self._parser is None:
            self.abort()  # nobody asked
            return
        self._answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._end(NotHttp(f"the answer is not HTTP/1.1: {error or type(error).__name__}"))
            self.abort()

    def eof_received(self) -> None:
        """See asyncio: the peer will send no more, so the connection closes."""
        if self._in_body and not self._headers.keys() & {"content-length", "transfer-encoding"}:
            self._end(None)  # a body without a length ends with its connection

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio."""
        self._end(self._loss(error))
        self._parser = None  # it refers back to this object
        self._on_closed(self)
        if not self.closed.done():
            self.closed.set_result(None)

    def on_message_begin(self) -> None:
        """A status line follows."""
        self._headers = {}
        if self._receiver is None:
            self.abort()  # a second answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The body follows, if there is one."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        if self._receiver is not None and status >= 200:
            self._in_body = True
            self._receiver.begin(status, self._headers)

    def on_body(self, data: bytes) -> None:
        """A part of the body, chunking taken off."""
        if self._receiver is not None:
            self._receiver.feed(data)

    def on_message_complete(self) -> None:
        """The answer is whole; an interim one (1xx) is not what was waited for."""
        assert self._parser is not None
        self._in_body = False
        if self._parser.get_status_code() >= 200:
            self._lasting = self._parser.should_keep_alive()
            self._served = True
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        if error is None:
            receiver.complete()
        else:
            receiver.fail(error)

    def _loss(self, error: Exception | None) -> ConnectionLost:
        kind = StaleConnection if self._served and not self._answered else ConnectionLost
        return kind(f"the connection was lost: {error}" if error else "the server closed the connection")
