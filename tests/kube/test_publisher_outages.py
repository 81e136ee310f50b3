"""The publisher against an API server that is away, silent or set back, and connections and watches that are cut."""

from __future__ import annotations

import logging

import pytest
from drakit.kube.pace import Timing

NODE = "node-1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("how", ["cut", "garble"])
@pytest.mark.reliability(
    fault="A connection is reset within an answer, or a proxy garbles the answer",
    injected="the in-memory API server does so three times, to reads and to writes of each kind",
    promise="nothing is taken for what it is not, and no slice is left twice or halfway",
)
def test_answers_that_are_cut_or_garbled_are_outlived(server, large, publishing, run, how, method):
    async def test():
        getattr(server, how)(next=3, method=method)
        async with publishing(server, large(200)) as publisher:
            await server.until(lambda server: len(server.published() or ()) == 200)
            publisher.desired([large(10)])
            await server.until(lambda server: len(server.published() or ()) == 10)
            await publisher.until_current()
            assert publisher.status.errors == ()

    run(test)


@pytest.mark.reliability(
    fault="The API server vanishes without a word: connections stay open, and nothing comes",
    injected="the in-memory API server accepts, and says nothing any more",
    promise="watches and requests are given up within their bounds and made anew; what was missed is repaired",
)
def test_a_server_that_is_silent_is_given_up_and_looked_for_again(server, pool_of, publishing, run):
    def lists(server) -> int:
        return sum("?fieldSelector" in path and f"nodeName%3D{NODE}" in path for _, path in server.requests)

    async def test():
        timing = Timing(settle=0.01, verify=1, first_backoff=0.01, most_backoff=0.1)
        async with publishing(server, pool_of("gpu-0"), timing=timing, timeout_seconds=0.3) as publisher:
            await publisher.until_current()
            server.pause(refuse=False)
            before = lists(server)
            await server.until(lambda server: lists(server) > before + 1)
            server.delete("ResourceSlice", server.list("ResourceSlice")[0]["metadata"]["name"])
            server.resume()
            await server.until(lambda server: server.published() == ["gpu-0"])

    run(test)


@pytest.mark.reliability(
    fault="The API server is restored from a backup: resource versions go back, deleted slices are there again",
    injected="the in-memory API server is set back to before a pool shrank and another was renamed",
    promise="slices are as they should be at once, without a restart and without waiting for a verification",
)
def test_a_server_restored_from_a_backup_is_put_right_at_once(server, large, pool_of, publishing, run):
    def pools(server) -> set[str]:
        return {document["spec"]["pool"]["name"] for document in server.list("ResourceSlice")}

    async def test():
        async with publishing(server, large(300), pool_of("a", pool="old")) as publisher:
            await publisher.until_current()
            backup = server.backup()
            publisher.desired([large(10), pool_of("a", pool="new")])
            await server.until(lambda server: pools(server) == {NODE, "new"} and len(server.list("ResourceSlice")) == 2)
            await publisher.until_current()
            server.restore(backup)
            await server.until(lambda server: pools(server) == {NODE, "new"} and len(server.list("ResourceSlice")) == 2)
            await publisher.until_current()

    run(test)


@pytest.mark.reliability(
    fault="The API server is away, for however long",
    injected="connections are refused while what is desired changes twice",
    promise="the last wish is published as soon as the server is back",
)
def test_an_outage_of_any_length_is_outlived_and_the_last_wish_counts(server, pool_of, publishing, run):
    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await publisher.until_current()
            server.pause()
            publisher.desired([pool_of("gpu-1")])
            await publisher.until_told("cannot be reached")
            publisher.desired([pool_of("gpu-2")])
            server.resume()
            await server.until(lambda server: server.published() == ["gpu-2"])
            await publisher.until_current()

    run(test)


def test_a_server_that_is_down_at_first_is_waited_for(server, pool_of, publishing, run):
    async def test():
        server.pause()
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await publisher.until_told("cannot be reached")
            server.resume()
            await server.until(lambda server: server.published() == ["gpu-0"])

    run(test)


@pytest.mark.reliability(
    fault="The answer to a write is lost, and with it whether it was made",
    injected="POSTs hang past their bound and are carried out later, all of them",
    promise="one slice is left, and the pool is complete",
)
def test_creates_whose_answers_are_lost_do_not_leave_two_slices(server, pool_of, publishing, run):
    async def test():
        server.hang(next=1000, method="POST")
        async with publishing(server, pool_of("gpu-0"), timeout_seconds=0.3) as publisher:
            await publisher.until_told("did not answer in time")
            await server.until(lambda server: server.writes().count("POST") >= 2)
            server.release()
            await server.until(
                lambda server: server.published() == ["gpu-0"] and len(server.list("ResourceSlice")) == 1
            )
            await publisher.until_current()

    run(test)


@pytest.mark.reliability(
    fault="A watch is cut, or its version is too old (410 Gone)",
    injected="connections are dropped and the history is forgotten, each while a slice is deleted",
    promise="slices are listed again, and what was missed is repaired",
)
def test_a_watch_that_is_cut_or_expired_misses_nothing(server, pool_of, publishing, run):
    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await publisher.until_current()
            for disturb in (server.drop_connections, server.expire_watches) * 2:
                disturb()
                server.delete("ResourceSlice", server.list("ResourceSlice")[0]["metadata"]["name"])
                await server.until(lambda server: server.published() == ["gpu-0"])

    run(test)


@pytest.mark.reliability(
    fault="The agent may list slices and may not watch them",
    injected="every watch is answered with 403",
    promise="it is said once, with the permission that is missing; slices are repaired by listing them",
)
def test_a_watch_that_is_denied_is_told_once_and_made_good_by_lists(server, pool_of, publishing, run, caplog):
    async def test():
        server.fail(next=10_000, status=403, path_contains="watch=true")
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await publisher.until_current()
            server.delete("ResourceSlice", server.list("ResourceSlice")[0]["metadata"]["name"])
            await server.until(lambda server: server.published() == ["gpu-0"])
            await server.until(lambda server: sum("watch=true" in path for _, path in server.requests) > 5)

    with caplog.at_level(logging.WARNING):
        run(test)
    (told,) = [record for record in caplog.records if "watched again" in record.message]
    assert "403 Forbidden" in told.message
    assert "allow the driver's service account" in told.message


def test_verification_repairs_what_the_watch_did_not_tell(server, pool_of, publishing, run):
    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await publisher.until_current()
            server.pause(refuse=False)
            server.delete("ResourceSlice", server.list("ResourceSlice")[0]["metadata"]["name"])
            server.resume()
            publisher.verify()
            await server.until(lambda server: server.published() == ["gpu-0"])

    run(test)


def test_publishing_that_was_stopped_halfway_is_brought_to_its_end_when_it_goes_on(server, large, publishing, run):
    async def test():
        async with publishing(server, large(10)) as publisher:
            await publisher.until_current()
            server.hang(method="POST")
            publisher.desired([large(300)])
            await server.until(lambda server: server.writes() == ["POST", "PUT", "POST"])
        assert server.published() is None
        async with publishing(server, again=publisher):
            await server.until(lambda server: len(server.published() or ()) == 300)

    run(test)
