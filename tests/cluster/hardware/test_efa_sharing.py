"""One adapter for several claims, and one claim for several pods, on a real node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from realkube.waiting import until
from realkube.workspace import Workspace, allocated

pytestmark = [pytest.mark.cluster, pytest.mark.node]

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
SHARES = "efa.drakit/shares"


def example(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a published example has of claims, and its pods."""
    given, *pods = yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text())
    return given, pods


def renamed(pod: dict[str, Any], name: str) -> dict[str, Any]:
    """The same pod under another name."""
    return {**pod, "metadata": {"name": name}}


def test_claims_divide_an_adapter_by_shares_and_one_too_many_waits_for_one_to_end(
    workspace: Workspace, efa: Callable[..., Any]
):
    one = efa("g6e.12xlarge", sharing={"shares": 2})
    (adapter,), (path,) = one.verbs, one.verbs.values()
    given, pods = example("efa-shares")
    names = [pod["metadata"]["name"] for pod in pods]
    workspace.submit(given, *pods)
    for name in names:
        workspace.running(name)
    claims = [workspace.claim_of(name) for name in names]
    assert [allocated(it, "dra.net") for it in claims] == [[adapter], [adapter]]
    results = [it["status"]["allocation"]["devices"]["results"][0] for it in claims]
    assert [it["consumedCapacity"][SHARES] for it in results] == ["1", "1"]
    shares = {it["shareID"] for it in results}
    assert len(shares) == 2
    for name in names:
        assert path in workspace.seen(name).devices
    assert len(one.node.cdi_files()) == 2, "each has a CDI file of its own"

    def told() -> set[str]:
        devices = [it for name in names for it in workspace.claim_of(name)["status"].get("devices") or ()]
        return {it["shareID"] for it in devices}

    until("the status of both shares", lambda: told() == shares, seen=one.agent.tail)
    workspace.submit(renamed(pods[0], "third"))
    assert "cannot allocate all claims" in workspace.unschedulable("third")
    workspace.delete(names[0])
    workspace.running("third")
    assert path in workspace.seen("third").devices
    share = workspace.claim_of("third")["status"]["allocation"]["devices"]["results"][0]["shareID"]
    assert share not in shares
    assert path in workspace.seen(names[1]).devices
    workspace.delete(names[1], "third")
    until("the CDI files to be gone", lambda: not one.node.cdi_files(), seen=one.agent.tail)


def test_many_pods_have_the_adapters_of_one_claim_also_one_that_comes_when_others_have_ended(
    workspace: Workspace, efa: Callable[..., Any]
):
    one = efa("p4d.24xlarge")
    given, pods = example("shared-efa")
    names = [f"worker-{number}" for number in range(4)]
    workspace.submit(given, *(renamed(pods[0], name) for name in names))
    for name in names:
        workspace.running(name)
    files = one.node.cdi_files()
    assert len(files) == 1
    everything = set(one.verbs.values())
    assert len(everything) == 4
    for name in names:
        seen = workspace.seen(name)
        assert everything <= seen.devices
        assert seen.environment["FI_PROVIDER"] == "efa"
    workspace.delete(*names[:3])
    workspace.submit(renamed(pods[0], "late"))
    workspace.running("late")
    assert everything <= workspace.seen("late").devices
    assert one.node.cdi_files() == files, "the claim has been in use all the time"
    users = {it["name"] for it in workspace.claim("shared-efa")["status"]["reservedFor"]}
    assert users == {names[3], "late"}
    workspace.delete(names[3], "late")
    until("the CDI file to be gone", lambda: not one.node.cdi_files(), seen=one.agent.tail)
