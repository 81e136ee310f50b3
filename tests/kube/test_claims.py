"""Reading the claim that the kubelet means, and no other."""

from __future__ import annotations

import asyncio

import pytest
from drakit.errors import ClaimError, describe
from drakit.kube.claims import MAX_READS, ClaimGone, ClaimReader, ClaimUnreadable
from drakit.model import ClaimRef

CLAIM = ClaimRef("u-1", "team-a", "gpus")


def claim_document(uid: str) -> dict:
    return {"metadata": {"name": "gpus", "namespace": "team-a", "uid": uid, "resourceVersion": "7"}}


def reading(serve, handler, expect, **options):
    async def test(client, server):
        with pytest.raises((ClaimGone, ClaimUnreadable)) as caught:
            await ClaimReader(client, **options).read(CLAIM)
        expect(caught.value, server)

    return serve(handler, test)


def test_a_claim_is_one_get(serve):
    seen = []

    async def handler(peer):
        while True:
            seen.append((await peer.request())[0])
            await peer.answer(claim_document("u-1"))

    async def test(client, _server):
        assert await ClaimReader(client).read(CLAIM) == claim_document("u-1")

    serve(handler, test)
    assert seen == ["GET /apis/resource.k8s.io/v1/namespaces/team-a/resourceclaims/gpus HTTP/1.1"]


def test_a_claim_of_another_uid_is_gone_and_both_are_named(serve):
    async def handler(peer):
        await peer.request()
        await peer.answer(claim_document("u-2"))

    def expect(error, _server):
        assert isinstance(error, ClaimGone)
        assert isinstance(error, ClaimError)
        assert all(part in describe(error) for part in ("team-a/gpus", "u-1", "u-2", "replaced"))

    reading(serve, handler, expect)


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        ("404 Not Found", ClaimGone, "was deleted"),
        ("403 Forbidden", ClaimUnreadable, "allow the driver's service account to get resourceclaims"),
        ("500 Internal Server Error", ClaimUnreadable, "not today"),
        ("429 Too Many Requests", ClaimUnreadable, "not today"),
    ],
)
def test_a_refusal_says_what_is_known_and_what_to_do(serve, status, kind, told):
    async def handler(peer):
        await peer.request()
        reason = "".join(status.split()[1:])
        await peer.answer({"kind": "Status", "message": "not today", "reason": reason}, status)

    def expect(error, _server):
        assert type(error) is kind
        assert told in describe(error)

    reading(serve, handler, expect)


@pytest.mark.reliability(
    fault="The API server has too much to do (429, or 503, with Retry-After)",
    injected="the first reads of a claim are answered so",
    promise="the claim is read again when the server says, and the pod's start does not fail",
)
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_server_that_asks_for_patience_is_asked_again_within_the_bound(serve, status):
    times = []

    async def handler(peer):
        while True:
            await peer.request()
            times.append(asyncio.get_running_loop().time())
            if len(times) == 1:
                await peer.answer({"kind": "Status"}, status, "Retry-After: 1\r\n")
            else:
                await peer.answer(claim_document("u-1"))

    async def test(client, _server):
        assert await ClaimReader(client).read(CLAIM) == claim_document("u-1")

    serve(handler, test)
    assert times[1] - times[0] >= 1


def test_a_server_that_asks_for_more_patience_than_there_is_is_told_of_at_once(serve):
    async def handler(peer):
        await peer.request()
        await peer.answer({"kind": "Status", "message": "later"}, "429 Too Many Requests", "Retry-After: 3600\r\n")
        await peer.gone()

    async def test(client, _server):
        with pytest.raises(ClaimUnreadable, match="later"):
            await ClaimReader(client).read(CLAIM)

    serve(handler, test)


def test_a_path_that_is_not_served_says_nothing_of_the_claim(serve):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 18\r\n\r\n404 page not found")

    def expect(error, _server):
        assert type(error) is ClaimUnreadable
        assert "does not serve resource.k8s.io/v1 just now (404 page not found)" in describe(error)

    reading(serve, handler, expect)


@pytest.mark.parametrize("answer", [{}, [], None, {"metadata": {"name": "gpus"}}], ids=repr)
def test_an_answer_that_is_no_claim_says_nothing_of_the_claim(serve, answer):
    async def handler(peer):
        await peer.request()
        await peer.answer(answer)

    def expect(error, _server):
        assert type(error) is ClaimUnreadable

    reading(serve, handler, expect)


def test_a_silent_server_is_waited_for_within_the_bound(serve):
    async def handler(peer):
        await peer.request()
        await peer.gone()

    def expect(error, server):
        assert isinstance(error, ClaimUnreadable)
        assert f"{server.url} did not answer within 0.2 s" in describe(error)

    reading(serve, handler, expect, timeout_seconds=0.2)


def test_the_bound_holds_for_those_that_wait_for_others_too(serve):
    async def handler(peer):
        await peer.request()
        await peer.gone()

    async def test(client, _server):
        reader = ClaimReader(client, timeout_seconds=0.5)
        reads = [reader.read(CLAIM) for _ in range(3 * MAX_READS)]
        answers = await asyncio.gather(*reads, return_exceptions=True)
        assert all(isinstance(answer, ClaimUnreadable) for answer in answers)

    serve(handler, test)


def test_hundreds_of_reads_are_made_so_many_at_a_time(serve):
    waiting: list[asyncio.Event] = []

    async def handler(peer):
        while True:
            await peer.request()
            assert len(waiting) < MAX_READS
            answered = asyncio.Event()
            waiting.append(answered)
            if len(waiting) == MAX_READS:
                while waiting:
                    waiting.pop().set()
            await answered.wait()
            await peer.answer(claim_document("u-1"))

    async def test(client, _server):
        reader = ClaimReader(client)
        await asyncio.gather(*(reader.read(CLAIM) for _ in range(10 * MAX_READS)))

    assert serve(handler, test).connections == MAX_READS
