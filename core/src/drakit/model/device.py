"""What a node offers: devices, their selectors and their taints.

Limits are those of `resource.k8s.io/v1` validation, Kubernetes 1.34 to 1.37; where releases differ, the widest is
checked here and what depends on the server's version is decided where slices are made.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from types import MappingProxyType

from attrs import Attribute, evolve, field, frozen

from drakit.errors import LimitExceeded
from drakit.model.converters import (
    frozen_tuple,
    quantity_mapping,
)
from drakit.model.names import (
    check_count,
    check_driver_name,
    check_label,
    check_label_key,
    check_label_value,
    check_pool_name,
    check_qualified_name,
    valid,
)
from drakit.model.quantity import Quantity
from drakit.model.version import Version

MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_VALUES = 48
MAX_STRING_BYTES = 64
MAX_TAINTS = 16
MAX_BINDING_CONDITIONS = 4
MAX_COUNTERS = 32
MAX_COUNTER_SETS_CONSUMED = 2

Scalar = bool | int | str | Version
AttributeValue = Scalar | tuple[Scalar, ...]
"""One attribute. A bool is not an int here, and a Version not a string; a tuple is a list attribute (1.36, alpha)."""


def plain(value: AttributeValue) -> AttributeValue:
    """An attribute value of the plain types: members of a str or int enumeration become what they stand for."""
    if isinstance(value, tuple):
        return tuple(_plain_scalar(item) for item in value)
    return _plain_scalar(value)


def _plain_scalar(value: Scalar) -> Scalar:
    if type(value) in (str, int, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # str() of an enumeration that is not a StrEnum is its name
    return int(value) if isinstance(value, int) else value


def _attributes(value: Mapping[str, AttributeValue]) -> Mapping[str, AttributeValue]:
    return MappingProxyType({name: plain(item) for name, item in value.items()})


@frozen(order=True)
class DeviceRef:
    """The identity of a device in the cluster. `str()` is `driver/pool/name`."""

    driver: str = field(validator=valid(check_driver_name))
    pool: str = field(validator=valid(check_pool_name))
    name: str = field(validator=valid(check_label))

    def __str__(self) -> str:
        return f"{self.driver}/{self.pool}/{self.name}"


class TaintEffect(enum.StrEnum):
    """What a taint does to claims that do not tolerate it. NONE only informs (1.35 and later)."""

    NONE = "None"
    NO_SCHEDULE = "NoSchedule"
    NO_EXECUTE = "NoExecute"


@frozen
class Taint:
    """A device taint. The API server sets the time it was added."""

    key: str = field(validator=valid(check_label_key))
    value: str = field(default="", validator=valid(check_label_value))
    effect: TaintEffect = field(default=TaintEffect.NO_SCHEDULE, converter=TaintEffect)


def _check_counters(field_name: str, counters: Mapping[str, Quantity]) -> None:
    check_count(field_name, counters, MAX_COUNTERS, least=1)
    for name in counters:
        check_label(f"{field_name}: the name of a counter", name)


@frozen
class CounterSet:
    """Counters that the devices of one pool share; partitions consume them (KEP-4815)."""

    name: str = field(validator=valid(check_label))
    counters: Mapping[str, Quantity] = field(converter=quantity_mapping)

    def __attrs_post_init__(self) -> None:
        _check_counters(f"counter set {self.name!r}", self.counters)


@frozen
class CounterConsumption:
    """What one device takes from one counter set of its pool while it is allocated."""

    counter_set: str = field(validator=valid(check_label))
    counters: Mapping[str, Quantity] = field(converter=quantity_mapping)

    def __attrs_post_init__(self) -> None:
        _check_counters(f"consumption of {self.counter_set!r}", self.counters)


@frozen
class BindingConditions:
    """Conditions some controller sets on an allocated device before its pod is bound (KEP-5007)."""

    conditions: tuple[str, ...] = field(converter=frozen_tuple)
    failure_conditions: tuple[str, ...] = field(converter=frozen_tuple)
    binds_to_node: bool = False

    def __attrs_post_init__(self) -> None:
        for name, values in (("conditions", self.conditions), ("failure_conditions", self.failure_conditions)):
            check_count(f"BindingConditions.{name}", values, MAX_BINDING_CONDITIONS, least=1)
            for value in values:
                check_label_key(f"BindingConditions.{name}", value)
        both = self.conditions + self.failure_conditions
        if len(set(both)) != len(both):
            raise LimitExceeded("BindingConditions", "must not name a condition twice", both)


_VALUES_OF_OPERATORS = {
    "In": (1, sys.maxsize),
    "NotIn": (1, sys.maxsize),
    "Exists": (0, 0),
    "DoesNotExist": (0, 0),
    "Gt": (1, 1),
    "Lt": (1, 1),
}
"""How many values each may have."""


@frozen
class NodeSelectorRequirement:
    """One expression over node labels, or over the node's name where `on_fields`: its key is then `metadata.name`."""

    key: str
    operator: str = field()
    values: tuple[str, ...] = field(default=(), converter=frozen_tuple)
    on_fields: bool = False

    @operator.validator
    def _known(self, _attribute: Attribute[str], value: str) -> None:
        if value not in _VALUES_OF_OPERATORS:
            known = ", ".join(_VALUES_OF_OPERATORS)
            raise LimitExceeded("NodeSelectorRequirement.operator", f"must be one of {known}", value)

    def __attrs_post_init__(self) -> None:
        if self.on_fields:
            if (self.key, len(self.values)) != ("metadata.name", 1) or self.operator not in ("In", "NotIn"):
                rule = "on fields must be metadata.name, In or NotIn, with one value"
                raise LimitExceeded("NodeSelectorRequirement", rule, (self.key, self.operator, *self.values))
            return
        check_label_key("NodeSelectorRequirement.key", self.key)
        least, most = _VALUES_OF_OPERATORS[self.operator]
        check_count(f"NodeSelectorRequirement.values for {self.operator}", self.values, most, least)
        for value in self.values:
            check_label_value("NodeSelectorRequirement.values", value)


@frozen
class NodeSelector:
    """The one node selector term a pool or device may have; its requirements are ANDed."""

    requirements: tuple[NodeSelectorRequirement, ...] = field(converter=frozen_tuple)

    def __attrs_post_init__(self) -> None:
        check_count("NodeSelector.requirements", self.requirements, 1000, least=1)


class _Nodes(enum.Enum):
    THIS_NODE = "the agent's own node"
    ALL_NODES = "every node"
    PER_DEVICE = "as each device says"


THIS_NODE = _Nodes.THIS_NODE
"""The devices are local to the node the agent runs on: the usual case."""
ALL_NODES = _Nodes.ALL_NODES
"""The devices can be used from every node, as a network-attached pool can."""
PER_DEVICE = _Nodes.PER_DEVICE
"""Each device says for itself from which nodes it can be used (`Device.nodes`)."""

NodeSelection = _Nodes | NodeSelector


def check_attribute(name: str, value: object) -> int:
    """Check one attribute; returns how many values it counts for."""
    check_qualified_name(f"attribute {name!r}", name)
    if isinstance(value, tuple):
        if not value:
            raise LimitExceeded(f"attribute {name!r}", "must not be an empty list", value)
        if len({type(item) for item in value}) != 1:
            raise LimitExceeded(f"attribute {name!r}", "must be a list of one type", value)
        return sum(_check_scalar(name, item) for item in value)
    return _check_scalar(name, value)


def _check_scalar(name: str, value: object) -> int:
    if isinstance(value, str):
        if len(value.encode()) > MAX_STRING_BYTES:
            raise LimitExceeded(f"attribute {name!r}", f"must be a string of at most {MAX_STRING_BYTES} bytes", value)
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise LimitExceeded(f"attribute {name!r}", "must be a 64-bit integer", value)
    elif not isinstance(value, Version):
        raise LimitExceeded(f"attribute {name!r}", "must be a bool, int, str, Version or a tuple of one of them", value)
    return 1


@frozen
class Device:
    """One device as a backend's `discover` returns it.

    An attribute or capacity name without a domain belongs to the driver's own domain. `capacity` values may be given
    as int, str or Quantity. `consumes` refers to counter sets of the pool the device is in. `nodes` is given exactly
    where the pool says PER_DEVICE.
    """

    name: str = field(validator=valid(check_label))
    attributes: Mapping[str, AttributeValue] = field(factory=dict, converter=_attributes)
    capacity: Mapping[str, Quantity] = field(factory=dict, converter=quantity_mapping)
    taints: tuple[Taint, ...] = field(default=(), converter=frozen_tuple)
    consumes: tuple[CounterConsumption, ...] = field(default=(), converter=frozen_tuple)
    binding: BindingConditions | None = None
    nodes: NodeSelection | None = None

    def __attrs_post_init__(self) -> None:
        where = f"device {self.name!r}"
        if len(self.attributes) + len(self.capacity) > MAX_ATTRIBUTES:
            raise LimitExceeded(
                f"{where}: attributes and capacity",
                f"may have at most {MAX_ATTRIBUTES} entries together",
                len(self.attributes) + len(self.capacity),
            )
        values = sum(check_attribute(name, value) for name, value in self.attributes.items())
        if values > MAX_ATTRIBUTE_VALUES:
            raise LimitExceeded(
                f"{where}: attributes", f"may have at most {MAX_ATTRIBUTE_VALUES} values, list items counted", values
            )
        for name in self.capacity:
            check_qualified_name(f"{where}: capacity {name!r}", name)
        check_count(f"{where}: taints", self.taints, MAX_TAINTS)
        check_count(f"{where}: consumes", self.consumes, MAX_COUNTER_SETS_CONSUMED)
        if len({consumption.counter_set for consumption in self.consumes}) != len(self.consumes):
            raise LimitExceeded(f"{where}: consumes", "must name each counter set once", self.consumes)
        if self.nodes in (THIS_NODE, PER_DEVICE):
            raise LimitExceeded(f"{where}: nodes", "must be ALL_NODES or a NodeSelector", self.nodes)

    def with_attributes(self, extra: Mapping[str, AttributeValue]) -> Device:
        """The same device with more attributes; later values win."""
        return evolve(self, attributes=dict(self.attributes) | dict(extra))
