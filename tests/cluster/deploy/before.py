"""Objects of clusters as they are before drakit comes, whose nodes nobody runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realkube.api import Api
from realkube.cluster import Cluster

TYPE = "trn2.48xlarge"


def add_node(api: Api, name: str, offered: Mapping[str, str]) -> None:
    """A Node with the label `is`, that offers these extended resources."""
    labels = {"node.kubernetes.io/instance-type": TYPE, "is": name}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    api.create(node)
    capacity = {"cpu": "8", "memory": "8Gi", "pods": "50", **offered}
    status = {"allocatable": capacity, "capacity": capacity, "nodeInfo": info()}
    # Applied and not replaced: controllers write taints meanwhile.
    api.apply({**node, "metadata": {"name": name}, "status": status}, subresource="status")


def info() -> dict[str, str]:
    """What a kubelet says of itself."""
    names = ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion")
    return dict.fromkeys(names, "x") | {
        "kubeletVersion": "v1.37.2",
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }


def requests(exactly: dict[str, Any]) -> dict[str, Any]:
    """The devices of a claim."""
    return {"requests": [{"name": "some", "exactly": exactly}]}


def document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object of the API of devices."""
    return {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def check_cluster(cluster: Cluster, directory: Path, *arguments: str, token: str = "", code: int = 1) -> str:
    """What `drakit check --cluster` says, from within the network of the cluster: the administrator's, or a token's."""
    content = json.loads(cluster.control_plane.kubeconfig("admin"))
    if token:
        content["users"][0]["user"] = {"token": token}
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(json.dumps(content))
    drakit = [Path(sys.executable).with_name("drakit"), "check", "--cluster", "--kubeconfig", kubeconfig]
    inside = ["nsenter", f"--net={cluster.control_plane.machine.network}"]
    command = [*inside, *map(str, drakit), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout
