"""Counting requests to the API server: by method and answer, and for how long there was none."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from drakit.kube.client import NODES, RESOURCE_SLICES, ApiError, ApiUnreachable
from drakit.kube.requests import Requests

NODE = {"metadata": {"name": "node-1", "uid": "u-1", "resourceVersion": "7"}}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def answering(*statuses):
    async def handler(peer):
        for status in statuses:
            await peer.request()
            await peer.answer(NODE, status)

    return handler


def counted(client, method="GET"):
    return {code: number for code, number in client.requests.calls[method].results.items() if number}


def test_every_answer_is_counted_by_its_class(serve):
    async def test(client, _server):
        assert counted(client) == {}
        await client.get(NODES, "node-1")
        for _ in range(2):
            with pytest.raises(ApiError):
                await client.get(NODES, "node-1")
        assert counted(client) == {"2xx": 1, "4xx": 1, "5xx": 1}
        assert sum(client.requests.calls["GET"].durations.counts) == 3
        assert counted(client, "PUT") == {}

    serve(answering("200 OK", "404 Not Found", "503 Service Unavailable"), test)


def test_a_watch_is_counted_when_its_headers_are_there(serve):
    event = json.dumps({"type": "ADDED", "object": NODE}).encode() + b"\n"

    async def handler(peer):
        await peer.request()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await peer.send(head + b"%x\r\n%b\r\n" % (len(event), event))
        await peer.gone()

    async def test(client, _server):
        async with contextlib.aclosing(
            client.watch(RESOURCE_SLICES, resource_version="1", timeout_seconds=300)
        ) as events:
            assert await anext(events) == ("ADDED", NODE)
            assert counted(client, "WATCH") == {"2xx": 1}
        assert counted(client, "WATCH") == {"2xx": 1}

    serve(handler, test)


def test_a_server_that_is_not_there_is_counted_and_is_an_outage(serve):
    async def test(client, server):
        server._server.close()
        with pytest.raises(ApiUnreachable):
            await client.get(NODES, "node-1")
        assert counted(client) == {"none": 1}
        assert client.requests.outage_seconds > 0

    serve(answering(), test)


def test_a_request_that_nobody_waits_for_says_nothing(serve):
    arrived = asyncio.Event()

    async def handler(peer):
        await peer.request()
        arrived.set()
        await peer.gone()

    async def test(client, _server):
        asking = asyncio.ensure_future(client.get(NODES, "node-1"))
        await arrived.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert counted(client) == {}
        assert client.requests.outage_seconds == 0

    serve(handler, test)


def test_an_outage_lasts_from_the_first_request_without_an_answer_to_the_next_answer():
    clock = Clock()
    requests = Requests(clock)

    def ask(status, seconds):
        with contextlib.suppress(TimeoutError), requests.one("GET") as request:
            clock.now += seconds
            if status is None:
                raise TimeoutError
            request.status = status

    ask(200, 1)
    assert requests.outage_seconds == 0
    ask(None, 10)
    assert requests.outage_seconds == 10
    ask(503, 5)
    assert requests.outage_seconds == 15
    ask(404, 1)
    assert requests.outage_seconds == 0
    assert requests.calls["GET"].durations.seconds == 17


@pytest.mark.parametrize(("status", "code"), [(200, "2xx"), (301, "3xx"), (429, "4xx"), (500, "5xx"), (999, "5xx")])
def test_any_status_has_a_class(status, code):
    requests = Requests()
    with requests.one("DELETE") as request:
        request.status = status
    assert requests.calls["DELETE"].results[code] == 1
