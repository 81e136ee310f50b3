"""What a publisher writes to a sound API server, and what it leaves alone."""

from __future__ import annotations

import asyncio

import pytest
from drakit.errors import PublishError
from drakit.kube.pace import Timing
from drakit.model import CounterConsumption, CounterSet, Device, Taint

DRIVER, NODE = "gpu.example.com", "node-1"


def test_a_pool_is_published_and_owned_by_the_node(server, pool_of, publishing, run):
    async def test():
        async with publishing(server, pool_of("gpu-0", "gpu-1")) as publisher:
            await publisher.until_current()
            await server.until(lambda server: any("watch=true" in path for _, path in server.requests))
            await publisher.until_current()
            assert publisher.status.generations == {NODE: 1}

    run(test)
    (document,) = server.list("ResourceSlice")
    (owner,) = document["metadata"]["ownerReferences"]
    assert owner["uid"] == server.get("Node", NODE)["metadata"]["uid"]
    assert document["metadata"]["name"].startswith(f"00000-{DRIVER}-{NODE}-")
    assert [device["name"] for device in document["spec"]["devices"]] == ["gpu-0", "gpu-1"]
    assert document["spec"]["nodeName"] == NODE
    # One list, one watch, the Node, one slice; and one look for slices that an earlier agent has left to no node.
    assert [method for method, _ in server.requests].count("GET") == 4
    assert server.writes() == ["POST"]


def test_nothing_is_written_before_anything_is_desired(server, pool_of, publishing, run):
    async def test():
        async with publishing(server) as publisher:
            await server.until(lambda server: any("watch=true" in path for _, path in server.requests))
            assert not publisher.status.current
            publisher.desired([pool_of("gpu-0")])
            await server.until(lambda server: server.published() == ["gpu-0"])

    run(test)
    assert server.writes() == ["POST"]


def test_an_empty_pool_is_one_empty_slice_and_no_pool_is_none(server, pool_of, publishing, run):
    async def test():
        async with publishing(server, pool_of()) as publisher:
            await server.until(lambda server: server.published() == [])
            publisher.desired([])
            await server.until(lambda server: not server.list("ResourceSlice"))

    run(test)


def test_slices_stay_when_the_publisher_stops_and_a_restart_writes_nothing(server, large, publishing, run):
    async def test():
        async with publishing(server, large(200)) as publisher:
            await publisher.until_current()
        before = len(server.requests)
        async with publishing(server, large(200)) as publisher:
            await publisher.until_current()
        assert [method for method, _ in server.requests[before:]] == ["GET"] * (len(server.requests) - before)

    run(test)
    assert server.writes() == ["POST", "POST"]


def test_one_changed_slice_is_one_put_and_more_are_a_new_generation(server, pool_of, publishing, run):
    def change(index, count=200):
        devices = [Device(f"gpu-{i}", attributes={"ok": i not in index}) for i in range(count)]
        return pool_of(*devices)

    async def test():
        async with publishing(server, change([])) as publisher:
            await publisher.until_current()
            publisher.desired([change([150])])
            await server.until(lambda server: server.writes()[2:] == ["PUT"])
            assert publisher.status.generations == {NODE: 1}
            publisher.desired([change([3, 151])])
            await server.until(lambda server: server.writes()[3:] == ["PUT", "PUT"])
            await server.until(lambda server: server.published() is not None)

    run(test)
    assert {document["spec"]["pool"]["generation"] for document in server.list("ResourceSlice")} == {2}


def test_what_is_too_much_goes_first_and_what_is_missing_comes_last(server, large, publishing, run):
    """Consumers see no pool that is complete and wrong at any point of it."""

    async def test():
        async with publishing(server, large(200)) as publisher:
            await publisher.until_current()
        first, second = server.list("ResourceSlice")
        first["spec"]["devices"][0]["name"] = "forged"
        server.replace(first)
        server.delete("ResourceSlice", second["metadata"]["name"])
        second["spec"]["devices"] = [{"name": "stray"}]
        server.create({**second, "metadata": {"name": "stray"}})
        before = len(server.writes())
        async with publishing(server, large(200)) as publisher:
            await publisher.until_current()
        assert server.writes()[before:] == ["DELETE", "PUT", "POST"]

    run(test)
    assert len(server.published()) == 200


def test_what_is_desired_already_is_no_change(server, large, publishing, run):
    async def test():
        async with publishing(server, large(200)) as publisher:
            await publisher.until_current()
            publisher.desired([large(200)])
            assert publisher.status.current
            publisher.desired([large(199)])
            assert not publisher.status.current

    run(test)


def test_a_burst_of_changes_is_written_once(server, pool_of, publishing, run):
    async def test():
        async with publishing(server, pool_of("gpu-0"), timing=Timing(settle=0.2)) as publisher:
            await publisher.until_current()
            for number in range(50):
                publisher.desired([pool_of(f"gpu-{number}")])
                await asyncio.sleep(0)
            await server.until(lambda server: server.published() == ["gpu-49"])

    run(test)
    assert server.writes() == ["POST", "PUT"]


def test_what_the_kubelet_or_anyone_deletes_comes_back(server, large, publishing, run):
    async def test():
        async with publishing(server, large(200)) as publisher:
            await publisher.until_current()
            for document in server.list("ResourceSlice"):
                server.delete("ResourceSlice", document["metadata"]["name"])
            await server.until(lambda server: len(server.published() or ()) == 200)
            server.delete("ResourceSlice", server.list("ResourceSlice")[0]["metadata"]["name"])
            await server.until(lambda server: len(server.published() or ()) == 200)

    run(test)


def test_what_others_change_or_add_is_repaired(server, pool_of, publishing, run):
    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await publisher.until_current()
            (document,) = server.list("ResourceSlice")
            document["spec"]["devices"] = [{"name": "forged"}]
            server.replace(document)
            await server.until(lambda server: server.published() == ["gpu-0"])
            stray = {key: value for key, value in document.items() if key != "metadata"}
            server.create({**stray, "metadata": {"name": "00000-stray"}})
            await server.until(lambda server: len(server.list("ResourceSlice")) == 1)
            await server.until(lambda server: server.published() == ["gpu-0"])

    run(test)


def test_a_repair_finds_the_node_that_came_back_as_another(server, pool_of, publishing, run):
    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await publisher.until_current()
            server.delete("Node", NODE)
            server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
            server.delete("ResourceSlice", server.list("ResourceSlice")[0]["metadata"]["name"])
            await server.until(lambda server: server.published() == ["gpu-0"])

    run(test)
    (document,) = server.list("ResourceSlice")
    assert document["metadata"]["ownerReferences"][0]["uid"] == server.get("Node", NODE)["metadata"]["uid"]


def test_pools_of_other_drivers_and_nodes_are_left_alone(server, pool_of, publishing, run):
    for driver, node in (("nic.example.com", NODE), (DRIVER, "node-2")):
        spec = {"driver": driver, "nodeName": node, "devices": [{"name": "d"}]}
        spec["pool"] = {"name": node, "generation": 1, "resourceSliceCount": 1}
        metadata = {"name": f"other-{driver}-{node}"}
        server.create({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": metadata, "spec": spec})

    async def test():
        async with publishing(server, pool_of("gpu-0"), pool_of("x", pool=f"{NODE}/x")) as publisher:
            await publisher.until_current()
            publisher.desired([])
            await server.until(lambda server: server.writes().count("DELETE") == 2)

    run(test)
    assert len(server.list("ResourceSlice")) == 2


def test_semantic_equality_keeps_a_canonical_quantity_from_being_written_for_ever(server, pool_of, publishing, run):
    async def test():
        pool = pool_of(Device("gpu-0", capacity={"memory": "1024Mi"}, taints=(Taint("example.com/hot"),)))
        async with publishing(server, pool) as publisher:
            await publisher.until_current()
            publisher.verify()
            publisher.desired([pool])
            lists = len([path for _, path in server.requests if "watch" not in path])
            await server.until(lambda server: len([p for _, p in server.requests if "watch" not in p]) > lists)
            await publisher.until_current()

    run(test)
    assert server.writes() == ["POST"]


def test_a_write_leaves_the_time_of_a_taint_as_it_is(server, pool_of, publishing, run):
    then = "2026-01-01T00:00:00Z"

    def taint() -> dict:
        (document,) = server.list("ResourceSlice")
        return document["spec"]["devices"][0]["taints"][0]

    async def test():
        hot = Device("gpu-0", taints=(Taint("example.com/hot"),))
        async with publishing(server, pool_of(hot)) as publisher:
            await publisher.until_current()
            (document,) = server.list("ResourceSlice")
            document["spec"]["devices"][0]["taints"][0]["timeAdded"] = then
            server.replace(document)
            publisher.verify()
            publisher.desired([pool_of(hot, "gpu-1")])
            await server.until(lambda server: server.published() == ["gpu-0", "gpu-1"])

    run(test)
    assert taint()["timeAdded"] == then
    assert server.writes() == ["POST", "PUT"]


@pytest.mark.parametrize(("version", "slices"), [("v1.34.2", 1), ("v1.35.0", 2), ("v1.37.0", 2)])
def test_the_layout_of_counters_follows_the_servers_version(serving, pool_of, publishing, run, version, slices):
    consumes = (CounterConsumption("gpu-0", {"memory": "10Gi"}),)
    devices = [Device(f"part-{index}", consumes=consumes) for index in range(3)]
    partitioned = pool_of(*devices, counters=[CounterSet("gpu-0", {"memory": "80Gi"})])

    async def test():
        async with publishing(server, partitioned) as publisher:
            await publisher.until_current()
            publisher.desired([partitioned, pool_of("x", pool="x")])
            await server.until(lambda server: len(server.list("ResourceSlice")) == slices + 1)

    with serving(version) as server:
        run(test)
        found = [document for document in server.list("ResourceSlice") if document["spec"]["pool"]["name"] == NODE]
        assert len(found) == slices
        assert [path for _, path in server.requests].count("/version") == 1


def test_a_pool_without_counters_never_asks_for_the_version(server, pool_of, publishing, run):
    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await publisher.until_current()

    run(test)
    assert "/version" not in [path for _, path in server.requests]


def test_two_pools_of_one_name_are_refused_at_once(server, pool_of, publishing, run):
    async def test():
        async with publishing(server) as publisher:
            with pytest.raises(PublishError, match="two pools named 'node-1'"):
                publisher.desired([pool_of("a"), pool_of("b")])

    run(test)


def test_a_pool_that_does_not_fit_keeps_what_is_published_of_it(serving, pool_of, publishing, run):
    devices = [Device(f"d{i}", consumes=(CounterConsumption("c", {"n": 1}),)) for i in range(130)]
    too_large = pool_of(*devices, counters=[CounterSet("c", {"n": 200})])

    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await publisher.until_current()
            publisher.desired([too_large, pool_of("x", pool="x")])
            assert "must fit one slice before Kubernetes 1.35" in await publisher.until_told("pool 'node-1'")
            await server.until(lambda server: len(server.list("ResourceSlice")) == 2)

    with serving("v1.34.0") as server:
        run(test)
