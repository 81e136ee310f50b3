"""Pools that are not bound to a node: they have one publisher, whoever else would like to be it."""

from __future__ import annotations

import pytest
from drakit.model import ALL_NODES

NODE = "node-1"


@pytest.fixture
def fabric(pool_of):
    """`fabric(*names)`: a pool for all nodes."""
    return lambda *names: pool_of(*names, pool="fabric", nodes=ALL_NODES)


def test_a_pool_for_all_nodes_is_published_repaired_and_taken_back(server, pool_of, fabric, publishing, run):
    async def test():
        async with publishing(server, pool_of("gpu-0"), fabric("port-0")) as publisher:
            await publisher.until_current()
            assert publisher.status.generations == {NODE: 1, "fabric": 1}
            (shared,) = [item for item in server.list("ResourceSlice") if "allNodes" in item["spec"]]
            server.delete("ResourceSlice", shared["metadata"]["name"])
            await server.until(lambda server: len(server.list("ResourceSlice")) == 2)
            publisher.desired([pool_of("gpu-0")])
            await server.until(lambda server: len(server.list("ResourceSlice")) == 1)

    run(test)


def test_a_pool_that_stops_being_the_nodes_own_is_made_anew(server, pool_of, fabric, publishing, run):
    async def test():
        async with publishing(server, pool_of("port-0", pool="fabric")) as publisher:
            await publisher.until_current()
            publisher.desired([fabric("port-0")])
            await server.until(lambda server: ["allNodes" in d["spec"] for d in server.list("ResourceSlice")] == [True])
            await publisher.until_current()

    run(test)


@pytest.mark.reliability(
    fault="A pool that is not bound to a node leaves the configuration while the agent is down",
    injected="a publisher of two shared pools stops, and its successor wants neither, or one of them",
    promise="the slices that this Node owns are removed at the next start, and those of other Nodes stay",
)
@pytest.mark.parametrize("kept", [[], ["fabric"]])
def test_shared_slices_that_a_former_agent_left_are_removed_and_others_stay(server, pool_of, publishing, run, kept):
    def shared(name):
        return pool_of("port-0", pool=name, nodes=ALL_NODES)

    async def test():
        async with publishing(server, shared("theirs"), node="node-2") as other:
            await other.until_current()
        async with publishing(server, shared("fabric"), shared("gone")) as former:
            await former.until_current()
        async with publishing(server, pool_of("gpu-0"), *map(shared, kept)):
            await server.until(lambda server: pools(server) == {NODE, "theirs", *kept})

    def pools(server) -> set[str]:
        return {document["spec"]["pool"]["name"] for document in server.list("ResourceSlice")}

    run(test)


def test_where_no_shared_slices_are_ours_they_are_looked_at_once_and_not_watched(server, pool_of, publishing, run):
    async def test():
        async with publishing(server, pool_of("port-0", pool="theirs", nodes=ALL_NODES), node="node-2") as other:
            await other.until_current()
        before = len(server.requests)
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await publisher.until_current()
            publisher.desired([pool_of("gpu-1")])
            await publisher.until_current()
        of_none = [path for _, path in server.requests[before:] if path.endswith("nodeName%3D")]
        assert len(of_none) == 1
        assert not any("watch" in path for path in of_none)

    run(test)


def test_a_second_publisher_of_the_same_shared_pool_stands_by_and_takes_over(server, fabric, publishing, run):
    async def test():
        async with publishing(server, fabric("port-0")) as first:
            await first.until_current()
            async with publishing(server, fabric("port-0"), node="node-2") as second:
                await second.until_current()
                assert server.writes() == ["POST"]
                first.desired([])
                await server.until(lambda server: server.writes() == ["POST", "DELETE", "POST"])
                await server.until(lambda server: server.published() == ["port-0"])

    run(test)
    (document,) = server.list("ResourceSlice")
    assert document["metadata"]["ownerReferences"][0]["name"] == "node-2"


def test_a_shared_pool_that_another_publishes_otherwise_is_an_error_and_not_a_fight(
    server, pool_of, fabric, publishing, run
):
    async def test():
        async with publishing(server, fabric("port-0"), node="node-2") as other:
            await other.until_current()
            async with publishing(server, fabric("port-1"), pool_of("gpu-0")) as publisher:
                assert "give each node's pool a name of its own" in await publisher.until_told("is published by node-2")
                await server.until(lambda server: len(server.list("ResourceSlice")) == 2)

    run(test)
    assert server.writes() == ["POST", "POST"]


def test_two_that_publish_a_shared_pool_at_once_leave_it_to_one(server, fabric, publishing, run):
    async def test():
        async with publishing(server, fabric("a")) as one, publishing(server, fabric("a"), node="node-0") as other:
            await one.until_current()
            await other.until_current()
            await server.until(lambda server: server.published() == ["a"])

    run(test)
    assert len(server.list("ResourceSlice")) == 1


def test_the_first_by_name_keeps_its_slices_and_says_who_is_to_give_way(server, fabric, publishing, run):
    async def test():
        async with publishing(server, fabric("port-0")) as publisher:
            await publisher.until_current()
            (ours,) = server.list("ResourceSlice")
            (owner,) = ours["metadata"]["ownerReferences"]
            metadata = {"name": "other", "ownerReferences": [owner | {"name": "node-2"}]}
            server.create({**ours, "metadata": metadata})
            await publisher.until_told("is published by node-2 too, which is to give way")
            server.delete("ResourceSlice", "other")
            await publisher.until_current()

    run(test)
    assert server.writes() == ["POST"]
