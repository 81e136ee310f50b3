"""The publisher against an API server that fails, refuses, forgets and drops as real ones do."""

from __future__ import annotations

import asyncio
import logging

import pytest
from drakit.kube.pace import Timing
from drakit.model import CounterConsumption, CounterSet, Device, Taint

NODE = "node-1"
PATIENT = Timing(first_backoff=300, most_backoff=300)


@pytest.mark.reliability(
    fault="The API server drops fields that are behind a feature gate that is off",
    injected="the in-memory API server drops taints",
    promise="the slices are published without, the gate is named, and nothing is written again and again",
)
def test_dropped_fields_are_adopted_reported_and_not_written_again(server, pool_of, publishing, run):
    server.drops("taints")

    async def test():
        pool = pool_of(Device("gpu-0", taints=(Taint("example.com/hot"),)))
        async with publishing(server, pool) as publisher:
            await publisher.until_current()
            (report,) = publisher.status.dropped
            assert "devices[0].taints of slice 0 of pool node-1" in report
            assert "DRADeviceTaints" in report
            publisher.verify()
            await server.until(lambda server: len([p for _, p in server.requests if "?fieldSelector" in p]) == 2)
            publisher.desired([pool_of("gpu-1")])
            await server.until(lambda server: server.published() == ["gpu-1"])
            await publisher.until(lambda status: not status.dropped)

    run(test)
    assert server.writes() == ["POST", "PUT"]


def watches(server) -> int:
    return sum("watch=true" in path for _, path in server.requests)


@pytest.mark.reliability(
    fault="A feature gate is turned on while slices are published without what is behind it",
    injected="the in-memory API server drops taints, then keeps them and cuts its connections, as by a restart",
    promise="each slice is written once more in the same generation, whole, and nothing is reported any longer",
)
def test_what_was_dropped_is_published_when_the_gate_comes_on_later(server, large, pool_of, publishing, run):
    server.drops("taints")

    def taints() -> int:
        return sum(len(d.get("taints", ())) for s in server.list("ResourceSlice") for d in s["spec"]["devices"])

    async def test():
        hot = [Device(f"gpu-{index}", taints=(Taint("example.com/hot"),)) for index in range(100)]
        async with publishing(server, pool_of(*hot)) as publisher:
            await publisher.until_current()
            assert len(publisher.status.dropped) == 2
            server.keeps("taints")
            server.drop_connections()
            await publisher.until(lambda status: status.current and not status.dropped)
            assert taints() == 100
            assert publisher.status.generations == {NODE: 1}

    run(test)
    assert server.writes() == ["POST", "POST", "PUT", "PUT"]


def test_what_is_still_dropped_is_offered_once_however_often_connections_are_cut(server, pool_of, publishing, run):
    server.drops("taints")

    async def test():
        async with publishing(server, pool_of(Device("gpu-0", taints=(Taint("example.com/hot"),)))) as publisher:
            await publisher.until_current()
            version = server.resource_version
            server.drop_connections()
            await server.until(lambda server: server.writes() == ["POST", "PUT"])
            for _ in range(3):
                before = watches(server)
                server.drop_connections()
                await server.until(lambda server, before=before: watches(server) > before)
            assert server.resource_version == version  # what changes nothing is not heard of
            await publisher.until_current()
            assert len(publisher.status.dropped) == 1
            server.delete("ResourceSlice", server.list("ResourceSlice")[0]["metadata"]["name"])
            await server.until(lambda server: server.published() == ["gpu-0"])

    run(test)
    assert server.writes() == ["POST", "PUT", "POST"]


@pytest.mark.parametrize("how", ["created", "replaced"])
def test_a_slice_that_is_written_is_written_whole_whatever_was_dropped_of_it_before(
    server, pool_of, publishing, run, how
):
    server.drops("taints")

    async def test():
        async with publishing(server, pool_of(Device("gpu-0", taints=(Taint("example.com/hot"),)))) as publisher:
            await publisher.until_current()
            server.keeps("taints")
            (document,) = server.list("ResourceSlice")
            if how == "created":
                server.delete("ResourceSlice", document["metadata"]["name"])
            else:
                document["spec"]["devices"] = [{"name": "forged"}]
                server.replace(document)
            await publisher.until(lambda status: not status.dropped)

    run(test)
    (document,) = server.list("ResourceSlice")
    assert [taint["key"] for taint in document["spec"]["devices"][0]["taints"]] == ["example.com/hot"]


@pytest.mark.reliability(
    fault="The API server is upgraded from 1.34 to 1.35 or later, or set back, under a pool with counters",
    injected="the in-memory API server becomes another release, and slices of the old layout are then invalid (422)",
    promise="its version is asked again, and the pool is published in the other layout at once",
)
@pytest.mark.parametrize(("before", "after"), [("v1.34.2", "v1.35.0"), ("v1.36.0", "v1.34.2")])
def test_a_pool_with_counters_is_laid_out_anew_for_another_release(serving, pool_of, publishing, run, before, after):
    def partitioned(name):
        consumes = (CounterConsumption("gpu-0", {"memory": "10Gi"}),)
        return pool_of(Device(name, consumes=consumes), counters=[CounterSet("gpu-0", {"memory": "80Gi"})])

    async def test():
        async with publishing(server, partitioned("part-0")) as publisher:
            await publisher.until_current()
            server.upgrade(after)
            publisher.desired([partitioned("part-1")])
            await server.until(lambda server: server.published() == ["part-1"])
            await publisher.until_current()
            assert publisher.status.errors == ()

    with serving(before) as server:
        run(test)


def test_counters_that_are_invalid_in_every_layout_rest(server, pool_of, publishing, run):
    async def test():
        counters = [CounterSet("gpu-0", {"memory": "80Gi"})]
        async with publishing(server) as publisher:
            await server.until(watches)
            server.fail(next=1, status=422, method="POST")
            publisher.desired([pool_of("part-0", counters=counters)])
            assert "is tried again in 300 s" in await publisher.until_told(f"refuses pool {NODE}:")

    run(test)
    assert server.writes() == ["POST"]


@pytest.mark.reliability(
    fault="The API server calls the slices of one pool invalid (422)",
    injected="one POST is answered so",
    promise="the pool is tried again in five minutes or when it changes; the others are published",
)
def test_what_the_server_calls_invalid_rests_until_it_changes_and_costs_no_other_pool(server, pool_of, publishing, run):
    async def test():
        async with publishing(server) as publisher:
            await server.until(lambda server: any("watch=true" in path for _, path in server.requests))
            server.fail(next=1, status=422, method="POST")
            publisher.desired([pool_of("gpu-0"), pool_of("gpu-9", pool=f"{NODE}/x")])
            assert "is tried again in 300 s" in await publisher.until_told(f"refuses pool {NODE}:")
            await server.until(lambda server: server.published() == ["gpu-9"])
            assert server.writes() == ["POST", "POST"]
            publisher.desired([pool_of("gpu-1"), pool_of("gpu-9", pool=f"{NODE}/x")])
            await publisher.until_current()

    run(test)
    assert server.writes() == ["POST", "POST", "POST"]


def test_a_refused_pool_is_tried_again_by_itself(server, pool_of, publishing, run):
    async def test():
        server.fail(next=2, status=422, method="POST")
        async with publishing(server, pool_of("gpu-0"), timing=Timing(settle=0.01, refused=0.05)) as publisher:
            await publisher.until_current()

    run(test)
    assert server.published() == ["gpu-0"]


@pytest.mark.reliability(
    fault="The API server answers 409, 429 or 5xx",
    injected="so it answers three times, to reads and to writes of each kind",
    promise="publishing is tried again with full jitter, and comes to its end",
)
@pytest.mark.parametrize("status", [409, 429, 500, 503, 504])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_failures_of_the_server_are_outlived(server, large, publishing, run, status, method):
    async def test():
        server.fail(next=3, status=status, method=method)
        async with publishing(server, large(200)) as publisher:
            await server.until(lambda server: len(server.published() or ()) == 200)
            publisher.desired([large(10)])
            await server.until(lambda server: len(server.published() or ()) == 10)
            await publisher.until_current()
            assert publisher.status.errors == ()

    run(test)


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
    fault="The API server asks for patience (Retry-After)",
    injected="a POST is answered with 429 and one second",
    promise="nothing is sent before the time that the server gave",
)
def test_what_the_server_gives_as_retry_after_is_waited_for(server, pool_of, publishing, run):
    async def test():
        server.fail(status=429, retry_after=1, method="POST")
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await server.until(lambda server: server.writes() == ["POST"])
            clock = asyncio.get_running_loop().time
            began = clock()
            await publisher.until_current()
            assert clock() - began > 0.8

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


def test_a_missing_node_is_named_and_waited_for(server, pool_of, publishing, run):
    server.delete("Node", NODE)

    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            assert "check NODE_NAME" in await publisher.until_told("there is no Node 'node-1'")
            server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
            await server.until(lambda server: server.published() == ["gpu-0"])

    run(test)


def test_a_refusal_of_permission_says_which_to_give(server, pool_of, publishing, run):
    async def test():
        server.fail(next=1, status=403, method="POST")
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await publisher.until_current()
        server.fail(next=1, status=403, method="GET")
        async with publishing(server, pool_of("gpu-0"), timing=PATIENT) as publisher:
            assert "allow the driver's service account" in await publisher.until_told("403 Forbidden")

    run(test)


def test_a_refusal_of_one_pool_does_not_hold_up_the_others(server, pool_of, publishing, run):
    async def test():
        async with publishing(server, timing=PATIENT) as publisher:
            await server.until(lambda server: any("watch=true" in path for _, path in server.requests))
            server.fail(next=1, status=403, method="POST")
            publisher.desired([pool_of("gpu-0"), pool_of("gpu-9", pool=f"{NODE}/x")])
            await publisher.until_told("403 Forbidden")
            assert server.published() == ["gpu-9"]

    run(test)


@pytest.mark.reliability(
    fault="The API server refuses to delete slices that nobody wants any more",
    injected="every DELETE is answered with 403",
    promise="what is wanted is published all the same, the missing permission is named, and it is tried again",
)
def test_a_deletion_that_is_refused_does_not_hold_up_what_is_to_be_published(server, pool_of, publishing, run):
    async def test():
        async with publishing(server, pool_of("gpu-0", pool="old")) as publisher:
            await publisher.until_current()
            server.fail(next=3, status=403, method="DELETE")
            publisher.desired([pool_of("gpu-0")])
            assert "allow the driver's service account" in await publisher.until_told("403 Forbidden")
            assert publisher.status.generations == {NODE: 1}
            assert not publisher.status.current
            await server.until(lambda server: len(server.list("ResourceSlice")) == 1)
            await publisher.until_current()

    run(test)
    assert server.published() == ["gpu-0"]


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


def test_a_server_without_resource_slices_is_too_old(server, pool_of, publishing, run):
    async def test():
        server.fail(next=1, status=404, method="GET")
        async with publishing(server, pool_of("gpu-0"), timing=PATIENT) as publisher:
            await publisher.until_told("Kubernetes 1.34 or later is needed")

    run(test)
