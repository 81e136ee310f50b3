"""A server on an event loop of its own thread, so that tests may block as a kubelet's caller does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from drakit.kubelet import KubeletPaths, KubeletServer
from drakit.model import ClaimRef, DeviceHandle, DeviceRef
from drakit.testing import FakeKubelet

T = TypeVar("T")

DRIVER = "gpu.example.com"
POOL = "node-1"
SECONDS = 20.0


def claim(uid: str) -> ClaimRef:
    return ClaimRef(uid, "default", f"claim-{uid}")


def handle(uid: str, share_id: str | None = None, request: str = "gpus") -> DeviceHandle:
    return DeviceHandle(request, DeviceRef(DRIVER, POOL, "gpu-0"), (f"example.com/gpu={uid}-gpu-0",), share_id)


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)

    def call(self, function: Callable[..., T], *args: Any) -> T:
        async def work() -> T:
            return function(*args)

        return self.run(work())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Claims:
    """A claim service that gives every claim one device, unless told otherwise."""

    def __init__(self) -> None:
        self.prepared: list[ClaimRef] = []
        self.unprepared: list[ClaimRef] = []
        self.together: dict[str, frozenset[str]] = {}
        self.errors: dict[str, BaseException] = {}
        self.answers: dict[str, Sequence[DeviceHandle]] = {}

    async def prepare(self, claim: ClaimRef, together: frozenset[str]) -> Sequence[DeviceHandle]:
        if claim.uid in self.errors:
            raise self.errors[claim.uid]
        self.together[claim.uid] = together
        self.prepared.append(claim)
        return self.answers.get(claim.uid, [handle(claim.uid)])

    async def unprepare(self, claim: ClaimRef) -> None:
        if claim.uid in self.errors:
            raise self.errors[claim.uid]
        self.unprepared.append(claim)


class Node:
    """The kubelet's directories, and what is started in them for one test."""

    driver = DRIVER
    claims = staticmethod(Claims)
    claim = staticmethod(claim)
    handle = staticmethod(handle)

    def __init__(self, root: Path, loop: Loop, stack: ExitStack) -> None:
        self.paths = KubeletPaths(registry=root / "registry", plugins=root / "plugins")
        self.paths.registry.mkdir()
        self.paths.plugins.mkdir()
        self.loop = loop
        self._stack = stack

    def server(self, claims: Any = None, driver: str = DRIVER, **options: Any) -> KubeletServer:
        paths = options.pop("paths", self.paths)
        server = KubeletServer(paths, driver, claims or Claims(), **options)
        self._stack.callback(lambda: self.loop.run(server.stop(0)))
        return server

    def serve(self, claims: Any = None, driver: str = DRIVER, **options: Any) -> KubeletServer:
        server = self.server(claims, driver, **options)
        self.loop.run(server.start())
        return server

    def kubelet(self, **options: Any) -> FakeKubelet:
        options.setdefault("retry_seconds", 0.05)
        options.setdefault("health_reconnect_seconds", 0.05)
        return self._stack.enter_context(FakeKubelet(self.paths.registry, **options))


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def node(short_path: Path, loop: Loop) -> Iterator[Node]:
    with ExitStack() as stack:
        yield Node(short_path, loop, stack)
