"""Large pools, many changes, and two publishers of the same: how much is written."""

from __future__ import annotations

import asyncio
import functools
import re
from collections import Counter

import pytest
from drakit.kube.pace import Timing
from drakit.model import Device, Taint

NODE = "node-1"
HOT = (Taint("example.com/hot"),)


@pytest.fixture
def partly_hot(pool_of):
    """`partly_hot(600, {3, 4})`: so many devices, of which these have a taint."""

    @functools.cache
    def device(index, tainted):
        return Device(f"gpu-{index}", taints=HOT if tainted else ())

    return lambda count, hot: pool_of(*(device(index, index in hot) for index in range(count)))


def hot(server) -> set[int] | None:
    """The devices that have a taint as published, or None while the pool is not complete."""
    if server.published() is None:
        return None
    devices = [device for document in server.list("ResourceSlice") for device in document["spec"]["devices"]]
    return {int(device["name"].removeprefix("gpu-")) for device in devices if device.get("taints")}


@pytest.mark.parametrize(("count", "slices"), [(128, 1), (129, 2), (600, 5)])
def test_a_large_pool_is_as_few_slices_as_can_be(server, large, publishing, run, count, slices):
    async def test():
        async with publishing(server, large(count)) as publisher:
            await publisher.until_current()

    run(test)
    assert len(server.published()) == count
    assert server.writes() == ["POST"] * slices


@pytest.mark.parametrize("count", [16, 64, 600])
def test_a_taint_comes_and_goes_in_one_write_once_a_pool_is_laid_out_for_taints(
    server, partly_hot, publishing, run, count
):
    # A taint at the head of every 64 lays the pool out in slices of 64.
    always = set(range(0, count, 64))

    async def test():
        async with publishing(server, partly_hot(count, always)) as publisher:
            await publisher.until_current()
            before = len(server.writes())
            publisher.desired([partly_hot(count, always | {count - 1})])
            await publisher.until_current()
            publisher.desired([partly_hot(count, always)])
            await publisher.until_current()
            assert server.writes()[before:] == ["PUT", "PUT"]
            assert publisher.status.generations == {NODE: 1}

    run(test)


@pytest.mark.reliability(
    fault="The health of very many devices changes within a moment",
    injected="1000 changes of the taints of a pool of 600 devices in quick succession",
    promise="they are written as a few changes, of which the last is what was reported last",
)
def test_a_thousand_changes_of_health_are_written_as_a_few(server, partly_hot, publishing, run):
    last = set(range(400, 600))

    async def test():
        async with publishing(server, partly_hot(600, set()), timing=Timing(settle=0.2)) as publisher:
            await publisher.until_current()
            before = len(server.writes())
            changes = [partly_hot(600, set(range(number % 50))) for number in range(999)]
            clock = asyncio.get_running_loop().time
            began = clock()
            for pool in [*changes, partly_hot(600, last)]:
                publisher.desired([pool])
                await asyncio.sleep(0)
            await server.until(lambda server: hot(server) == last)
            await publisher.until_current()
            # What came first, and then, every 0.2 s that the burst lasted, what had come until then.
            assert len(server.writes()) - before <= 12 * (2 + (clock() - began) / 0.2)

    run(test)


@pytest.mark.reliability(
    fault="Two agents of a rolling update publish the same slices",
    injected="a second publisher beside the first, then the same change of the hardware for both",
    promise="the second writes nothing; a change is written once, and neither undoes the other's",
)
def test_two_publishers_of_one_node_do_not_fight(server, large, publishing, run):
    async def test():
        async with publishing(server, large(300)) as old:
            await old.until_current()
            before = server.list("ResourceSlice")
            async with publishing(server, large(300)) as new:
                await new.until_current()
                assert server.list("ResourceSlice") == before
                for publisher in (old, new):
                    publisher.desired([large(310)])
                await server.until(lambda server: len(server.published() or ()) == 310)
                for publisher in (old, new):
                    await publisher.until_current()
                reads = len(server.requests)
                for publisher in (old, new):
                    publisher.verify()
                await server.until(lambda server: len(server.requests) >= reads + 2)
            await old.until_current()

    run(test)
    assert len(server.published()) == 310
    # One slice changed: one PUT, and at most one that came too late.
    assert Counter(server.writes())["PUT"] <= 2
    assert Counter(server.writes())["POST"] == 3


def test_verifications_are_spread_about_their_time(server, pool_of, publishing, run):
    def asked(server) -> list[int]:
        found = [re.search(r"timeoutSeconds=(\d+)", path) for _, path in server.requests]
        return [int(match[1]) for match in found if match]

    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:  # verified about every 300 s
            await publisher.until_current()
            for number in range(1, 20):
                await server.until(lambda server, number=number: len(asked(server)) >= number)
                server.drop_connections()

    run(test)
    assert all(240 <= seconds <= 360 for seconds in asked(server))
    assert len(set(asked(server))) > 5


def test_an_idle_publisher_asks_for_nothing(server, pool_of, publishing, run):
    async def test():
        async with publishing(server, pool_of("gpu-0")) as publisher:
            await publisher.until_current()
            await server.until(lambda server: any("watch=true" in path for _, path in server.requests))
            before = len(server.requests)
            # What others write elsewhere is none of its business.
            for number in range(20):
                server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"other-{number}"}})
            publisher.desired([pool_of("gpu-0")])
            publisher.desired([pool_of("gpu-1")])
            await publisher.until_current()
            assert [method for method, _ in server.requests[before:]] == ["PUT"]

    run(test)
