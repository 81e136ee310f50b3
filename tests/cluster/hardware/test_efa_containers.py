"""What a container gets of adapters on a real node, what it does not, and that it does not start without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from realkube.waiting import until
from realkube.workspace import REPORT, Workspace, claim_spec, pod, template, worker

pytestmark = [pytest.mark.cluster, pytest.mark.node]

CLASS = "efa.networking.k8s.aws"
NO_DRIVER = "No such device or address"
DENIED = "Operation not permitted"
OWN = {"resourceClaimTemplateName": "some"}


def probing(document: Mapping[str, Any], nodes: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """A worker that makes these device nodes itself, by their numbers, and says what opening each comes to."""
    given = worker(document)
    tried = "".join(
        f'mknod /tmp/{name} c {major} {minor}; echo "try {name}: $(head -c 1 /tmp/{name} 2>&1 | head -n 1)"\n'
        for name, (major, minor) in nodes.items()
    )
    for container in given["spec"]["containers"]:
        container["command"] = ["sh", "-c", tried + REPORT]
    return given


def tried(workspace: Workspace, name: str, container: str = "worker") -> dict[str, str]:
    """What opening came to, by node."""
    workspace.seen(name, container)  # which is when the report is complete
    lines = workspace.api.log(name, workspace.namespace, container).splitlines()
    found = (line.removeprefix("try ").split(": ", 1) for line in lines if line.startswith("try "))
    return {node: said.rpartition(": ")[2] for node, said in found}


def container_of(workspace: Workspace, name: str) -> dict[str, Any]:
    """The status of a pod's one container."""
    (status,) = workspace.pod(name)["status"].get("containerStatuses") or [{}]
    found: dict[str, Any] = status
    return found


def test_a_container_sees_and_may_open_exactly_the_adapters_of_its_claim(workspace: Workspace, efa: Callable[..., Any]):
    one = efa("p4d.24xlarge@uverbs-permuted")
    numbers = {path.rpartition("/")[2]: one.number_of(path) for path in one.verbs.values()}
    assert len(set(numbers.values())) == 4
    document = pod("mine", OWN)
    document["spec"]["containers"].append({"name": "beside", "resources": {}})
    workspace.submit(template("some", claim_spec(CLASS, 2)))
    workspace.api.create(probing(document, numbers), workspace.namespace)
    workspace.running("mine")
    own = one.verbs_of(workspace.claim_of("mine"))
    assert len(own) == 2
    seen = workspace.seen("mine")
    assert {path for path in seen.devices if "/dev/infiniband" in path} == own
    names = {path.rpartition("/")[2] for path in own}
    # No hardware is behind the nodes, so opening one that is allowed finds no driver.
    assert tried(workspace, "mine") == {name: NO_DRIVER if name in names else DENIED for name in numbers}
    assert not [path for path in workspace.seen("mine", "beside").devices if "/dev/infiniband" in path]
    assert set(tried(workspace, "mine", "beside").values()) == {DENIED}


def test_a_pod_on_the_network_of_its_host_has_adapters_like_any_other(workspace: Workspace, efa: Callable[..., Any]):
    one = efa("p4d.24xlarge")
    document = pod("on-host", OWN)
    document["spec"]["hostNetwork"] = True
    workspace.submit(template("some", claim_spec(CLASS)), document)
    assert workspace.running("on-host")["status"]["podIP"] == one.node.address
    assert one.verbs_of(workspace.claim_of("on-host")) == {
        path for path in workspace.seen("on-host").devices if "/dev/infiniband" in path
    }


@pytest.mark.reliability(
    fault="The CDI file of a claim is lost, and a container of its pod starts again, on a node of a real cluster",
    injected="The file is removed while the agent is down, and the container is killed",
    promise="The container does not start without its adapters; it starts with them once the agent is back",
)
def test_a_container_does_not_start_without_its_adapters_when_their_cdi_file_is_gone(
    workspace: Workspace, efa: Callable[..., Any]
):
    one = efa("p4d.24xlarge")
    document = pod("worker", OWN)
    document["spec"]["restartPolicy"] = "Always"
    workspace.submit(template("some", claim_spec(CLASS)), document)
    workspace.running("worker")
    own = one.verbs_of(workspace.claim_of("worker"))
    before = container_of(workspace, "worker")
    one.agent.end()
    (file,) = one.node.cdi_files()
    one.node.path(f"/run/cdi/{file}").unlink()
    one.node.kill_container(before)

    def refused() -> str | None:
        waiting = container_of(workspace, "worker").get("state", {}).get("waiting", {})
        return waiting.get("message") if waiting.get("reason") == "CreateContainerError" else None

    said = until("the container to be refused", refused, seen=lambda: workspace.story("worker"))
    assert "unresolvable CDI devices" in said
    assert not container_of(workspace, "worker").get("started")
    agent = one.node.start_agent()
    until("the CDI file to be back", lambda: list(one.node.cdi_files()) == [file], seen=agent.tail)
    until(
        "the container to run",
        lambda: "running" in container_of(workspace, "worker").get("state", {}),
        seen=lambda: workspace.story("worker"),
    )
    assert container_of(workspace, "worker")["containerID"] != before["containerID"]
    assert {path for path in workspace.seen("worker").devices if "/dev/infiniband" in path} == own


def test_what_dranet_would_do_to_a_network_interface_is_refused_as_an_event_of_the_pod(
    workspace: Workspace, efa: Callable[..., Any]
):
    efa("p4d.24xlarge")
    parameters = {"interface": {"mtu": 9001, "name": "net1"}}
    config = [{"opaque": {"driver": "dra.net", "parameters": parameters}}]
    workspace.submit(template("some", claim_spec(CLASS, config=config)), pod("worker", OWN))
    said = workspace.event("worker", "interface.mtu")
    assert "interface.name" in said
    assert "Traceback" not in said
    assert workspace.pod("worker")["status"]["phase"] == "Pending"
