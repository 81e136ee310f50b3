"""Nodes of real types for the planner, as kubectl would print their slices, and workloads that want devices of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from drakit.cli.nodetypes import survey_of
from drakit_neuron.plugin import NeuronPlugin

TEMPLATES, EXAMPLES = NeuronPlugin.data / "templates", NeuronPlugin.data / "examples"
NEURON, EFA = "neuron.aws.com", "dra.net"
TRN2, TRN1, ULTRA = "trn2.48xlarge", "trn1.32xlarge", "trn2u.48xlarge"
OLD_DRIVER = "2.25.4.0"


class Inventories:
    """The slices of nodes of a type, with their Nodes, as kubectl would print them; each type is surveyed once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._slices: dict[str, list[Any]] = {}

    def slices(self, node_type: str) -> list[Any]:
        if node_type not in self._slices:
            found = survey_of(TRN2 if node_type == OLD_DRIVER else node_type, None, node_name="node-1").slices
            text = json.dumps(list(found))
            if node_type == OLD_DRIVER:
                (version,) = {
                    device["attributes"]["neuronDriverVersion"]["string"]
                    for one in found
                    for device in one["spec"]["devices"]
                    if "neuronDriverVersion" in device["attributes"]
                }
                text = text.replace(f'"{version}"', f'"{OLD_DRIVER}"')
            self._slices[node_type] = json.loads(text)
        return self._slices[node_type]

    def file(self, *types: str, **changes: Any) -> Path:
        items = [item for number, node_type in enumerate(types, 1) for item in self._node(node_type, number)]
        path = self._directory / f"{'-'.join(types)}-{abs(hash(str(changes)))}.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [*items, *changes.get("more", ())]}))
        return path

    def _node(self, node_type: str, number: int) -> list[Any]:
        name = f"node-{number}"
        text = json.dumps(self.slices(node_type)).replace("node-1", name)
        labels = {"node.kubernetes.io/instance-type": node_type, "kubernetes.io/hostname": name}
        return [*json.loads(text), {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}]


def results(pod: Any) -> list[Any]:
    return [one for claim in pod["claims"] for one in claim["allocation"]["devices"]["results"]]


def claim_template(name: str, count: int, *, group: int = 0, device_class: str = NEURON) -> Any:
    devices: dict[str, Any] = {
        "requests": [{"name": "devices", "exactly": {"deviceClassName": device_class, "count": count}}]
    }
    if group:
        devices["constraints"] = [{"matchAttribute": f"resource.aws.com/devicegroup{group}_id"}]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name},
        "spec": {"spec": {"devices": devices}},
    }


def pod_spec(template: str, **fields: Any) -> Any:
    container = {"name": "worker", "image": "registry.example.com/worker:1", "resources": {"claims": [{"name": "c"}]}}
    return {
        "containers": [container],
        "resourceClaims": [{"name": "c", "resourceClaimTemplateName": template}],
        **fields,
    }


def workload(kind: str, template: str, name: str = "w", version: str = "apps/v1", **fields: Any) -> Any:
    labels = {"app": name}
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod_spec(template)},
        **fields,
    }
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def pod(name: str, template: str, **fields: Any) -> Any:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec(template, **fields)}
