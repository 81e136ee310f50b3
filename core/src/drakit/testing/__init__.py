"""The public test kit: what a driver meets, in memory and on this machine, and what a plugin must keep to.

What is named here is imported when it is first used: a plugin's tests need no gRPC to lay out a node.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drakit.testing.apiserver import InMemoryApiServer, Refusal
    from drakit.testing.configuration import Configured, configured
    from drakit.testing.kubelet import (
        PROFILES,
        CallFailed,
        FakeKubelet,
        KubeletProfile,
        Prepared,
        Registration,
        RuleBroken,
    )
    from drakit.testing.nodes import NodeLayout, is_laid_out, lay_out, read_layout
    from drakit.testing.scenarios import Scenario
    from drakit.testing.stage import Stage

__all__ = [
    "PROFILES",
    "CallFailed",
    "Configured",
    "FakeKubelet",
    "InMemoryApiServer",
    "KubeletProfile",
    "NodeLayout",
    "Prepared",
    "Refusal",
    "Registration",
    "RuleBroken",
    "Scenario",
    "Stage",
    "configured",
    "is_laid_out",
    "lay_out",
    "read_layout",
]

_MODULES = {
    "drakit.testing.apiserver": ("InMemoryApiServer", "Refusal"),
    "drakit.testing.configuration": ("Configured", "configured"),
    "drakit.testing.kubelet": (
        "PROFILES",
        "CallFailed",
        "FakeKubelet",
        "KubeletProfile",
        "Prepared",
        "Registration",
        "RuleBroken",
    ),
    "drakit.testing.nodes": ("NodeLayout", "is_laid_out", "lay_out", "read_layout"),
    "drakit.testing.scenarios": ("Scenario",),
    "drakit.testing.stage": ("Stage",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
