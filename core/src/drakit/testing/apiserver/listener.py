"""The socket that clients connect to, and what is on its way from being accepted to being a connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

_BACKLOG = 512
_HANDSHAKE_SECONDS = 1.0
"""How long a client that has begun to connect is waited for, when the listener closes."""


def bind(port: int) -> socket.socket:
    """A socket on 127.0.0.1 that shares its port with others of ours."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock


class Listener:
    """Listens from its making on. To be used on the event loop, as asyncio's own servers are.

    Those leave open what they had accepted a moment before they were closed.
    """

    def __init__(
        self, sock: socket.socket, factory: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._factory = factory
        self._context = context
        self._making: set[asyncio.Task[None]] = set()
        sock.setblocking(False)
        sock.listen(_BACKLOG)
        self._loop.add_reader(sock, self._accept)

    async def close(self) -> None:
        """Take no more clients. Every connection there will be is made by then, and is its protocol's to close."""
        self._loop.remove_reader(self._sock)
        self._sock.close()
        if self._making:
            _, late = await asyncio.wait(self._making, timeout=_HANDSHAKE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):  # it has gone again
            client, _ = self._sock.accept()
            task = self._loop.create_task(self._make(client))
            self._making.add(task)
            task.add_done_callback(self._making.discard)

    async def _make(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # of TLS, too: a client that does not trust the certificate goes away
            await self._loop.connect_accepted_socket(self._factory, client, ssl=self._context)
