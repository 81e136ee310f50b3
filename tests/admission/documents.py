"""Opaque parameters of the shipped plugins: what drivers take, and each kind of what they refuse.

Shared by the tests of the expressions and those on a real API server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

ROOT = Path(__file__).parents[2]
EXAMPLES = [
    *sorted(ROOT.glob("docs/examples/**/*.yaml")),
    *sorted(ROOT.glob("plugins/*/src/*/data/**/*.yaml")),
    ROOT / "tests/cluster/features/classes.yaml",
]
PAGES = [*sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("plugins/*/README.md"))]
DRIVERS = {"neuron": "neuron.aws.com", "efa": "dra.net", "mock": "mock.example.com"}

NEURON = {"apiVersion": "neuron.aws.com/v1", "kind": "NeuronConfig"}
ULTRASERVER = {"apiVersion": "neuron.aws.com/v1", "kind": "UltraServerConfig"}
EFA = {"apiVersion": "efa.drakit/v1", "kind": "EfaConfig"}
MOCK = {"apiVersion": "mock.drakit/v1alpha1", "kind": "MockConfig"}

GOOD: list[tuple[str, Document]] = [
    *[("neuron", NEURON | {"logicalNeuronCore": size}) for size in (1, 2)],
    *[("neuron", ULTRASERVER | {"ultraserverMode": nodes}) for nodes in (1, 2, 4)],
    ("efa", EFA),
    ("efa", EFA | {"provider": True, "deviceRdma": False, "forkSafe": None, "deviceListVariable": "FI_EFA_IFACE"}),
    ("efa", EFA | {"additionalGids": [0, 1000, 2**32 - 2], "deviceListVariable": "A" * 128}),
    ("efa", {}),
    ("efa", {"apiVersion": "", "kind": None, "profile": "gke-rdma"}),
    ("efa", {"interface": {"forwarding": False, "vrf": {"name": "vrf0", "table": 1001}}}),
    ("efa", {"interface": {"name": "", "addresses": [], "mtu": None}}),
    ("efa", {"interface": None, "routes": [], "rules": [], "neighbors": [], "ethtool": None}),
    ("efa", {"interface": {"vrf": {"table": 2**70}}}),
    ("mock", MOCK),
    ("mock", MOCK | {"env": {"_A1": "", "B": "é\n"}}),
]

BAD: list[tuple[str, Document, list[str]]] = [
    (
        "neuron",
        NEURON | {"lncSzie": 1},
        ['NeuronConfig of neuron.aws.com/v1: unknown key "lncSzie"', "logicalNeuronCore"],
    ),
    ("neuron", NEURON, ['missing key "logicalNeuronCore"']),
    ("neuron", NEURON | {"logicalNeuronCore": 3}, ["logicalNeuronCore must be one of 1, 2, not 3"]),
    ("neuron", NEURON | {"logicalNeuronCore": "1"}, ['logicalNeuronCore must be an integer, not "1"']),
    ("neuron", NEURON | {"logicalNeuronCore": True}, ["logicalNeuronCore must be an integer, not true"]),
    ("neuron", NEURON | {"logicalNeuronCore": 1.5}, ["logicalNeuronCore must be an integer, not 1.5"]),
    ("neuron", NEURON | {"logicalNeuronCore": None}, ["logicalNeuronCore must be an integer, not null"]),
    ("neuron", NEURON | {"logicalNeuronCore": {"size": [1]}}, ["logicalNeuronCore must be an integer, not {"]),
    ("neuron", ULTRASERVER | {"ultraserverMode": 3}, ["ultraserverMode must be one of 1, 2, 4, not 3"]),
    (
        "neuron",
        NEURON | {"kind": "Other"},
        ['kind "Other"; this driver takes NeuronConfig of neuron.aws.com/v1 or Ultra'],
    ),
    (
        "neuron",
        NEURON | {"apiVersion": "neuron.aws.com/v2"},
        ['apiVersion "neuron.aws.com/v2" and kind "NeuronConfig"; th'],
    ),
    ("neuron", {"logicalNeuronCore": 1}, ["no apiVersion and no kind; this driver takes NeuronConfig"]),
    ("efa", EFA | {"deviceList": "X"}, ['unknown key "deviceList"; known keys are additionalGids, deviceListVariable']),
    ("efa", EFA | {"provider": "efa"}, ['provider must be true or false, not "efa"']),
    ("efa", EFA | {"additionalGids": ["video"]}, ['additionalGids[0] must be an integer, not "video"']),
    ("efa", EFA | {"additionalGids": 44}, ["additionalGids must be a list, not 44"]),
    ("efa", EFA | {"additionalGids": [1, -1]}, ["additionalGids[1] must be a group id from 0 to 4294967294, not -1"]),
    ("efa", EFA | {"deviceListVariable": "A=B"}, ["deviceListVariable must be the name of an environment variable"]),
    ("efa", EFA | {"deviceListVariable": "A\n"}, ["environment variable", r'not "A\n"']),
    ("efa", EFA | {"deviceListVariable": "FI_PROVIDER"}, ["must be none of FI_PROVIDER, ", 'not "FI_PROVIDER"']),
    (
        "efa",
        {"provider": True},
        ['NetworkConfig without apiVersion and kind: unknown key "provider"', "EfaConfig of efa"],
    ),
    ("efa", {"interface": {"dhcp": False, "mtu": 9000}}, ["interface.dhcp, interface.mtu cannot be applied"]),
    ("efa", {"interface": {"vrf": {"nam": "x"}}}, ['interface.vrf: unknown key "nam"; known keys are name, table']),
    (
        "efa",
        {"routes": [{}, {"scope": "0"}]},
        ['routes[1].scope must be an integer, not "0"', "routes cannot be applied"],
    ),
    ("efa", {"ethtool": {"features": {"a b": 1}}}, ['ethtool.features["a b"] must be true or false, not 1']),
    ("mock", MOCK | {"env": {"a b": ""}}, ["env: key must be the name of an environment variable", 'not "a b"']),
    ("mock", MOCK | {"env": {"A": 1}}, ['env["A"] must be a string, not 1']),
    ("mock", MOCK | {"env": []}, ["env must be a mapping, not []"]),
    ("mock", MOCK | {"environment": {}}, ['unknown key "environment"; known keys are env']),
]


def published() -> Iterator[tuple[Path, Document]]:
    """Every claim, template of claims and class in examples, plugins and pages, with where it stands."""
    for path in EXAMPLES:
        yield from ((path, one) for one in _objects(path.read_text()))
    for path in PAGES:
        for block in path.read_text().split("```yaml\n")[1:]:
            yield from ((path, one) for one in _objects(block.split("```")[0]))


def _objects(text: str) -> Iterator[Document]:
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError:  # a part of a document, or a file with marks to be filled in
        return
    for one in documents:
        if isinstance(one, dict) and one.get("kind") in ("ResourceClaim", "ResourceClaimTemplate", "DeviceClass"):
            yield one


def configs(document: Document) -> list[Document]:
    """The configurations of a claim, a template or a class."""
    spec = document["spec"]
    spec = spec.get("spec", spec)
    return [one["opaque"] for one in spec.get("devices", spec).get("config", ())]
