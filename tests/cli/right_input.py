"""A node with four GPUs and what asks for one of them: all of it right, for tests to make it wrong."""

from __future__ import annotations

from typing import Any

import yaml

SLICES = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceSlice",
    "metadata": {"name": "s"},
    "spec": {
        "driver": "gpu.example.com",
        "nodeName": "n1",
        "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1},
        "devices": [
            {
                "name": f"gpu-{number}",
                "attributes": {"model": {"string": "m1"}, "example.com/group_id": {"string": "g"}},
                "capacity": {"memory": {"value": "8Gi"}},
            }
            for number in range(4)
        ],
    },
}
CLASS = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceClass",
    "metadata": {"name": "gpus"},
    "spec": {"selectors": [{"cel": {"expression": 'device.driver == "gpu.example.com"'}}]},
}
TEMPLATE = """\
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata:
  name: t
spec:
  spec:
    devices:
      requests:
      - name: gpus
        exactly:
          deviceClassName: gpus
          count: 1
"""
POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: p
spec:
  containers:
  - name: c
    image: registry.example.com/c:1
    resources:
      claims:
      - name: gpus
  resourceClaims:
  - name: gpus
    resourceClaimTemplateName: t
"""


def refused(plan: Any, text: str, **options: Any) -> str:
    code, said, out = plan(text, **options)
    assert (code, out) == (2, ""), said
    return said


def workload(kind: str, version: str, **fields: Any) -> str:
    pod = yaml.safe_load(POD)["spec"]
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template, **fields}
    document = {"apiVersion": version, "kind": kind, "metadata": {"name": "w"}, "spec": spec}
    return f"{TEMPLATE}---\n{yaml.safe_dump(document)}"
