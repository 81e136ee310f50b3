"""Devices that are not simply there: they are attached first, or are out of the reach of some nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from realkube.cluster import Cluster
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace, allocated, claim_spec, pod, template

pytestmark = pytest.mark.cluster

FEATURES, ZONED = "features.example.com", "zoned.example.com"
ATTACHED = "features.example.com/attached"
Example = Callable[[str], dict[str, Any]]


def attached(document: dict[str, Any]) -> dict[str, Any]:
    """What a controller applies to a claim's status when it has attached the device."""
    (result,) = document["status"]["allocation"]["devices"]["results"]
    condition = {
        "type": ATTACHED,
        "status": "True",
        "reason": "Attached",
        "message": "",
        "lastTransitionTime": "2026-01-31T12:00:00Z",
    }
    about = {key: result[key] for key in ("driver", "pool", "device")}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {key: document["metadata"][key] for key in ("name", "namespace")},
        "status": {"devices": [{**about, "conditions": [condition]}]},
    }


def reserved(workspace: Workspace) -> list[dict[str, Any]]:
    """The claims that pods have been given."""
    return [it for it in workspace.claims() if it.get("status", {}).get("reservedFor")]


@pytest.mark.feature("binding conditions")
def test_a_pod_is_bound_when_its_device_is_attached_and_not_before(workspace: Workspace, node: Node, example: Example):
    workspace.submit(example("fabric"))

    (held,) = until("the claim to be reserved", lambda: reserved(workspace), seen=lambda: workspace.story("fabric"))
    (result,) = held["status"]["allocation"]["devices"]["results"]
    assert result["bindingConditions"] == [ATTACHED]
    workspace.submit(template("plain", claim_spec("gpu")), pod("later", {"resourceClaimTemplateName": "plain"}))
    workspace.running("later")
    assert "nodeName" not in workspace.pod("fabric")["spec"], "its device is not attached yet"
    workspace.api.apply(attached(held), subresource="status", manager="controller")
    workspace.running("fabric")
    variable = f"MOCK_DEVICE_{result['device'].upper().replace('-', '_')}"
    assert variable in workspace.seen("fabric").environment


@pytest.mark.feature("per-device node selection")
def test_a_device_that_is_out_of_a_nodes_reach_is_given_to_no_pod_there(
    featured: Cluster, workspace: Workspace, node: Node, example: Example
):
    def label(**labels: str) -> None:
        of_zone = {f"topology.kubernetes.io/{key}": value for key, value in labels.items()}
        metadata = {"name": node.name, "labels": of_zone}
        featured.api.apply({"apiVersion": "v1", "kind": "Node", "metadata": metadata}, manager="zones")

    (published,) = featured.api.list("ResourceSlice", fieldSelector=f"spec.driver={ZONED}")
    assert published["spec"]["perDeviceNodeSelection"] is True
    anywhere = claim_spec(ZONED, selector=f'device.attributes["{ZONED}"].reach == "cluster"')
    workspace.submit(template("anywhere", anywhere), pod("anywhere", {"resourceClaimTemplateName": "anywhere"}))
    workspace.submit(example("nearby"))
    workspace.running("anywhere")
    assert "cannot allocate all claims" in workspace.unschedulable("nearby")
    label(zone="zone-a")
    workspace.running("nearby")
    assert allocated(workspace.claim_of("nearby"), ZONED)[0].startswith("nearby-")
    label()
