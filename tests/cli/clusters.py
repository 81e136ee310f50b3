"""Clusters as they are before drakit comes: documents for an API server."""

from __future__ import annotations

from typing import Any

DRA = "resource.k8s.io/v1"
NEURON, EFA = "neuron.aws.com", "dra.net"
AWS_DRIVER, DRANET, OURS = "k8s-neuron-dra-driver", "dranet", "drakit"
"""The field managers of slices."""


def document(kind: str, name: str, namespace: str = "", *, version: str = "v1", **fields: Any) -> Any:
    """Any object."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


def node(name: str, kind: str = "trn2.48xlarge", *, kubelet: str = "v1.37.2", **resources: int) -> Any:
    """A Node that offers extended resources; in their names `__` is `/`, and `_` a dot."""
    offered = {key.replace("__", "/").replace("_", "."): str(count) for key, count in resources.items()}
    made = document("Node", name, spec={})
    made["metadata"]["labels"] = {"node.kubernetes.io/instance-type": kind}
    made["status"] = {"allocatable": {"cpu": "8", **offered}, "nodeInfo": {"kubeletVersion": kubelet}}
    return made


def slice_of(node_name: str, driver: str, manager: str, devices: int = 4) -> Any:
    """A ResourceSlice of a node, written by somebody."""
    spec = {
        "driver": driver,
        "nodeName": node_name,
        "pool": {"name": node_name, "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": f"device-{index}"} for index in range(devices)],
    }
    made = document("ResourceSlice", f"{node_name}-{driver}", version=DRA, spec=spec)
    made["metadata"]["managedFields"] = [
        {"manager": manager, "operation": "Update", "time": "2026-01-31T12:00:00Z", "fieldsType": "FieldsV1"}
    ]
    return made


def pod(name: str, on: str = "", *, owner: Any = None, image: str = "example.com/worker:1", **spec: Any) -> Any:
    """A pod in `default`; `owner` is an object that is there."""
    container = {"name": "c", "image": image, "resources": {"limits": spec.pop("limits", {})}}
    made = document("Pod", name, "default", spec={"containers": [container], **spec}, status={"phase": "Running"})
    if on:
        made["spec"]["nodeName"] = on
    if owner is not None:
        made["metadata"]["ownerReferences"] = [reference(owner)]
    return made


def reference(owner: Any) -> Any:
    """The owner reference to an object that is there, or will be."""
    metadata = owner["metadata"]
    uid = metadata.get("uid", f"uid-of-{metadata['name']}")
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": uid,
        "controller": True,
    }


def claim(name: str, on: str, driver: str, devices: int = 1, *, device_class: str = NEURON) -> Any:
    """A claim in `default` that has devices of a node."""
    results = [
        {"request": "some", "driver": driver, "pool": on, "device": f"device-{index}"} for index in range(devices)
    ]
    requests = [{"name": "some", "exactly": {"deviceClassName": device_class, "count": devices}}]
    made = document("ResourceClaim", name, "default", version=DRA, spec={"devices": {"requests": requests}})
    made["status"] = {"allocation": {"devices": {"results": results}}}
    return made


def with_claim(name: str, on: str, claim_name: str, **more: Any) -> Any:
    """A pod that has that claim."""
    return pod(name, on, resourceClaims=[{"name": "devices", "resourceClaimName": claim_name}], **more)


def daemons(name: str, image: str, namespace: str = "kube-system", **spec: Any) -> Any:
    """A DaemonSet."""
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": image}], **spec},
    }
    fields = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return document("DaemonSet", name, namespace, version="apps/v1", spec=fields)


NEURONS, ADAPTERS, CORES = "aws.amazon.com/neuron", "vpc.amazonaws.com/efa", "aws.amazon.com/neuroncore"
"""Resources of device plugins."""
PLUGIN_NODE = node("n", aws_amazon_com__neuron=16, aws_amazon_com__neuroncore=64)


def limited(**counts: int) -> dict[str, str]:
    """Limits of a container."""
    names = {"neurons": NEURONS, "adapters": ADAPTERS, "cores": CORES}
    return {names[name]: str(count) for name, count in counts.items()}


def the_node(found: Any, name: str = "n") -> Any:
    """What is said of a node."""
    (one,) = (one for one in found.json["nodes"] if one["name"] == name)
    return one


def the_workload(found: Any) -> Any:
    """What is said of the one workload."""
    (one,) = found.json["workloads"]
    return one
