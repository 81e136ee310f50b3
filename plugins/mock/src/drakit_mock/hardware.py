"""Faked hardware that no other plugin knows: the PCI functions of generic nodes, and the GPUs of real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from attrs import frozen
from drakit import PciFunction, read_document
from drakit.errors import ConfigError

from drakit_mock.profile import API_VERSION
from drakit_mock.template import Axis, Variables, attribute_value, fill, repetitions

NODES = Path(__file__).parent / "nodes"
_GPUS: dict[str, Any] = json.loads((Path(__file__).parent / "gpus.json").read_text(encoding="utf-8"))
_DESCRIBED = frozenset(path.stem for path in NODES.glob("*.yaml"))
_COUNTED = frozenset(name for model in _GPUS["models"] for name in model["types"])
NODE_TYPES = tuple(sorted(_DESCRIBED | _COUNTED))
"""The node types with a file of their own in `nodes/`, and those of which gpus.json knows the GPUs."""
_NVIDIA, _3D_CONTROLLER = 0x10DE, 0x030200


@frozen(kw_only=True)
class FunctionSet:
    """PCI functions that are alike. `address`, `root` and the string in `numa_node` are templates.

    Ids are integers, best written in hexadecimal. See `drakit.PciFunction`.
    """

    address: str
    root: str
    vendor: int
    device: int
    class_code: int
    driver: str | None = None
    numa_node: Any = -1
    count: int | None = None
    for_each: tuple[Axis, ...] = ()


@frozen(kw_only=True)
class MockNode:
    """The PCI functions that one type of node has."""

    api_version: ClassVar[str] = API_VERSION
    kind: ClassVar[str] = "MockNode"

    functions: tuple[FunctionSet, ...]


def pci_functions(node_type: str) -> list[PciFunction]:
    """The functions of a node type, none for one that is not known. Raises ConfigError for a file that is wrong."""
    if node_type not in _DESCRIBED:
        return _counted_gpus(node_type)
    node = read_document(NODES / f"{node_type}.yaml", MockNode, MockNode.api_version, MockNode.kind)
    return [
        _function(function_set, variables)
        for function_set in node.functions
        for variables in repetitions(function_set.count, function_set.for_each)
    ]


def _counted_gpus(node_type: str) -> list[PciFunction]:
    root = _GPUS["root"]
    return [
        PciFunction(
            address=f"0000:{root}:{slot:02x}.0",
            root=f"pci0000:{root}",
            vendor=_NVIDIA,
            device=int(model["device"], 16),
            class_code=_3D_CONTROLLER,
            driver="nvidia",
        )
        for model in _GPUS["models"]
        for slot in range(model["types"].get(node_type, 0))
    ]


def _function(function_set: FunctionSet, variables: Variables) -> PciFunction:
    numa_node = attribute_value(function_set.numa_node, variables)
    if not isinstance(numa_node, int):
        raise ConfigError(f"numaNode must be an integer or {{int: ...}}, not {numa_node!r}")
    return PciFunction(
        address=fill(function_set.address, variables),
        root=fill(function_set.root, variables),
        vendor=function_set.vendor,
        device=function_set.device,
        class_code=function_set.class_code,
        driver=function_set.driver,
        numa_node=numa_node,
    )
