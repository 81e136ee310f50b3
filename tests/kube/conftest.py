"""A server that misbehaves exactly as told, and short spans of time for the publisher."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Self

import pytest
from drakit.kube.client import KubeClient
from drakit.kube.credentials import Credentials

Handler = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One connection, from the server's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number

    async def request(self) -> tuple[str, dict[str, str], bytes]:
        """The next request: its first line, headers and body. Raises IncompleteReadError when there is none."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        return head[0], headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, document, status: str = "200 OK", headers: str = "") -> None:
        body = json.dumps(document).encode()
        await self.send(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(4096):
                pass


class ScriptedServer:
    """Runs one coroutine per connection."""

    def __init__(self, handler: Handler, ssl=None) -> None:
        self._handler = handler
        self._ssl = ssl
        self.connections = 0
        self.failures: list[BaseException] = []

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._ssl)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._ssl else 'http'}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        assert not self.failures

    async def _accept(self, reader, writer) -> None:
        self.connections += 1
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            await self._handler(Peer(reader, writer, self.connections))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client is done with it, or the test is
        except BaseException as error:
            self.failures.append(error)
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()


@pytest.fixture
def serve():
    """`serve(handler, test)`: run `test(client, server)` against a server that does as `handler` says."""

    def run(handler: Handler, test, *, ssl=None, timeout_seconds: float = 20.0, **credentials) -> ScriptedServer:
        async def main() -> ScriptedServer:
            async with ScriptedServer(handler, ssl) as server, asyncio.timeout(60):
                client = KubeClient(Credentials(server=server.url, **credentials), timeout_seconds=timeout_seconds)
                try:
                    await test(client, server)
                finally:
                    await client.close()
            return server

        return asyncio.run(main())

    return run
