"""Two claims of one pod that are configured differently, under a real kubelet, which says who shares a container."""

from __future__ import annotations

from typing import Any

import pytest
from realkube.workspace import Workspace, claim_spec, pod, template

pytestmark = [pytest.mark.cluster, pytest.mark.node]

DRIVER, VARIABLE = "neuron.aws.com", "NEURON_LOGICAL_NC_CONFIG"


def differing(name: str, **containers: list[str]) -> tuple[dict[str, Any], ...]:
    """A pod with claims `one` and `two`, of one and two logical cores, in containers that have these of them."""
    spec = {
        claim: claim_spec(DRIVER, config=[{"opaque": {"driver": DRIVER, "parameters": parameters(cores)}}])
        for cores, claim in enumerate(("one", "two"), start=1)
    }
    made = pod(name, {}, containers=containers)
    made["spec"]["resourceClaims"] = [{"name": claim, "resourceClaimTemplateName": claim} for claim in spec]
    for container in made["spec"]["containers"]:
        container["resources"] = {"claims": [{"name": claim} for claim in containers[container["name"]]]}
    return *(template(claim, spec[claim]) for claim in spec), made


def parameters(cores: int) -> dict[str, Any]:
    return {"apiVersion": "neuron.aws.com/v1", "kind": "NeuronConfig", "logicalNeuronCore": cores}


def test_claims_that_differ_work_side_by_side_in_two_containers_of_a_pod(workspace: Workspace):
    workspace.submit(*differing("apart", worker=["one"], other=["two"]))
    workspace.running("apart")
    assert workspace.seen("apart").environment[VARIABLE] == "1"
    assert workspace.seen("apart", "other").environment[VARIABLE] == "2"


def test_a_container_with_claims_that_differ_is_refused_with_both_named(workspace: Workspace):
    workspace.submit(*differing("torn", worker=["one", "two"], other=[]))
    message = workspace.event("torn", "one container has both")
    assert f"{VARIABLE}='1'" in message
    assert f"{VARIABLE}='2'" in message
    assert {claim["metadata"]["name"] for claim in workspace.claims() if claim["metadata"]["name"] in message} == {
        claim["metadata"]["name"] for claim in workspace.claims()
    }
    assert workspace.pod("torn")["status"]["phase"] == "Pending"
