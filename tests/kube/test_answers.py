"""What the client makes of answers: refusals, and what no API server would say."""

from __future__ import annotations

import pytest
from drakit.kube.client import NODES, ApiError, ApiUnreachable

NODE = {"metadata": {"name": "node-1", "uid": "u-1", "resourceVersion": "7"}}


def test_a_refusal_carries_what_the_status_says(serve):
    async def handler(peer):
        await peer.request()
        status = {"kind": "Status", "reason": "Conflict", "message": "the object has been modified", "code": 409}
        await peer.answer(status, "409 Conflict")

    async def test(client, _server):
        with pytest.raises(ApiError, match="409 Conflict: the object has been modified") as caught:
            await client.replace(NODES, NODE)
        assert (caught.value.status, caught.value.reason, caught.value.retry_after) == (409, "Conflict", None)

    serve(handler, test)


@pytest.mark.parametrize(
    ("headers", "details", "expected"),
    [
        ("Retry-After: 7\r\n", {}, 7.0),
        ("", {"retryAfterSeconds": 3}, 3.0),
        ("Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n", {}, None),
        ("Retry-After: -5\r\n", {}, 0.0),
        ("", ["later"], None),
        ("", {"retryAfterSeconds": ["later"]}, None),
    ],
)
def test_a_server_that_asks_for_patience_is_heard(serve, headers, details, expected):
    async def handler(peer):
        await peer.request()
        await peer.answer({"kind": "Status", "details": details}, "429 Too Many Requests", headers)

    async def test(client, _server):
        with pytest.raises(ApiError) as caught:
            await client.get(NODES, "node-1")
        assert (caught.value.status, caught.value.retry_after) == (429, expected)

    serve(handler, test)


def test_a_refusal_in_plain_text_is_shown(serve):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 11\r\n\r\nno upstream")

    async def test(client, _server):
        with pytest.raises(ApiError, match="502 Unknown: no upstream"):
            await client.get(NODES, "node-1")

    serve(handler, test)


CALLS = {
    "get": lambda client: client.get(NODES, "node-1"),
    "list": lambda client: client.list(NODES),
    "create": lambda client: client.create(NODES, NODE),
    "replace": lambda client: client.replace(NODES, NODE),
    "server_version": lambda client: client.server_version(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    "answer", [{}, [], None, "fine", {"metadata": []}, {"metadata": {"resourceVersion": "1"}, "items": {}}], ids=repr
)
def test_an_answer_that_is_no_object_of_the_api_is_an_error(serve, call, answer):
    async def handler(peer):
        await peer.request()
        await peer.answer(answer)

    async def test(client, _server):
        with pytest.raises(ApiUnreachable, match="the answer"):
            await call(client)

    serve(handler, test)


def test_a_list_of_what_are_no_objects_is_an_error_and_one_without_any_is_none(serve):
    async def handler(peer):
        for items in ([{}], None, []):
            await peer.request()
            await peer.answer({"metadata": {"resourceVersion": "1"}, "items": items})

    async def test(client, _server):
        with pytest.raises(ApiUnreachable, match="not an object of the API"):
            await client.list(NODES)
        for _ in range(2):
            assert not (await client.list(NODES))["items"]

    serve(handler, test)
