"""drakit: a framework for Kubernetes Dynamic Resource Allocation drivers. This is its public API.

A hardware backend needs nothing but what is named here, and `drakit.errors` for the less usual exceptions. What is
named here is imported when it is first used: `drakit` is the parent of modules that need none of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drakit.context import PluginContext
    from drakit.decoding import read_document
    from drakit.errors import ClaimError, DeviceUnfit, DRAError, InvalidDeviceConfig
    from drakit.hookspecs import hookimpl
    from drakit.model import (
        ALL_NODES,
        PER_DEVICE,
        THIS_NODE,
        AllocatedDevice,
        AttributeValue,
        BindingConditions,
        ClaimAllocation,
        ClaimRef,
        Condition,
        ConditionStatus,
        ConfigSource,
        ContainerEdits,
        ContainerHook,
        CounterConsumption,
        CounterSet,
        DescribedDevice,
        Device,
        DeviceGroup,
        DeviceNode,
        DeviceRef,
        DeviceStatus,
        Fault,
        FaultEnd,
        Finding,
        Health,
        HealthStatus,
        Hold,
        Inventory,
        Mount,
        NetworkData,
        NodeSelection,
        NodeSelector,
        NodeSelectorRequirement,
        OpaqueConfig,
        PciFunction,
        Pool,
        PreparedDevice,
        Quantity,
        RequestPolicy,
        Severity,
        SharePolicy,
        Taint,
        TaintEffect,
        Toleration,
        TolerationOperator,
        ValidRange,
        Version,
    )
    from drakit.pci import pci_attributes
    from drakit.rules import AtMost, Between, Each, EachKey, Length, Matches, NoneOf, OneOf

__all__ = [
    "ALL_NODES",
    "PER_DEVICE",
    "THIS_NODE",
    "AllocatedDevice",
    "AtMost",
    "AttributeValue",
    "Between",
    "BindingConditions",
    "ClaimAllocation",
    "ClaimError",
    "ClaimRef",
    "Condition",
    "ConditionStatus",
    "ConfigSource",
    "ContainerEdits",
    "ContainerHook",
    "CounterConsumption",
    "CounterSet",
    "DRAError",
    "DescribedDevice",
    "Device",
    "DeviceGroup",
    "DeviceNode",
    "DeviceRef",
    "DeviceStatus",
    "DeviceUnfit",
    "Each",
    "EachKey",
    "Fault",
    "FaultEnd",
    "Finding",
    "Health",
    "HealthStatus",
    "Hold",
    "InvalidDeviceConfig",
    "Inventory",
    "Length",
    "Matches",
    "Mount",
    "NetworkData",
    "NodeSelection",
    "NodeSelector",
    "NodeSelectorRequirement",
    "NoneOf",
    "OneOf",
    "OpaqueConfig",
    "PciFunction",
    "PluginContext",
    "Pool",
    "PreparedDevice",
    "Quantity",
    "RequestPolicy",
    "Severity",
    "SharePolicy",
    "Taint",
    "TaintEffect",
    "Toleration",
    "TolerationOperator",
    "ValidRange",
    "Version",
    "hookimpl",
    "pci_attributes",
    "read_document",
]

_HOMES = {
    "PluginContext": "drakit.context",
    "read_document": "drakit.decoding",
    "ClaimError": "drakit.errors",
    "DRAError": "drakit.errors",
    "DeviceUnfit": "drakit.errors",
    "InvalidDeviceConfig": "drakit.errors",
    "hookimpl": "drakit.hookspecs",
    "pci_attributes": "drakit.pci",
    "AtMost": "drakit.rules",
    "Between": "drakit.rules",
    "Each": "drakit.rules",
    "EachKey": "drakit.rules",
    "Length": "drakit.rules",
    "Matches": "drakit.rules",
    "NoneOf": "drakit.rules",
    "OneOf": "drakit.rules",
}
"""The modules of names that are not in `drakit.model`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES.get(name, "drakit.model")), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
