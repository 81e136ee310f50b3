"""The publisher against an API server that fails, refuses, forgets and drops as real ones do."""

from __future__ import annotations

import pytest
from drakit.kube.pace import Timing
from drakit.model import Device, Taint

NODE = "node-1"
PATIENT = Timing(first_backoff=300, most_backoff=300)


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


def test_a_watch_that_is_cut_or_expired_misses_nothing(server, pool_of, publishing, run):
    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await publisher.until_current()
            for disturb in (server.drop_connections, server.expire_watches) * 2:
                disturb()
                server.delete("ResourceSlice", server.list("ResourceSlice")[0]["metadata"]["name"])
                await server.until(lambda server: server.published() == ["gpu-0"])

    run(test)


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


def test_a_server_without_resource_slices_is_too_old(server, pool_of, publishing, run):
    async def test():
        server.fail(next=1, status=404, method="GET")
        async with publishing(server, pool_of("gpu-0"), timing=PATIENT) as publisher:
            await publisher.until_told("Kubernetes 1.34 or later is needed")

    run(test)
