"""Watching: a stream of events, however it comes and ends."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from drakit.kube.client import NODES, ApiError, ApiUnreachable


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(kind: str, name: str) -> bytes:
    metadata = {"name": name, "uid": "u-1", "resourceVersion": "7"}
    return json.dumps({"type": kind, "object": {"metadata": metadata}}).encode() + b"\n"


async def watch(client):
    found = []
    async with contextlib.aclosing(client.watch(NODES, resource_version="5", timeout_seconds=60)) as events:
        async for kind, document in events:
            found.append((kind, document["metadata"]["name"]))
    return found


def test_a_watch_gives_events_however_they_are_cut(serve):
    seen = []

    async def handler(peer):
        seen.append((await peer.request())[0])
        stream = event("ADDED", "a") + event("MODIFIED", "b" * 300_000) + event("BOOKMARK", "c")
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(stream), 7000):
            await peer.send(chunk(stream[start : start + 7000]))
        await peer.send(chunk(b""))

    async def test(client, _server):
        assert await watch(client) == [("ADDED", "a"), ("MODIFIED", "b" * 300_000), ("BOOKMARK", "c")]

    serve(handler, test)
    assert "watch=true&resourceVersion=5&timeoutSeconds=60&allowWatchBookmarks=true" in seen[0]


@pytest.mark.parametrize("ending", [b"", event("ADDED", "b")[:-10]])
def test_a_watch_that_is_cut_is_an_error(serve, ending):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(event("ADDED", "a") + ending))

    async def test(client, _server):
        with pytest.raises(ApiUnreachable):
            await watch(client)

    serve(handler, test)


def test_half_an_event_before_a_clean_end_is_an_error(serve):
    async def handler(peer):
        await peer.request()
        data = event("ADDED", "a")[:-5]
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(data) + chunk(b""))

    async def test(client, _server):
        with pytest.raises(ApiUnreachable, match="ended within an event"):
            await watch(client)

    serve(handler, test)


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"[]\n",
        b'{"type": "ADDED"}\n',
        b'{"type": "ADDED", "object": {}}\n',
        b'{"type": "ERROR", "object": []}\n',
    ],
)
def test_what_is_no_event_is_an_error(serve, line):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(line))
        await peer.gone()

    async def test(client, _server):
        with pytest.raises(ApiUnreachable, match=r"not a watch event|not an object of the API"):
            await watch(client)

    serve(handler, test)


@pytest.mark.parametrize("within", [True, False])
def test_a_version_that_is_too_old_is_410_as_answer_or_as_event(serve, within):
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}

    async def handler(peer):
        await peer.request()
        if not within:
            await peer.answer(status, "410 Gone")
            return
        error = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(error))
        await peer.gone()

    async def test(client, _server):
        with pytest.raises(ApiError, match="410 Expired: too old") as caught:
            await watch(client)
        assert caught.value.status == 410

    serve(handler, test)


def test_leaving_a_watch_closes_its_connection(serve):
    closed = asyncio.Event()

    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(event("ADDED", "a")))
        await peer.gone()
        closed.set()

    async def test(client, _server):
        async with contextlib.aclosing(client.watch(NODES, resource_version="5", timeout_seconds=60)) as events:
            await anext(events)
        await closed.wait()

    serve(handler, test)
