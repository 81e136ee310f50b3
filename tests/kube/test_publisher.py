"""The publisher against a real HTTP server that behaves as the API server does, and fails as it does."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from drakit.errors import PublishError
from drakit.kube.client import KubeClient
from drakit.kube.credentials import Credentials
from drakit.kube.pace import Timing
from drakit.kube.publisher import SlicePublisher
from drakit.model import (
    ALL_NODES,
    CounterConsumption,
    CounterSet,
    Device,
    ResolvedPool,
    Taint,
)
from drakit.testing.apiserver import InMemoryApiServer

DRIVER, NODE = "gpu.example.com", "node-1"
PATIENT = Timing(first_backoff=300, most_backoff=300)
QUICK = Timing(settle=0.01, verify=300, first_backoff=0.01, most_backoff=0.1, refused=300)


@pytest.fixture
def server():
    with InMemoryApiServer() as server:
        for name in (NODE, "node-0", "node-2"):
            server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        yield server


def pool_of(*names, pool=NODE, **more) -> ResolvedPool:
    devices = [name if isinstance(name, Device) else Device(name) for name in names]
    return ResolvedPool(driver=DRIVER, name=pool, devices=devices, **more)


def large(count: int, **more) -> ResolvedPool:
    return pool_of(*(Device(f"gpu-{index}", **more) for index in range(count)))


def published(server) -> list[str] | None:
    """The devices that consumers see, or None while the pool of this node is absent or incomplete."""
    specs = [document["spec"] for document in server.list("ResourceSlice")]
    newest = max((spec["pool"]["generation"] for spec in specs), default=0)
    specs = [spec for spec in specs if spec["pool"]["generation"] == newest]
    if not specs or any(spec["pool"]["resourceSliceCount"] != len(specs) for spec in specs):
        return None
    return [device["name"] for spec in specs for device in spec.get("devices") or ()]


def writes(server) -> list[str]:
    return [method for method, _ in server.requests if method != "GET"]


async def until(server, predicate, seconds: float = 20.0):
    """Wait for the server to be as `predicate(server)` wants; it is asked off the loop, at every change."""
    return await asyncio.to_thread(server.wait_for, predicate, seconds)


async def eventually(condition, seconds: float = 20.0):
    """Wait for something of the publisher's, which lives in this loop and tells nobody when it changes."""
    async with asyncio.timeout(seconds):
        while not (answer := condition()):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)
    return answer


async def current(publisher) -> None:
    await eventually(lambda: publisher.status.current)


async def told(publisher, text: str) -> str:
    return await eventually(lambda: next((error for error in publisher.status.errors if text in error), None))


@contextlib.asynccontextmanager
async def publishing(server, *pools, node=NODE, timing=QUICK, timeout_seconds=5.0):
    client = KubeClient(Credentials(server=server.url), timeout_seconds=timeout_seconds)
    publisher = SlicePublisher(client, DRIVER, node, timing=timing)
    if pools:
        publisher.desired(pools)
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await client.close()


def run(test) -> None:
    async def bounded():
        async with asyncio.timeout(60):
            await test()

    asyncio.run(bounded())


def test_a_pool_is_published_and_owned_by_the_node(server):
    async def test():
        async with publishing(server, pool_of("gpu-0", "gpu-1")) as publisher:
            await current(publisher)
            await until(server, lambda server: any("watch=true" in path for _, path in server.requests))
            assert publisher.status.generations == {NODE: 1}

    run(test)
    (document,) = server.list("ResourceSlice")
    (owner,) = document["metadata"]["ownerReferences"]
    assert owner["uid"] == server.get("Node", NODE)["metadata"]["uid"]
    assert document["metadata"]["name"].startswith(f"00000-{DRIVER}-{NODE}-")
    assert [device["name"] for device in document["spec"]["devices"]] == ["gpu-0", "gpu-1"]
    assert document["spec"]["nodeName"] == NODE
    # One list, one watch, the Node, one slice.
    assert [method for method, _ in server.requests].count("GET") == 3
    assert writes(server) == ["POST"]


def test_nothing_is_written_before_anything_is_desired(server):
    async def test():
        async with publishing(server) as publisher:
            await until(server, lambda server: any("watch=true" in path for _, path in server.requests))
            assert not publisher.status.current
            publisher.desired([pool_of("gpu-0")])
            await until(server, lambda server: published(server) == ["gpu-0"])

    run(test)
    assert writes(server) == ["POST"]


def test_an_empty_pool_is_one_empty_slice_and_no_pool_is_none(server):
    async def test():
        async with publishing(server, pool_of()) as publisher:
            await until(server, lambda server: published(server) == [])
            publisher.desired([])
            await until(server, lambda server: not server.list("ResourceSlice"))

    run(test)


def test_slices_stay_when_the_publisher_stops_and_a_restart_writes_nothing(server):
    async def test():
        async with publishing(server, large(200)) as publisher:
            await current(publisher)
        before = len(server.requests)
        async with publishing(server, large(200)) as publisher:
            await current(publisher)
        assert [method for method, _ in server.requests[before:]] == ["GET"] * (len(server.requests) - before)

    run(test)
    assert writes(server) == ["POST", "POST"]


def test_one_changed_slice_is_one_put_and_more_are_a_new_generation(server):
    def change(index, count=200):
        devices = [Device(f"gpu-{i}", attributes={"ok": i not in index}) for i in range(count)]
        return pool_of(*devices)

    async def test():
        async with publishing(server, change([])) as publisher:
            await current(publisher)
            publisher.desired([change([150])])
            await until(server, lambda server: writes(server)[2:] == ["PUT"])
            assert publisher.status.generations == {NODE: 1}
            publisher.desired([change([3, 151])])
            await until(server, lambda server: writes(server)[3:] == ["PUT", "PUT"])
            await until(server, lambda server: published(server) is not None)

    run(test)
    assert {document["spec"]["pool"]["generation"] for document in server.list("ResourceSlice")} == {2}


def test_a_burst_of_changes_is_written_once(server):
    async def test():
        async with publishing(server, pool_of("gpu-0"), timing=Timing(settle=0.2)) as publisher:
            await current(publisher)
            for number in range(50):
                publisher.desired([pool_of(f"gpu-{number}")])
                await asyncio.sleep(0)
            await until(server, lambda server: published(server) == ["gpu-49"])

    run(test)
    assert writes(server) == ["POST", "PUT"]


def test_what_the_kubelet_or_anyone_deletes_comes_back(server):
    async def test():
        async with publishing(server, large(200)) as publisher:
            await current(publisher)
            for document in server.list("ResourceSlice"):
                server.delete("ResourceSlice", document["metadata"]["name"])
            await until(server, lambda server: len(published(server) or ()) == 200)
            server.delete("ResourceSlice", server.list("ResourceSlice")[0]["metadata"]["name"])
            await until(server, lambda server: len(published(server) or ()) == 200)

    run(test)


def test_what_others_change_or_add_is_repaired(server):
    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await current(publisher)
            (document,) = server.list("ResourceSlice")
            document["spec"]["devices"] = [{"name": "forged"}]
            server.replace(document)
            await until(server, lambda server: published(server) == ["gpu-0"])
            stray = {key: value for key, value in document.items() if key != "metadata"}
            server.create({**stray, "metadata": {"name": "00000-stray"}})
            await until(server, lambda server: len(server.list("ResourceSlice")) == 1)
            await until(server, lambda server: published(server) == ["gpu-0"])

    run(test)


def test_a_repair_finds_the_node_that_came_back_as_another(server):
    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await current(publisher)
            server.delete("Node", NODE)
            server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
            server.delete("ResourceSlice", server.list("ResourceSlice")[0]["metadata"]["name"])
            await until(server, lambda server: published(server) == ["gpu-0"])

    run(test)
    (document,) = server.list("ResourceSlice")
    assert document["metadata"]["ownerReferences"][0]["uid"] == server.get("Node", NODE)["metadata"]["uid"]


def test_pools_of_other_drivers_and_nodes_are_left_alone(server):
    for driver, node in (("nic.example.com", NODE), (DRIVER, "node-2")):
        spec = {"driver": driver, "nodeName": node, "devices": [{"name": "d"}]}
        spec["pool"] = {"name": node, "generation": 1, "resourceSliceCount": 1}
        metadata = {"name": f"other-{driver}-{node}"}
        server.create({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": metadata, "spec": spec})

    async def test():
        async with publishing(server, pool_of("gpu-0"), pool_of("x", pool=f"{NODE}/x")) as publisher:
            await current(publisher)
            publisher.desired([])
            await until(server, lambda server: writes(server).count("DELETE") == 2)

    run(test)
    assert len(server.list("ResourceSlice")) == 2


def test_semantic_equality_keeps_a_canonical_quantity_from_being_written_for_ever(server):
    async def test():
        pool = pool_of(Device("gpu-0", capacity={"memory": "1024Mi"}, taints=(Taint("example.com/hot"),)))
        async with publishing(server, pool) as publisher:
            await current(publisher)
            publisher.verify()
            publisher.desired([pool])
            lists = len([path for _, path in server.requests if "watch" not in path])
            await until(server, lambda server: len([p for _, p in server.requests if "watch" not in p]) > lists)
            await current(publisher)

    run(test)
    assert writes(server) == ["POST"]


def test_dropped_fields_are_adopted_reported_and_not_written_again(server):
    server.drops("taints")

    async def test():
        pool = pool_of(Device("gpu-0", taints=(Taint("example.com/hot"),)))
        async with publishing(server, pool) as publisher:
            await current(publisher)
            (report,) = publisher.status.dropped
            assert "devices[0].taints of slice 0 of pool node-1" in report
            assert "DRADeviceTaints" in report
            publisher.verify()
            await until(server, lambda server: len([p for _, p in server.requests if "?fieldSelector" in p]) == 2)
            publisher.desired([pool_of("gpu-1")])
            await until(server, lambda server: published(server) == ["gpu-1"])
            await eventually(lambda: not publisher.status.dropped)

    run(test)
    assert writes(server) == ["POST", "PUT"]


def test_what_the_server_calls_invalid_rests_until_it_changes_and_costs_no_other_pool(server):
    async def test():
        async with publishing(server) as publisher:
            await until(server, lambda server: any("watch=true" in path for _, path in server.requests))
            server.fail(next=1, status=422, method="POST")
            publisher.desired([pool_of("gpu-0"), pool_of("gpu-9", pool=f"{NODE}/x")])
            assert "is tried again in 300 s" in await told(publisher, f"refuses pool {NODE}:")
            await until(server, lambda server: published(server) == ["gpu-9"])
            assert writes(server) == ["POST", "POST"]
            publisher.desired([pool_of("gpu-1"), pool_of("gpu-9", pool=f"{NODE}/x")])
            await current(publisher)

    run(test)
    assert writes(server) == ["POST", "POST", "POST"]


def test_a_refused_pool_is_tried_again_by_itself(server):
    async def test():
        server.fail(next=2, status=422, method="POST")
        async with publishing(server, pool_of("gpu-0"), timing=Timing(settle=0.01, refused=0.05)) as publisher:
            await current(publisher)

    run(test)
    assert published(server) == ["gpu-0"]


@pytest.mark.parametrize("status", [409, 429, 500, 503, 504])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_failures_of_the_server_are_outlived(server, status, method):
    async def test():
        server.fail(next=3, status=status, method=method)
        async with publishing(server, large(200)) as publisher:
            await until(server, lambda server: len(published(server) or ()) == 200)
            publisher.desired([large(10)])
            await until(server, lambda server: len(published(server) or ()) == 10)
            await current(publisher)
            assert publisher.status.errors == ()

    run(test)


def test_an_outage_of_any_length_is_outlived_and_the_last_wish_counts(server):
    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await current(publisher)
            server.pause()
            publisher.desired([pool_of("gpu-1")])
            await told(publisher, "cannot be reached")
            publisher.desired([pool_of("gpu-2")])
            server.resume()
            await until(server, lambda server: published(server) == ["gpu-2"])
            await current(publisher)

    run(test)


def test_a_server_that_is_down_at_first_is_waited_for(server):
    async def test():
        server.pause()
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await told(publisher, "cannot be reached")
            server.resume()
            await until(server, lambda server: published(server) == ["gpu-0"])

    run(test)


def test_creates_whose_answers_are_lost_do_not_leave_two_slices(server):
    async def test():
        server.hang(next=1000, method="POST")
        async with publishing(server, pool_of("gpu-0"), timeout_seconds=0.3) as publisher:
            await told(publisher, "did not answer in time")
            await until(server, lambda server: writes(server).count("POST") >= 2)
            server.release()
            await until(
                server, lambda server: published(server) == ["gpu-0"] and len(server.list("ResourceSlice")) == 1
            )
            await current(publisher)

    run(test)


def test_a_watch_that_is_cut_or_expired_misses_nothing(server):
    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await current(publisher)
            for disturb in (server.drop_connections, server.expire_watches) * 2:
                disturb()
                server.delete("ResourceSlice", server.list("ResourceSlice")[0]["metadata"]["name"])
                await until(server, lambda server: published(server) == ["gpu-0"])

    run(test)


def test_verification_repairs_what_the_watch_did_not_tell(server):
    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await current(publisher)
            server.pause(refuse=False)
            server.delete("ResourceSlice", server.list("ResourceSlice")[0]["metadata"]["name"])
            server.resume()
            publisher.verify()
            await until(server, lambda server: published(server) == ["gpu-0"])

    run(test)


def test_a_missing_node_is_named_and_waited_for(server):
    server.delete("Node", NODE)

    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            assert "check NODE_NAME" in await told(publisher, "there is no Node 'node-1'")
            server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
            await until(server, lambda server: published(server) == ["gpu-0"])

    run(test)


def test_a_refusal_of_permission_says_which_to_give(server):
    async def test():
        server.fail(next=1, status=403, method="POST")
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await current(publisher)
        server.fail(next=1, status=403, method="GET")
        async with publishing(server, pool_of("gpu-0"), timing=PATIENT) as publisher:
            assert "allow the driver's service account" in await told(publisher, "403 Forbidden")

    run(test)


def test_a_server_without_resource_slices_is_too_old(server):
    async def test():
        server.fail(next=1, status=404, method="GET")
        async with publishing(server, pool_of("gpu-0"), timing=PATIENT) as publisher:
            await told(publisher, "Kubernetes 1.34 or later is needed")

    run(test)


def partitioned() -> ResolvedPool:
    consumes = (CounterConsumption("gpu-0", {"memory": "10Gi"}),)
    devices = [Device(f"part-{index}", consumes=consumes) for index in range(3)]
    return pool_of(*devices, counters=[CounterSet("gpu-0", {"memory": "80Gi"})])


@pytest.mark.parametrize(("version", "slices"), [("v1.34.2", 1), ("v1.35.0", 2), ("v1.37.0", 2)])
def test_the_layout_of_counters_follows_the_servers_version(version, slices):
    async def test():
        async with publishing(server, partitioned()) as publisher:
            await current(publisher)
            publisher.desired([partitioned(), pool_of("x", pool="x")])
            await until(server, lambda server: len(server.list("ResourceSlice")) == slices + 1)

    with InMemoryApiServer(git_version=version) as server:
        server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        run(test)
        found = [document for document in server.list("ResourceSlice") if document["spec"]["pool"]["name"] == NODE]
        assert len(found) == slices
        assert [path for _, path in server.requests].count("/version") == 1


def test_a_pool_without_counters_never_asks_for_the_version(server):
    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await current(publisher)

    run(test)
    assert "/version" not in [path for _, path in server.requests]


def fabric(*names) -> ResolvedPool:
    return pool_of(*names, pool="fabric", nodes=ALL_NODES)


def test_a_pool_for_all_nodes_is_published_repaired_and_taken_back(server):
    async def test():
        async with publishing(server, pool_of("gpu-0"), fabric("port-0")) as publisher:
            await current(publisher)
            assert publisher.status.generations == {NODE: 1, "fabric": 1}
            (shared,) = [item for item in server.list("ResourceSlice") if "allNodes" in item["spec"]]
            server.delete("ResourceSlice", shared["metadata"]["name"])
            await until(server, lambda server: len(server.list("ResourceSlice")) == 2)
            publisher.desired([pool_of("gpu-0")])
            await until(server, lambda server: len(server.list("ResourceSlice")) == 1)

    run(test)


def test_a_pool_that_stops_being_the_nodes_own_is_made_anew(server):
    async def test():
        async with publishing(server, pool_of("port-0", pool="fabric")) as publisher:
            await current(publisher)
            publisher.desired([fabric("port-0")])
            await until(
                server, lambda server: ["allNodes" in d["spec"] for d in server.list("ResourceSlice")] == [True]
            )
            await current(publisher)

    run(test)


def test_a_second_publisher_of_the_same_shared_pool_stands_by_and_takes_over(server):
    async def test():
        async with publishing(server, fabric("port-0")) as first:
            await current(first)
            async with publishing(server, fabric("port-0"), node="node-2") as second:
                await current(second)
                assert writes(server) == ["POST"]
                first.desired([])
                await until(server, lambda server: writes(server) == ["POST", "DELETE", "POST"])
                await until(server, lambda server: published(server) == ["port-0"])

    run(test)
    (document,) = server.list("ResourceSlice")
    assert document["metadata"]["ownerReferences"][0]["name"] == "node-2"


def test_a_shared_pool_that_another_publishes_otherwise_is_an_error_and_not_a_fight(server):
    async def test():
        async with publishing(server, fabric("port-0"), node="node-2") as other:
            await current(other)
            async with publishing(server, fabric("port-1"), pool_of("gpu-0")) as publisher:
                assert "give each node's pool a name of its own" in await told(publisher, "is published by node-2")
                await until(server, lambda server: len(server.list("ResourceSlice")) == 2)

    run(test)
    assert writes(server) == ["POST", "POST"]


def test_two_that_publish_a_shared_pool_at_once_leave_it_to_one(server):
    async def test():
        async with publishing(server, fabric("a")) as one, publishing(server, fabric("a"), node="node-0") as other:
            await current(one)
            await current(other)
            await until(server, lambda server: published(server) == ["a"])

    run(test)
    assert len(server.list("ResourceSlice")) == 1


def test_retiring_takes_away_what_is_ours_and_only_that(server):
    async def test():
        async with publishing(server, fabric("port-9"), node="node-2") as other:
            await current(other)
        async with publishing(server, pool_of("gpu-0"), pool_of("x", pool="own", nodes=ALL_NODES)) as publisher:
            await current(publisher)
            await publisher.retire()
            names = [document["spec"]["pool"]["name"] for document in server.list("ResourceSlice")]
            assert names == ["fabric"]

    run(test)


def test_two_pools_of_one_name_are_refused_at_once(server):
    async def test():
        async with publishing(server) as publisher:
            with pytest.raises(PublishError, match="two pools named 'node-1'"):
                publisher.desired([pool_of("a"), pool_of("b")])

    run(test)


def test_a_pool_that_does_not_fit_keeps_what_is_published_of_it():
    devices = [Device(f"d{i}", consumes=(CounterConsumption("c", {"n": 1}),)) for i in range(130)]
    too_large = pool_of(*devices, counters=[CounterSet("c", {"n": 200})])

    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await current(publisher)
            publisher.desired([too_large, pool_of("x", pool="x")])
            assert "must fit one slice before Kubernetes 1.35" in await told(publisher, "pool 'node-1'")
            await until(server, lambda server: len(server.list("ResourceSlice")) == 2)

    with InMemoryApiServer(git_version="v1.34.0") as server:
        server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        run(test)
