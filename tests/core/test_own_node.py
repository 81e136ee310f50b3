"""The agent's own Node is read when there is reason to, and not again and again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import pytest
from drakit.kube.client import KubeClient
from drakit.kube.credentials import Credentials
from drakit.node import OwnNode
from drakit.testing.apiserver import InMemoryApiServer

NODE, RACK = "node-1", "example.com/rack"
GENEROUS = 30.0


class Guest:
    """A driver that stands beside a device plugin, or is met by one, as it is told."""

    name = "gpu.example.com"

    def __init__(self) -> None:
        self.met: list[Mapping[str, Any]] = []
        self.asked = 0
        self.beside = False
        self.comes = False

    async def meet(self, allocatable: Mapping[str, Any]) -> bool:
        self.met.append(allocatable)
        return self.beside

    async def is_met(self) -> bool:
        self.asked += 1
        return self.comes


@pytest.fixture
def api():
    with InMemoryApiServer() as server:
        status = {"allocatable": {"cpu": "8"}}
        server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}, "status": status})
        yield server


class Reading:
    """A Node that is read, and what came of it."""

    def __init__(self, api: InMemoryApiServer, often: float, **options: float) -> None:
        self.api = api
        self.guest = Guest()
        self.labels: list[Mapping[str, str]] = []
        self.told: dict[str, list[str]] = {}
        self.client = KubeClient(Credentials(server=api.url))
        self.node = OwnNode(
            self.client,
            NODE,
            [self.guest],
            often_seconds=often,
            relabelled=self.labels.append,
            tell=lambda topic, errors: self.told.update({topic: [str(error) for _, error in errors]}),
            **options,
        )

    async def until(self, condition) -> None:
        async with asyncio.timeout(GENEROUS):
            while not condition():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.005)


@pytest.fixture
def reading(api):
    """`reading(test, often)`: run a test beside a Node that is read, kubelets being asked so often."""

    def run(test, often: float = 0.02, **options: float) -> None:
        async def main() -> None:
            own = Reading(api, often, **options)

            async def forever() -> None:
                while True:
                    await own.node.look()

            task = asyncio.create_task(forever())
            try:
                await test(own)
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                await own.client.close()

        asyncio.run(main())

    return run


def test_drivers_meet_what_the_node_offers(reading):
    async def test(own: Reading):
        await own.until(lambda: own.guest.met)
        assert own.guest.met == [{"cpu": "8"}]
        assert own.labels == [{}]
        assert own.told == {"the Node": [], "labels of the Node": []}

    reading(test)


def test_the_node_is_not_read_while_the_kubelet_knows_nothing_new(reading):
    async def test(own: Reading):
        await own.until(lambda: own.guest.asked >= 3)
        assert len(own.guest.met) == 1
        assert [path for method, path in own.api.requests if method == "GET"] == [f"/api/v1/nodes/{NODE}"]

    reading(test)


def test_the_node_is_read_again_when_a_kubelet_has_a_device_plugin(reading):
    async def test(own: Reading):
        await own.until(lambda: own.guest.asked)
        own.guest.comes = True
        await own.until(lambda: len(own.guest.met) >= 2)

    reading(test)


def test_the_node_is_read_again_after_a_registration(reading):
    async def test(own: Reading):
        await own.until(lambda: own.guest.met)
        own.node.registered()
        await own.until(lambda: len(own.guest.met) == 2)

    reading(test, often=600.0)


def test_labels_that_come_late_are_noticed_though_no_kubelet_registers(reading):
    """A node joins before it is labelled; the longer it is there, the more seldom it is read."""

    async def test(own: Reading):
        await own.until(lambda: own.labels)
        node = own.api.get("Node", NODE)
        own.api.replace({**node, "metadata": {**node["metadata"], "labels": {RACK: "r7"}}})
        await own.until(lambda: own.labels[-1] == {RACK: "r7"})

    reading(test, often=600.0, first_seconds=0.02)


def test_the_longer_a_node_is_there_the_more_seldom_it_is_read(reading, monkeypatch):
    pauses: list[float] = []

    async def wait(_node, seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    async def test(own: Reading):
        await own.until(lambda: len(pauses) >= 6)
        assert pauses[:6] == [60, 120, 240, 480, 600, 600]
        own.node.registered()
        seen = len(pauses)
        await own.until(lambda: len(pauses) >= seen + 2)
        assert min(pauses[seen:]) <= 60

    monkeypatch.setattr(OwnNode, "_wait", wait)
    reading(test)


def test_the_node_is_read_often_beside_a_device_plugin(reading):
    async def test(own: Reading):
        own.guest.beside = True
        await own.until(lambda: len(own.guest.met) >= 4)

    reading(test)


def test_other_labels_are_written_when_they_are_wanted(reading):
    async def test(own: Reading):
        await own.until(lambda: own.guest.met)
        own.node.label("gpu.example.com", {RACK: "r7"})
        await own.until(lambda: own.api.get("Node", NODE)["metadata"].get("labels") == {RACK: "r7"})

    reading(test, often=600.0)


def test_labels_that_are_not_as_they_should_be_are_looked_at_often(reading):
    async def test(own: Reading):
        own.api.fail(status=500, method="PATCH", next=3)
        own.node.label("gpu.example.com", {RACK: "r7"})
        await own.until(lambda: own.api.get("Node", NODE)["metadata"].get("labels") == {RACK: "r7"})
        await own.until(lambda: own.told["labels of the Node"] == [])

    reading(test)


def test_a_node_that_may_not_be_read_is_told_with_what_to_allow(reading):
    async def test(own: Reading):
        own.api.fail(status=403, method="GET")
        await own.until(lambda: own.told.get("the Node"))
        assert "allow the driver's service account to get nodes" in own.told["the Node"][0]

    reading(test)
