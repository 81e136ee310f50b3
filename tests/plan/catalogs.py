"""The texts of catalogs, right as they are."""

from __future__ import annotations

HEAD = "apiVersion: drakit/v1alpha1\nkind: TemplateCatalog\n"
ONE = """
templates:
- name: one
  title: One GPU
  claims:
  - requests:
    - {name: gpu, deviceClassName: gpu.example.com}
  nodes:
  - {types: [big, huge], perNode: 8}
"""
NODES = "  - {types: [big, huge], perNode: 8}"
REQUEST = "    - {name: gpu, deviceClassName: gpu.example.com}"
TITLE = "title: One GPU"
CLAIMS = f"claims:\n  - requests:\n{REQUEST}"
SIZED = """
templates:
- name: "{size}-gpus"
  title: "GPUs: {gpus}"
  values: {link: example.com/island}
  sizes:
    s: {gpus: 1, link: ""}
    m: {gpus: 2}
    l: {gpus: 4}
  claims:
  - requests:
    - name: gpus
      deviceClassName: gpu.example.com
      count: "{gpus}"
      selectors:
      - device.attributes["gpu.example.com"].model == "{nodeType}-{size}"
      tolerations: [{key: example.com/beta, operator: Exists}]
    constraints:
    - {requests: [gpus], matchAttribute: "{link}"}
    config:
    - driver: gpu.example.com
      parameters: {kind: Mode, gpus: "{gpus}", note: "of {gpus}"}
  nodes:
  - types: [big]
    perNode: {s: 8, m: 4, l: 2}
  - types: [small]
    perNode: {s: 2}
    values: {link: example.com/pair}
    sizes: {s: {gpus: 1}}
    config:
    - {requests: [gpus], driver: gpu.example.com, parameters: {power: low}}
"""
PAIRS = """
templates:
- name: pairs
  title: Pairs
  claims:
  - repeat: 2
    requests:
    - {name: gpu, deviceClassName: gpu.example.com}
    - {name: nic, deviceClassName: nic.example.com, capacity: {example.com/share: 2}}
    constraints:
    - {matchAttribute: example.com/root}
    config:
    - {requests: [nic], driver: nic.example.com, parameters: {mtu: 9000}}
    - {driver: nic.example.com, parameters: {mode: fast}}
  nodes:
  - {types: [big], perNode: 4}
"""
SIDES = """
templates:
- name: serve
  title: Two sides
  claims:
  - {name: front, requests: [{name: gpus, deviceClassName: gpu.example.com, all: true}]}
  - {name: back, requests: [{name: gpus, deviceClassName: gpu.example.com, count: 2}]}
  nodes:
  - {types: [big], perNode: 1}
"""
