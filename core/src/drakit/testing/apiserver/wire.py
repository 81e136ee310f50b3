"""HTTP/1.1: connections that parse requests, and write responses and watch streams."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable
from http import HTTPStatus

import httptools
from attrs import define, field

from drakit.errors import describe
from drakit.testing.apiserver.api import Request, Response, refused
from drakit.testing.apiserver.status import Refusal
from drakit.testing.apiserver.watching import BOOKMARK_SECONDS, Watch

logger = logging.getLogger(__name__)

_WATCH_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
_HEADS = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: ".encode("latin-1")
    for status in HTTPStatus
}


@define(eq=False)
class Site:
    """What all connections share. Lives on the event loop.

    `answer` returns None to leave the client without one; it is asked again, and told so, when connections proceed.
    """

    answer: Callable[[Request, bool], Response | Watch | None]
    connections: set[Connection] = field(factory=set, init=False)
    watching: set[asyncio.Event] = field(factory=set, init=False)
    frozen: bool = field(default=False, init=False)
    """While set, nobody is answered and no watch goes on."""

    def wake(self) -> None:
        """Something changed: every watch looks."""
        for event in self.watching:
            event.set()

    def release(self) -> None:
        """Answer, now, every request that was left without an answer."""
        for connection in list(self.connections):
            connection.proceed()

    def drop(self) -> None:
        """Cut every connection."""
        for connection in list(self.connections):
            connection.abort()


class Connection(asyncio.Protocol):
    """One connection: requests in, in order, each answered before the next is looked at."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._busy = False
        self._held = False
        self._stream: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._site.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self._site.connections.discard(self)
        self._waiting.clear()
        if self._stream is not None:
            self._stream.cancel()
        self._lost.set()

    async def closed(self) -> None:
        """Return when nothing of the connection is left."""
        await self._lost.wait()
        if self._stream is not None:
            await asyncio.wait([self._stream])

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            logger.debug("closing a connection that does not speak HTTP: %s", error)
            self.abort()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        """Part of httptools' protocol, as are the next three."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The whole request is here."""
        path, _, query = self._url.decode("latin-1").partition("?")
        method = self._parser.get_method().decode()
        request = Request(method, path, query, self._headers, b"".join(self._body))
        self._waiting.append((request, self._parser.should_keep_alive()))
        self._begin()
        self._next()

    def proceed(self) -> None:
        """Take the request up again that was left without an answer."""
        if self._held:
            self._busy = False
            self._next()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def reset(self) -> None:
        """Cut the connection as a peer does that has lost its memory: by an RST, at once."""
        peer = self._transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _next(self) -> None:
        while self._waiting and not self._busy:
            request, keep_alive = self._waiting[0]
            answer = self._answer(request)
            self._busy = not isinstance(answer, Response)
            self._held = answer is None
            if answer is None:
                return
            self._waiting.popleft()
            if isinstance(answer, Watch):
                self._stream = asyncio.get_running_loop().create_task(self._serve(answer))
            else:
                self._write(answer, keep_alive)

    def _answer(self, request: Request) -> Response | Watch | None:
        try:
            return self._site.answer(request, self._held)
        except Exception as error:
            logger.exception("%s %s", request.method, request.path)
            return refused(Refusal(500, "InternalError", describe(error)))

    def _write(self, response: Response, keep_alive: bool) -> None:
        retry = b"" if response.retry_after is None else b"\r\nRetry-After: %d" % response.retry_after
        close = b"" if keep_alive else b"\r\nConnection: close"
        head = b"%s%s%s%s\r\nContent-Length: %d\r\n\r\n" % (
            _HEADS[response.code],
            response.content_type,
            retry,
            close,
            len(response.body),
        )
        if response.cut:
            self._transport.write(head + response.body[: len(response.body) // 2])
            self.reset()
            return
        self._transport.write(head + response.body)
        if not keep_alive:
            self._transport.close()

    async def _serve(self, watch: Watch) -> None:
        """Stream a watch to its end; the connection is then as good as before."""
        event = asyncio.Event()
        self._site.watching.add(event)
        try:
            # Read before the head goes out: what the client does once it has that, is news.
            events = watch.read()
            self._transport.write(_WATCH_HEAD)
            self._write_chunk(events)
            await self._follow(watch, event)
            self._transport.write(b"0\r\n\r\n")
        finally:
            self._site.watching.discard(event)
            self._stream = None
        self._busy = False
        self._next()

    async def _follow(self, watch: Watch, event: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        end = clock() + watch.timeout_seconds if watch.timeout_seconds else float("inf")
        bookmark = clock() + BOOKMARK_SECONDS if watch.bookmarks else float("inf")
        while not watch.over:
            # While nothing is answered time stands still: not even the end of a watch is told.
            now = float("-inf") if self._site.frozen else clock()
            if now >= min(bookmark, end) and watch.bookmarks:
                self._write_chunk([watch.bookmark()])
                bookmark = now + BOOKMARK_SECONDS
            if now >= end:
                return
            await _wait(event, min(end, bookmark) - now)
            event.clear()
            if not self._site.frozen:
                self._write_chunk(watch.read())

    def _write_chunk(self, lines: list[bytes]) -> None:
        if lines:
            data = b"".join(lines)
            self._transport.write(b"%x\r\n%s\r\n" % (len(data), data))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, or the time is over."""
    try:
        async with asyncio.timeout(None if seconds == float("inf") else seconds):
            await event.wait()
    except TimeoutError:
        return
