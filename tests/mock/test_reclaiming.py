"""A claim that is gone without ever having been unprepared, from the kubelet's registration to its devices."""

from __future__ import annotations

import pytest
from drakit.testing import Stage
from drakit_mock.rehearsal import Rehearsal

GPU = "gpu.example.com"
BOUND_SECONDS = 30.0
LONG_SECONDS = 601.0
"""More than the ten minutes for which the kubelet must have been registered."""


@pytest.fixture
def stage():
    backends = [{"plugin": "mock", "driver": GPU, "options": {"profile": "generic-gpu"}}]
    with Stage("generic-gpu-nic", backends, settings={"discoverySeconds": 0.1}) as stage:
        yield stage


def claim(stage, name, device):
    result = {"request": "any", "driver": GPU, "pool": stage.node, "device": device}
    return stage.server.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"devices": {"requests": [{"name": "any", "exactly": {"deviceClassName": GPU}}]}},
            "status": {"allocation": {"devices": {"results": [result]}}},
        }
    )


def test_devices_that_are_not_in_use_are_free_when_the_kubelet_has_long_been_registered(stage):
    for name, device in [("idle", "gpu-0"), ("busy", "gpu-1")]:
        gone = claim(stage, name, device)
        (answer,) = stage.prepare(gone).values()
        assert not answer.error
        stage.kubelet.forget(gone["metadata"]["uid"])
    Rehearsal(config=stage.directory / "agent.yaml").do("gpu-1", "in-use")
    for name in ("idle", "busy"):
        stage.server.delete("ResourceClaim", name, "default")
    standing = stage.agent.agent.drivers[GPU].standing
    assert [held.name for held in stage.journalled()[GPU]] == ["idle", "busy"]
    real = standing.clock
    standing.clock = lambda: real() + LONG_SECONDS
    stage.kubelet.wait_until(
        lambda: [held.name for held in stage.journalled()[GPU]] == ["busy"], "the idle device to be free", BOUND_SECONDS
    )
    assert len(stage.cdi_files()) == 1
    (late,) = stage.prepare(claim(stage, "late", "gpu-0")).values()
    assert not late.error
