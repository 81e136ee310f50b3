"""A server that misbehaves exactly as told, and one that is sound, with a publisher and what it should publish."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Self

import pytest
from drakit.kube.client import KubeClient
from drakit.kube.credentials import Credentials
from drakit.kube.pace import Timing
from drakit.kube.publisher import SlicePublisher
from drakit.model import Device, ResolvedPool
from drakit.testing.apiserver import InMemoryApiServer

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
        for _ in range(10):  # what was accepted a moment ago is a task of ours only after a few turns
            await asyncio.sleep(0)
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


DRIVER, NODE = "gpu.example.com", "node-1"
QUICK = Timing(settle=0.01, verify=300, first_backoff=0.01, most_backoff=0.1, refused=300)


class SlicesServer(InMemoryApiServer):
    """An API server that has nodes, and can say how publishing goes."""

    def __enter__(self) -> Self:
        super().__enter__()
        for name in (NODE, "node-0", "node-2"):
            self.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        return self

    def published(self) -> list[str] | None:
        """The devices that consumers see, or None while the pool of this node is absent or incomplete."""
        specs = [document["spec"] for document in self.list("ResourceSlice")]
        newest = max((spec["pool"]["generation"] for spec in specs), default=0)
        specs = [spec for spec in specs if spec["pool"]["generation"] == newest]
        if not specs or any(spec["pool"]["resourceSliceCount"] != len(specs) for spec in specs):
            return None
        return [device["name"] for spec in specs for device in spec.get("devices") or ()]

    def writes(self) -> list[str]:
        return [method for method, _ in self.requests if method != "GET"]

    async def until(self, predicate, seconds: float = 20.0):
        """Wait for the server to be as `predicate(server)` wants; it is asked off the loop, at every change."""
        return await asyncio.to_thread(self.wait_for, predicate, seconds)


class Publisher(SlicePublisher):
    """A publisher that can be waited for."""

    async def close(self) -> None:
        """Close the connections that it has, also those of a second run."""
        await self._client.close()

    async def until(self, condition, seconds: float = 20.0):
        """Wait for `condition(status)` to be true, and return what it said."""
        async with asyncio.timeout(seconds):
            while not (answer := condition(self.status)):  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.005)
        return answer

    async def until_current(self) -> None:
        await self.until(lambda status: status.current)

    async def until_told(self, text: str) -> str:
        return await self.until(lambda status: next((error for error in status.errors if text in error), None))


@pytest.fixture
def serving():
    """`serving(version)`: an API server of another release."""
    return lambda version: SlicesServer(git_version=version)


@pytest.fixture
def server():
    with SlicesServer() as server:
        yield server


@pytest.fixture
def publishing():
    """`async with publishing(server, *pools) as publisher`: a publisher at work on those pools.

    `again` is one that was stopped, and is to go on.
    """

    @contextlib.asynccontextmanager
    async def work(server, *pools, node=NODE, timing=QUICK, timeout_seconds=5.0, again=None):
        publisher = again
        if publisher is None:
            client = KubeClient(Credentials(server=server.url), timeout_seconds=timeout_seconds)
            publisher = Publisher(client, DRIVER, node, timing=timing)
        if pools:
            publisher.desired(pools)
        task = asyncio.create_task(publisher.run())
        try:
            yield publisher
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await publisher.close()

    return work


@pytest.fixture
def pool_of():
    """`pool_of(*names)`: a pool of devices of these names, or of devices as given."""

    def make(*names, pool=NODE, **more) -> ResolvedPool:
        devices = [name if isinstance(name, Device) else Device(name) for name in names]
        return ResolvedPool(driver=DRIVER, name=pool, devices=devices, **more)

    return make


@pytest.fixture
def large(pool_of):
    """`large(200)`: a pool of so many devices."""
    return lambda count: pool_of(*(f"gpu-{index}" for index in range(count)))


@pytest.fixture
def run():
    """`run(test)`: run a test's coroutine function, within a bound."""

    def bounded(test) -> None:
        async def main() -> None:
            async with asyncio.timeout(60):
                await test()

        asyncio.run(main())

    return bounded
