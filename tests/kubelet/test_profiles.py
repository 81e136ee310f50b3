"""The kubelets of 1.34 to 1.37, each with its own habits, and one driver that suits them all."""

from __future__ import annotations

from typing import Any

import pytest
from drakit.kubelet import HealthBoard
from drakit.model import DeviceRef, Health, HealthStatus

DEVICE = DeviceRef("gpu.example.com", "node-1", "gpu-0")
HEALTHY = Health(DEVICE, HealthStatus.HEALTHY)
ALL = pytest.mark.parametrize("minor", ["1.34", "1.35", "1.36", "1.37"])
WATCHING = {"1.34": False, "1.35": False, "1.36": True, "1.37": True}


@ALL
def test_every_kubelet_registers_prepares_repeats_and_unprepares(node: Any, minor: str) -> None:
    node.serve()
    kubelet = node.kubelet(profile=minor)
    assert kubelet.wait_for(node.driver).service == "v1.DRAPlugin"
    claims = [node.claim(f"c{number}") for number in range(300)]
    first = kubelet.prepare(claims, node.driver)
    assert {uid: answer.devices for uid, answer in first.items()} == {
        claim.uid: (node.handle(claim.uid),) for claim in claims
    }
    assert kubelet.prepare(claims, node.driver) == first
    assert kubelet.unprepare(claims, node.driver) == {claim.uid: "" for claim in claims}
    assert kubelet.problems == []


@ALL
def test_health_reaches_every_kubelet_that_asks_for_it(node: Any, minor: str) -> None:
    board = HealthBoard(heartbeat_seconds=0.05)
    node.loop.call(board.update, [HEALTHY])
    node.serve(health=board)
    kubelet = node.kubelet(profile=minor)
    kubelet.wait_for(node.driver)
    if WATCHING[minor]:
        kubelet.wait_until(lambda: kubelet.health(DEVICE) == HEALTHY, "health")
        kubelet.wait_until(lambda: kubelet.health_messages(node.driver) >= 3, "heartbeats")
    assert kubelet.problems == []
