"""Practitioners of a cluster, the nodes that they use, and what becomes of what they ask for. No node runs anything."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from realkube.api import Api, Document, Refused
from realkube.cluster import Cluster
from realkube.helm import CHART
from realkube.waiting import until

LARGE = "disaggregated-inference-large"
INSTANCE_TYPE = "node.kubernetes.io/instance-type"


def put(cluster: Cluster, name: str, values: Mapping[str, Any]) -> None:
    """Install the chart as a release of that name, or upgrade what is there to these values. Raises HelmFailed."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(dict(values), file)
        file.flush()
        flags = ["--namespace", name, "--create-namespace", "--values", file.name]
        cluster.helm("upgrade", "--install", name, str(CHART), *flags)


def add_node(api: Api, name: str, node_type: str) -> None:
    """Make a Node of a type, and publish the slices that drakit makes for it."""
    status = {"capacity": {"cpu": "8", "memory": "8Gi", "pods": "100"}}
    status["allocatable"] = status["capacity"]
    metadata = {"name": name, "labels": {INSTANCE_TYPE: node_type}}
    api.create({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status})
    command = [
        Path(sys.executable).with_name("drakit"),
        "slices",
        "--node",
        node_type,
        "--node-name",
        name,
        "-o",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for document in json.loads(done.stdout)["items"]:
        api.create(document)


def pod(name: str, *templates: str, **container: Any) -> Document:
    """A pod with a claim of each of these templates."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "tolerations": [{"operator": "Exists"}],  # nobody says of the nodes that they are ready
            "containers": [{"name": "main", "image": "none", **container}],
            "resourceClaims": [{"name": one, "resourceClaimTemplateName": one} for one in templates],
        },
    }


def claim(devices: Document, name: str = "by-hand", **labels: str) -> Document:
    """A claim for these devices."""
    metadata = {"name": name, "labels": labels}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": metadata,
        "spec": {"devices": devices},
    }


def template(devices: Document, name: str = "by-hand") -> Document:
    """A template of such claims."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name},
        "spec": {"spec": {"devices": devices}},
    }


def exactly(count: int, device_class: str = "neuron.aws.com", **more: Any) -> Document:
    """Devices of one class."""
    return {"requests": [{"name": "it", "exactly": {"deviceClassName": device_class, "count": count, **more}}]}


def allocated(api: Api, namespace: str, name: str) -> tuple[str, list[Document]]:
    """The node of a pod and its claims, once all have devices."""

    def look() -> tuple[str, list[Document]] | None:
        found = api.get("Pod", name, namespace)
        node = found["spec"].get("nodeName")
        claims = [one for one in api.list("ResourceClaim", namespace) if is_of(one, found)]
        ready = node and claims and all(one.get("status", {}).get("allocation") for one in claims)
        return (node, claims) if ready else None

    return until(f"pod {name} to have devices", look, seen=lambda: said(api, namespace, name))


def is_of(claim: Document, pod: Document) -> bool:
    """Whether a claim was made for a pod."""
    owners: Sequence[Document] = claim["metadata"].get("ownerReferences", ())
    return any(owner["uid"] == pod["metadata"]["uid"] for owner in owners)


def said(api: Api, namespace: str, name: str) -> list[str]:
    """The events of a pod."""
    return [one["message"] for one in api.list("Event", namespace, fieldSelector=f"involvedObject.name={name}")]


def told(api: Api, namespace: str, name: str, words: str) -> str:
    """The event of a pod with these words, once there is one."""
    return until(
        f"pod {name} to be told {words!r}",
        lambda: next((one for one in said(api, namespace, name) if words in one), None),
        seen=lambda: said(api, namespace, name),
    )


def binding(role: str, namespace: str, kind: str, name: str) -> Document:
    """Gives somebody a ClusterRole in a namespace."""
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role, "namespace": namespace},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": kind, "name": name}],
    }


def refusal(api: Api, document: Document, namespace: str) -> str:
    """With which words a document is refused; empty if it is not."""
    try:
        api.create(document, namespace, dry_run=True)
    except Refused as refused:
        return refused.message
    return ""
