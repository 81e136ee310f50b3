"""How one driver ends, whatever goes wrong with its sockets."""

from __future__ import annotations

import asyncio

import pytest
from drakit.driver import Driver
from drakit.kube.client import KubeClient
from drakit.kube.credentials import Credentials
from drakit.settings import Settings


class Server:
    """Sockets that cannot be given away."""

    async def stop(self, _grace_seconds: float) -> None:
        raise OSError("a defect")


class Worker:
    """A thread whose work is waited for."""

    waited = 0.0

    async def finish(self, seconds: float) -> None:
        self.waited = seconds


def test_work_under_way_has_its_time_though_the_sockets_cannot_be_given_away(tmp_path):
    async def test() -> None:
        settings = Settings(node_name="node-1", kubelet_plugins_directory_path=tmp_path, drain_seconds=20)
        client = KubeClient(Credentials(server="http://127.0.0.1:1"))
        driver = Driver("gpu.example.com", settings, client, None)
        driver.worker = worker = Worker()
        with pytest.raises(OSError, match="a defect"):
            await driver._drain(Server())
        assert 0 < worker.waited <= 20

    asyncio.run(test())
