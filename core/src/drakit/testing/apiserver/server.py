"""The server as tests, the demo and benchmarks use it."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

from attrs import evolve

from drakit.testing.apiserver.api import Api, Request, Response
from drakit.testing.apiserver.faults import GARBAGE, Fault, Faults, failure
from drakit.testing.apiserver.listener import Listener, bind
from drakit.testing.apiserver.resources import Document, named, of_kind, target_of
from drakit.testing.apiserver.store import Backup, Store, Stored
from drakit.testing.apiserver.watching import Watch
from drakit.testing.apiserver.wire import Connection, Site

T = TypeVar("T")

_BOUND_SECONDS = 10.0
"""How long the server's own thread may take to start, to stop or to do as it is told."""


class InMemoryApiServer:
    """A Kubernetes API server in memory, that speaks real HTTP on 127.0.0.1.

    It holds what a DRA driver meets: ResourceSlices, ResourceClaims, ResourceClaimTemplates, DeviceClasses, Nodes, Pods
    and Events, and what owns pods and limits them; with resource versions, conflicts, preconditions, selectors, status
    subresources, watches with history and bookmarks, and validation of `resource.k8s.io/v1` and `events.k8s.io/v1`.
    There is no authorization, no garbage collection and of discovery only the versions of a group; namespaces need not
    exist, and a pod that is deleted is gone at once.

    A context manager. Its methods may be called from any thread, and act as the cluster itself does: they may write
    any part of an object, and meet no injected fault. They raise Refusal where the server would refuse.

    `git_version` decides which release it behaves as (1.34 and later). `history` is how many changes a watch may at
    least be behind. With `certificate`, files of a certificate for 127.0.0.1 and of its key, it speaks TLS. With
    `token`, which may be set anew at any time, clients must present it as a bearer token.
    """

    def __init__(
        self,
        *,
        git_version: str = "v1.37.0",
        history: int = 10_000,
        certificate: tuple[Path, Path] | None = None,
        token: str | None = None,
    ) -> None:
        self._store = Store(history)
        self._store.on_change = self._on_change
        self._api = Api(self._store, git_version)
        self._api.token = token
        self._certificate = certificate
        self._faults = Faults()
        self._requests: list[tuple[str, str]] = []
        self._site = Site(self._answer)
        self._waking = False

    def __enter__(self) -> Self:
        # Bound for as long as the server lives, never listening: keeps the port ours through an outage.
        self._holder = bind(0)
        self._port: int = self._holder.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="in-memory-api-server", daemon=True)
        self._thread.start()
        self._in_loop(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._in_loop(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_BOUND_SECONDS)
        self._loop.close()
        self._holder.close()

    @property
    def url(self) -> str:
        """Where clients find it. Stays the same through an outage."""
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self._port}"

    @property
    def token(self) -> str | None:
        """The bearer token clients must present."""
        return self._api.token

    @token.setter
    def token(self, token: str | None) -> None:
        self._api.token = token

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method, and path with query, of every request so far, the failed ones too."""
        return list(self._requests)

    @property
    def resource_version(self) -> str:
        """The version of the latest change."""
        return str(self._store.version)

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig for this server; returns the path."""
        cluster: Document = {"server": self.url}
        if self._certificate is not None:
            authority = base64.b64encode(self._certificate[0].read_bytes()).decode()
            cluster["certificate-authority-data"] = authority
        name = "in-memory"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": {"token": self.token} if self.token else {}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
        path.write_text(json.dumps(document, indent=2))
        return path

    def create(self, document: Document) -> Document:
        """Create an object, status included; a namespace left out is `default`. Returns it as stored."""
        return _plain(self._api.registry.create(target_of(document), _copy(document), keep_status=True))

    def get(self, kind: str, name: str, namespace: str | None = None) -> Document:
        """One object. Raises Refusal (code 404)."""
        return _plain(self._api.registry.read(named(of_kind(kind), name, namespace)))

    def list(self, kind: str, namespace: str | None = None) -> list[Document]:
        """All objects of a kind, or those of one namespace, ordered by name."""
        return [_plain(stored) for _, stored in self._store.objects(of_kind(kind), namespace or "")]

    def replace(self, document: Document) -> Document:
        """Replace an object, status included. Without a resourceVersion it is whatever version there is."""
        return _plain(self._api.registry.replace(target_of(document), _copy(document), "all"))

    def delete(self, kind: str, name: str, namespace: str | None = None) -> None:
        """Delete an object; one with finalizers stays, marked. Raises Refusal (code 404)."""
        self._api.registry.delete(named(of_kind(kind), name, namespace), {})

    def wait_for(self, predicate: Callable[[InMemoryApiServer], T], timeout: float = 10.0) -> T:
        """Wait until `predicate(server)` is true, and return what it said; it is asked at every change and request.

        The server stands still while it is asked. Raises TimeoutError.
        """
        with self._store.changed:
            if answer := self._store.changed.wait_for(lambda: predicate(self), timeout):
                return answer
            last = ", ".join(" ".join(request) for request in self._requests[-3:]) or "none"
        raise TimeoutError(f"not so within {timeout} s; requests: {len(self._requests)}, the last: {last}")

    def drops(self, *fields: str) -> None:
        """From now on these fields of ResourceSlices and their devices are dropped, as behind a gate that is off."""
        self._api.registry.dropped |= frozenset(fields)

    def keeps(self, *fields: str) -> None:
        """From now on these fields are kept again: the gate is on. A server is restarted for it: `drop_connections`."""
        self._api.registry.dropped -= frozenset(fields)

    def upgrade(self, git_version: str) -> None:
        """Be another release from now on, with the same objects. A server is restarted for it: `drop_connections`."""
        self._do(lambda: self._api.upgrade(git_version))

    def fail(
        self,
        next: int = 1,  # noqa: A002 - reads as it is meant: fail(next=3)
        status: int = 500,
        retry_after: int | None = None,
        method: str | None = None,
        path_contains: str | None = None,
        *,
        message: str = "a fault that the test asked for",
    ) -> None:
        """Answer the next requests that match with an HTTP status, without doing what they ask."""
        self._faults.add(Fault(next, failure(status, retry_after, message), method, path_contains))

    def hang(
        self,
        next: int = 1,  # noqa: A002 - as for fail
        method: str | None = None,
        path_contains: str | None = None,
    ) -> None:
        """Do not answer the next requests that match, until `release`."""
        self._faults.add(Fault(next, None, method, path_contains))

    def cut(
        self,
        next: int = 1,  # noqa: A002 - as for fail
        method: str | None = None,
        path_contains: str | None = None,
    ) -> None:
        """Carry out the next requests that match, and reset their connections within the answer."""
        self._faults.add(Fault(next, None, method, path_contains, cut=True))

    def garble(
        self,
        next: int = 1,  # noqa: A002 - as for fail
        method: str | None = None,
        path_contains: str | None = None,
    ) -> None:
        """Answer the next requests that match with 200 and half of a document, without doing what they ask."""
        self._faults.add(Fault(next, GARBAGE, method, path_contains))

    def recover(self) -> None:
        """Let no fault be due any more, end an outage, and answer what hangs."""
        self._faults.clear()
        self.resume()

    def release(self) -> None:
        """Carry out and answer every request that hangs."""
        self._faults.end_hanging()
        self._do(self._site.release)

    def drop_connections(self) -> None:
        """Cut every connection; new ones are welcome."""
        self._do(self._site.drop)

    def pause(self, *, refuse: bool = True) -> None:
        """Begin an outage: connections are cut and refused, or, with `refuse=False`, nothing is answered any more."""
        self._in_loop(self._pause(refuse))

    def resume(self) -> None:
        """End an outage. What was left without an answer gets one now."""
        self._in_loop(self._resume())

    def expire_watches(self) -> None:
        """Forget the history: every watch ends with 410 Gone, and must begin with a new list."""
        self._store.forget_history()

    def backup(self) -> Backup:
        """Everything there is, for `restore`."""
        return self._store.backup()

    def restore(self, backup: Backup) -> None:
        """Be as of a backup: what came after it never was, and resource versions are given a second time.

        Connections are cut: servers are restarted for it.
        """
        self._store.restore(backup)
        self.drop_connections()

    def _answer(self, request: Request, again: bool) -> Response | Watch | None:
        """Answer one request, on the loop's thread; `again` for one that was left without an answer before.

        Whoever waits sees a request together with what it did: neither is there without the other.
        """
        fault = None if again else self._faults.take(request)
        held = self._site.frozen or (fault is not None and fault.holds)
        with self._store.changed:
            if not again:
                self._requests.append((request.method, request.target))
                self._store.changed.notify_all()
            answer = None if held else (fault and fault.response) or self._api.answer(request)
        if fault is not None and fault.cut and isinstance(answer, Response):
            answer = evolve(answer, cut=True)
        return answer

    def _on_change(self) -> None:
        """Wake the watches, once for any number of changes; called with the store's lock held."""
        if not self._waking and self._site.watching:
            self._waking = True
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._waking = False
        self._site.wake()

    async def _listen(self) -> None:
        context = None
        if self._certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._certificate)
        self._listener: Listener | None = Listener(bind(self._port), lambda: Connection(self._site), context)

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            await self._listener.close()
            self._listener = None

    async def _pause(self, refuse: bool) -> None:
        self._site.frozen = True
        if refuse:
            await self._stop_listening()
            self._site.drop()

    async def _resume(self) -> None:
        self._site.frozen = False
        if self._listener is None:
            await self._listen()
        self._site.release()
        self._site.wake()

    async def _stop(self) -> None:
        await self._stop_listening()
        connections = list(self._site.connections)
        self._site.drop()
        await asyncio.gather(*(connection.closed() for connection in connections))

    def _do(self, action: Callable[[], None]) -> None:
        async def run() -> None:
            action()

        self._in_loop(run())

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_BOUND_SECONDS)


def _copy(document: Document) -> Document:
    copied: Document = json.loads(json.dumps(document))
    return copied


def _plain(stored: Stored) -> Document:
    document: Document = json.loads(stored.body)
    return document
