"""Cores of one Neuron device for several pods, given out by a real scheduler and handed over by a real runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from realkube.waiting import until
from realkube.workspace import Workspace, claim_spec, pod, template

pytestmark = [pytest.mark.cluster, pytest.mark.node]

CLASS = "neuron.aws.com"
CORES = "neuron.drakit/cores"


def cores(count: int) -> dict[str, Any]:
    """The spec of a claim for so many cores of one device."""
    spec = claim_spec(CLASS)
    spec["devices"]["requests"][0]["exactly"]["capacity"] = {"requests": {CORES: str(count)}}
    return spec


def test_pods_share_a_device_by_cores_of_their_own_and_one_too_many_waits_for_one_to_end(
    workspace: Workspace, neuron: Callable[..., Any]
):
    one = neuron("trn2.3xlarge", {"options": {"coreSharing": True}})
    workspace.submit(template("half", cores(4)), template("whole", claim_spec(CLASS)))
    names = ("left", "right")
    for name in names:
        workspace.submit(pod(name, {"resourceClaimTemplateName": "half"}))
        workspace.running(name)
    seen = [workspace.seen(name) for name in names]
    assert [it.environment["NEURON_RT_VISIBLE_CORES"] for it in seen] == ["0-1", "2-3"]
    assert [it.environment["DRAKIT_NEURON_CORES"] for it in seen] == ["neuron-device-0:0-3", "neuron-device-0:4-7"]
    assert all("/dev/neuron0" in it.devices for it in seen)
    claims = [workspace.claim_of(name) for name in names]
    assert [it["status"]["devices"][0]["data"]["cores"] for it in claims] == ["0-3", "4-7"]
    for name, kind in (("third", "half"), ("all", "whole")):
        workspace.submit(pod(name, {"resourceClaimTemplateName": kind}))
        assert "cannot allocate all claims" in workspace.unschedulable(name)
    workspace.delete("all", "left")
    workspace.running("third")
    assert workspace.seen("third").environment["NEURON_RT_VISIBLE_CORES"] == "0-1"
    workspace.delete("third", "right")
    until("the CDI files to be gone", lambda: not one.node.cdi_files(), seen=one.agent.tail)
    workspace.submit(pod("all-of-it", {"resourceClaimTemplateName": "whole"}))
    workspace.running("all-of-it")
    environment = workspace.seen("all-of-it").environment
    assert "NEURON_RT_VISIBLE_CORES" not in environment
    assert environment["DRAKIT_NEURON_CORES"] == "all"
