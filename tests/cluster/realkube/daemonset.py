"""The agent as users run it: the chart's DaemonSet of the built image, on nodes whose hardware is faked."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

import yaml

from realkube.api import Document
from realkube.built import BuiltImage
from realkube.cluster import Cluster
from realkube.execution import Executed, execute
from realkube.helm import CHART, NAMESPACE, RELEASE
from realkube.node import Node
from realkube.waiting import until

HARDWARE = "/run/hardware"
"""Where nodes have their faked hardware, under the same path on all."""
HEALTH, METRICS = 51515, 8080


def prepare(node: Node, image: BuiltImage) -> None:
    """Give a running node the image, and the faked hardware that it was given its place."""
    node.load(image.archive)
    node.path(HARDWARE).mkdir(exist_ok=True)
    node.running.run("mount", "--bind", str(node.hardware), HARDWARE)


def values_for(image: BuiltImage, **more: Any) -> dict[str, Any]:
    """Values of the chart by which an agent reads faked hardware and not the node's own. `more` are others'."""
    roots = {"DRAKIT_ROOT": f"/host{HARDWARE}", "DRAKIT_HOST_ROOT": HARDWARE}
    agent = {
        "hostPaths": [HARDWARE],
        "extraEnv": [{"name": name, "value": value} for name, value in roots.items()],
    }
    return {"image": image.values, "agent": agent | more.pop("agent", {}), **more}


def install(cluster: Cluster, values: Mapping[str, Any], *, wait: bool = True) -> None:
    """Install the chart, or change what is installed; by default wait until every node's agent is ready.

    Raises HelmFailed.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(dict(values), file)
        cluster.helm("upgrade", "--install", RELEASE, str(CHART), f"--namespace={NAMESPACE}", f"--values={file.name}")
    if wait:
        until("the DaemonSet to be rolled out", lambda: rolled_out(cluster), seen=lambda: told(cluster))


def rolled_out(cluster: Cluster) -> bool:
    """Whether each node has an agent of the newest kind, ready, and no other."""
    daemons = cluster.api.get("DaemonSet", RELEASE, NAMESPACE)
    status = daemons["status"]
    wanted = len(cluster.nodes)
    return (
        status.get("observedGeneration") == daemons["metadata"]["generation"]
        and status.get("updatedNumberScheduled") == status.get("numberAvailable") == wanted
        and len(agents(cluster)) == wanted
    )


def agents(cluster: Cluster) -> list[Document]:
    """The pods of the DaemonSet."""
    return cluster.api.list("Pod", NAMESPACE, labelSelector=f"app.kubernetes.io/instance={RELEASE}")


def agent_on(cluster: Cluster, node: Node) -> Document:
    """The one agent's pod on a node."""
    (pod,) = [pod for pod in agents(cluster) if pod["spec"]["nodeName"] == node.name]
    return pod


def run_in(cluster: Cluster, pod: Document, *command: str) -> Executed:
    """Run a program in the agent's container."""
    return execute(cluster.api, pod, "agent", *command)


def told(cluster: Cluster) -> str:
    """What is known of the agents: for messages."""
    lines = []
    for pod in agents(cluster):
        name = pod["metadata"]["name"]
        events = cluster.api.list("Event", NAMESPACE, fieldSelector=f"involvedObject.name={name}")
        lines += [f"{name}: {pod['status'].get('phase')}", *(f"  {event.get('message')}" for event in events)]
        lines += [f"  {line}" for line in cluster.api.log(name, NAMESPACE, "agent").splitlines()[-20:]]
    return "\n".join(lines)
