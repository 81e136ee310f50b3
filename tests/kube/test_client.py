"""The HTTP client against servers that behave, and that do not."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from drakit.decoding import duplicate_key, load_json
from drakit.kube.client import NODES, RESOURCE_CLAIMS, RESOURCE_SLICES, ApiUnreachable, KubeClient
from drakit.kube.credentials import Credentials

from tests.kube.peers import NODE, answer_all


def test_one_connection_serves_one_request_after_another(serve):
    async def test(client, _server):
        for _ in range(5):
            assert await client.get(NODES, "node-1") == NODE

    assert serve(answer_all, test).connections == 1


def test_requests_at_once_do_not_wait_for_each_other(serve):
    arrived, release = [], asyncio.Event()

    async def handler(peer):
        arrived.append(await peer.request())
        if len(arrived) == 8:
            release.set()
        await release.wait()
        await peer.answer(NODE)

    async def test(client, _server):
        await asyncio.gather(*(client.get(NODES, f"node-{number}") for number in range(8)))

    assert serve(handler, test).connections == 8


def test_a_request_says_who_asks_for_what(serve):
    seen = []

    async def handler(peer):
        seen.append(await peer.request())
        await peer.answer(NODE)

    async def test(client, server):
        await client.get(RESOURCE_CLAIMS, "c/../x", "ns")
        assert seen[0][0] == "GET /apis/resource.k8s.io/v1/namespaces/ns/resourceclaims/c%2F..%2Fx HTTP/1.1"
        headers = seen[0][1]
        assert headers["host"] == server.url.removeprefix("http://")
        assert headers["accept"] == "application/json"
        assert headers["user-agent"] == "drakit"
        assert "authorization" not in headers

    serve(handler, test)


def test_a_path_before_the_api_is_kept(serve):
    seen = []

    async def handler(peer):
        seen.append((await peer.request())[0])
        await peer.answer(NODE)

    async def test(_client, server):
        behind = KubeClient(Credentials(server=f"{server.url}/k8s/clusters/c-1/"))
        await behind.get(NODES, "node-1")
        await behind.close()

    serve(handler, test)
    assert seen == ["GET /k8s/clusters/c-1/api/v1/nodes/node-1 HTTP/1.1"]


def test_a_chunked_answer_in_small_pieces_is_whole(serve):
    async def handler(peer):
        await peer.request()
        body = json.dumps(NODE).encode()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for byte in body:
            await peer.send(b"1\r\n%c\r\n" % byte)
        await peer.send(b"0\r\n\r\n")

    async def test(client, _server):
        assert await client.get(NODES, "node-1") == NODE

    serve(handler, test)


def test_an_answer_without_a_length_ends_with_its_connection(serve):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(NODE).encode())

    async def test(client, _server):
        assert await client.get(NODES, "node-1") == NODE

    serve(handler, test)


def test_an_interim_answer_is_not_taken_for_the_answer(serve):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        await peer.answer(NODE)

    async def test(client, _server):
        assert await client.get(NODES, "node-1") == NODE

    serve(handler, test)


def test_a_connection_the_server_wants_closed_is_not_used_again(serve):
    async def handler(peer):
        await peer.request()
        await peer.answer(NODE, headers="Connection: close\r\n")
        await peer.gone()

    async def test(client, _server):
        for _ in range(3):
            await client.get(NODES, "node-1")

    assert serve(handler, test).connections == 3


async def answer_once_then_close_on_the_next(peer):
    """Closes on the second request of its first connection, as a server does whose idle bound has just run out."""
    await peer.request()
    await peer.answer(NODE)
    if peer.number == 1:
        await peer.request()
        return
    await answer_all(peer)


@pytest.mark.parametrize("call", ["get", "replace", "delete"])
def test_an_idempotent_request_on_a_stale_connection_is_sent_once_more(serve, call):
    async def test(client, _server):
        await client.get(NODES, "node-1")
        await (client.get(NODES, "node-1") if call == "get" else getattr(client, call)(NODES, NODE))

    assert serve(answer_once_then_close_on_the_next, test).connections == 2


def test_a_create_is_never_sent_twice(serve):
    async def test(client, _server):
        await client.get(NODES, "node-1")
        with pytest.raises(ApiUnreachable, match="cannot be reached"):
            await client.create(NODES, NODE)

    assert serve(answer_once_then_close_on_the_next, test).connections == 1


def test_a_fresh_connection_that_is_closed_is_not_tried_again(serve):
    async def handler(peer):
        await peer.request()

    async def test(client, _server):
        with pytest.raises(ApiUnreachable, match="closed the connection"):
            await client.get(NODES, "node-1")

    assert serve(handler, test).connections == 1


def test_an_answer_that_is_cut_is_an_error_and_not_half_a_document(serve):
    async def handler(peer):
        await peer.request()
        await peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"metadata": {}}')

    async def test(client, _server):
        with pytest.raises(ApiUnreachable, match="closed the connection"):
            await client.get(NODES, "node-1")

    serve(handler, test)


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16\x03\x01\x00", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_not_http_is_said_to_be_that(serve, garbage):
    async def handler(peer):
        await peer.request()
        await peer.send(garbage)
        await peer.gone()

    async def test(client, _server):
        with pytest.raises(ApiUnreachable, match="not HTTP"):
            await client.get(NODES, "node-1")

    serve(handler, test)


def test_what_is_not_json_is_said_to_be_that(serve):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")

    async def test(client, _server):
        with pytest.raises(ApiUnreachable, match="not JSON"):
            await client.get(NODES, "node-1")

    serve(handler, test)


def test_a_second_answer_to_one_request_closes_the_connection(serve):
    async def handler(peer):
        await peer.request()
        body = json.dumps(NODE).encode()
        one = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        await peer.send(one + one.replace(b"u-1", b"u-2"))
        await peer.gone()

    async def test(client, _server):
        for _ in range(2):
            assert (await client.get(NODES, "node-1"))["metadata"]["uid"] == "u-1"

    assert serve(handler, test).connections == 2


def test_a_silent_server_costs_the_bound_and_its_connections(serve):
    silent = asyncio.Event()

    async def handler(peer):
        while not silent.is_set():
            await peer.request()
            if not silent.is_set():
                await peer.answer(NODE)
        if peer.number < 3:
            await peer.gone()
        await peer.answer(NODE)

    async def test(client, server):
        await asyncio.gather(client.get(NODES, "a"), client.get(NODES, "b"))
        assert server.connections == 2
        silent.set()
        with pytest.raises(ApiUnreachable, match="did not answer in time"):
            await client.get(NODES, "c")
        assert await client.get(NODES, "d") == NODE

    assert serve(handler, test, timeout_seconds=1.0).connections == 3


def test_a_cancelled_request_gives_its_connection_up(serve):
    waiting = asyncio.Event()

    async def handler(peer):
        await peer.request()
        if peer.number == 1:
            waiting.set()
            await peer.gone()
        await peer.answer(NODE)

    async def test(client, _server):
        task = asyncio.create_task(client.get(NODES, "a"))
        await waiting.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert await client.get(NODES, "b") == NODE

    assert serve(handler, test).connections == 2


def test_a_delete_names_the_one_object_in_the_one_version(serve):
    bodies = []

    async def handler(peer):
        line, _, body = await peer.request()
        bodies.append((line, json.loads(body)))
        await peer.answer({"kind": "Status"})

    async def test(client, _server):
        await client.delete(RESOURCE_SLICES, {"metadata": {"name": "s", "uid": "u", "resourceVersion": "4"}})

    serve(handler, test)
    ((line, options),) = bodies
    assert line.startswith("DELETE /apis/resource.k8s.io/v1/resourceslices/s ")
    assert options["preconditions"] == {"uid": "u", "resourceVersion": "4"}


def test_a_duplicate_key_stays_visible_where_it_is_asked_for(serve):
    async def handler(peer):
        await peer.request()
        body = b'{"metadata": {"name": "c", "uid": "u", "resourceVersion": "1"}, "spec": {"a": 1, "a": 2}}'
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async def test(client, _server):
        assert duplicate_key(await client.get(RESOURCE_CLAIMS, "c", "ns", decode=load_json)) == "a"

    serve(handler, test)


@pytest.mark.parametrize(
    ("version", "expected"), [({"major": "1", "minor": "34+"}, (1, 34)), ({"major": "1", "minor": "35"}, (1, 35))]
)
def test_the_servers_version_is_two_numbers(serve, version, expected):
    async def handler(peer):
        await peer.request()
        await peer.answer(version)

    async def test(client, _server):
        assert await client.server_version() == expected

    serve(handler, test)
