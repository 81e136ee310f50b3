"""The publisher against an API server that drops fields, calls slices invalid, fails and refuses as real ones do."""

from __future__ import annotations

import asyncio

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
            await server.until(lambda server: _taints(server) == ["example.com/hot"])
            await publisher.until(lambda status: not status.dropped)

    run(test)


def _taints(server):
    """Of the first device of every slice."""
    devices = [document["spec"]["devices"][0] for document in server.list("ResourceSlice")]
    return [taint["key"] for device in devices for taint in device.get("taints", ())]


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


def test_a_server_without_resource_slices_is_too_old(server, pool_of, publishing, run):
    async def test():
        server.fail(next=1, status=404, method="GET")
        async with publishing(server, pool_of("gpu-0"), timing=PATIENT) as publisher:
            await publisher.until_told("Kubernetes 1.34 or later is needed")

    run(test)
