"""The vocabulary of DRA as frozen values. Validators are the API server's own limits; nothing here does I/O."""

from drakit.model.claim import AllocatedDevice, ClaimAllocation, ClaimRef, ConfigSource, OpaqueConfig
from drakit.model.described import DescribedDevice
from drakit.model.device import (
    ALL_NODES,
    PER_DEVICE,
    THIS_NODE,
    AttributeValue,
    BindingConditions,
    CounterConsumption,
    CounterSet,
    Device,
    DeviceRef,
    NodeSelection,
    NodeSelector,
    NodeSelectorRequirement,
    Taint,
    TaintEffect,
)
from drakit.model.edits import ContainerEdits, ContainerHook, DeviceHandle, DeviceNode, Hold, Mount, PreparedDevice
from drakit.model.finding import Finding, Severity
from drakit.model.hardware import PciFunction
from drakit.model.health import Fault, FaultEnd, Health, HealthStatus
from drakit.model.pool import DeviceGroup, Inventory, Pool, ResolvedPool
from drakit.model.quantity import Quantity
from drakit.model.sharing import RequestPolicy, SharePolicy, ValidRange
from drakit.model.status import Condition, ConditionStatus, DeviceStatus, NetworkData
from drakit.model.toleration import Toleration, TolerationOperator
from drakit.model.version import Version

__all__ = [
    "ALL_NODES",
    "PER_DEVICE",
    "THIS_NODE",
    "AllocatedDevice",
    "AttributeValue",
    "BindingConditions",
    "ClaimAllocation",
    "ClaimRef",
    "Condition",
    "ConditionStatus",
    "ConfigSource",
    "ContainerEdits",
    "ContainerHook",
    "CounterConsumption",
    "CounterSet",
    "DescribedDevice",
    "Device",
    "DeviceGroup",
    "DeviceHandle",
    "DeviceNode",
    "DeviceRef",
    "DeviceStatus",
    "Fault",
    "FaultEnd",
    "Finding",
    "Health",
    "HealthStatus",
    "Hold",
    "Inventory",
    "Mount",
    "NetworkData",
    "NodeSelection",
    "NodeSelector",
    "NodeSelectorRequirement",
    "OpaqueConfig",
    "PciFunction",
    "Pool",
    "PreparedDevice",
    "Quantity",
    "RequestPolicy",
    "ResolvedPool",
    "Severity",
    "SharePolicy",
    "Taint",
    "TaintEffect",
    "Toleration",
    "TolerationOperator",
    "ValidRange",
    "Version",
]
