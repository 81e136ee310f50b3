"""CEL values as Python values, and CEL's equality.

bool, int, float, str, bytes and None stand for themselves; a list is a tuple, a map a dict; versions and quantities
are the model's. What Python has no type for is here.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_interface
from typing import Any
from urllib.parse import SplitResult

from attrs import frozen

from drakit.model import Quantity, Version
from drakit.plan.cel.errors import CelRuntimeError

INT_MAX = 2**63 - 1
INT_MIN = -(2**63)
UINT_MAX = 2**64 - 1

Value = Any


class UInt(int):
    """An unsigned 64-bit integer."""

    __slots__ = ()


@frozen
class CelType:
    """The value of `type(x)`, and of a type's name."""

    name: str


@frozen
class Optional:
    """An optional value; see `NONE`."""

    value: Value = None
    present: bool = True


NONE = Optional(present=False)


Address = IPv4Address | IPv6Address


@frozen
class Cidr:
    """An address with the length of its prefix; host bits may be set."""

    address: Address
    prefix: int

    @property
    def network(self) -> IPv4Network | IPv6Network:
        """The same with its host bits zero."""
        return ip_interface(f"{self.address}/{self.prefix}").network

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix}"


@frozen
class Url:
    """An absolute URL, or one that begins with a path."""

    parts: SplitResult


class Domains(dict[str, dict[str, Value]]):
    """A device's attributes or capacities by domain: a domain that is absent reads as an empty one.

    That holds for looking it up in any way, `has` included; `in`, `size` and iteration see only what there is. Source:
    the mapper of upstream's DRA environment, whose Find answers for every key.
    """

    def __missing__(self, domain: str) -> dict[str, Value]:
        return {}


@frozen(eq=False)
class DeviceValue:
    """What a selector sees as `device`."""

    driver: str
    attributes: Domains
    capacity: Domains
    allow_multiple_allocations: bool


def no_overload() -> CelRuntimeError:
    """No function takes values of these types."""
    return CelRuntimeError("no such overload")


NUMBERS = (int, float, UInt)
_KEYS = frozenset({bool, int, UInt, float, str})
_PLAIN = frozenset({bool, int, UInt, float, str, bytes, CelType})
_STRICT = (Version, Quantity, IPv4Address, IPv6Address, Cidr, Url)


def equal(left: Value, right: Value) -> bool:  # noqa: PLR0911 - one line per type of value
    """`left == right` as CEL decides it.

    Values of different types are unequal and numbers compare across types, but a version, quantity or address on the
    left only compares with its like: anything else is a CelRuntimeError.
    """
    kind, other = type(left), type(right)
    if kind is other and kind in _PLAIN:
        return bool(left == right)
    if left is None or right is None:
        return left is right
    if kind in NUMBERS and other in NUMBERS:
        return bool(left == right)
    if isinstance(left, tuple):
        return (
            isinstance(right, tuple)
            and len(left) == len(right)
            and all(equal(a, b) for a, b in zip(left, right, strict=True))
        )
    if isinstance(left, dict):
        return isinstance(right, dict) and _equal_maps(left, right)
    if isinstance(left, Optional):
        return isinstance(right, Optional) and left.present == right.present and equal(left.value, right.value)
    if isinstance(left, _STRICT):
        if family(left) != family(right):
            raise no_overload()
        return bool(left == right)
    return kind is other and bool(left == right)


def _equal_maps(left: dict[Value, Value], right: dict[Value, Value]) -> bool:
    return len(left) == len(right) and all(has_key(right, key) and equal(left[key], right[key]) for key in left)


def has_key(mapping: dict[Value, Value], key: Value) -> bool:
    """Whether the key is there. Python takes true for 1; CEL does not. CelRuntimeError for what cannot be one."""
    if key.__class__ is str:
        return key in mapping
    if type(key) not in _KEYS:
        raise no_overload()
    return key in mapping and any(equal(known, key) for known in mapping)


def contains(values: tuple[Value, ...], wanted: Value) -> bool:
    """Whether it is among the values. A comparison that fails counts as unequal, as in cel-go."""
    for value in values:
        try:
            if equal(wanted, value):
                return True
        except CelRuntimeError:
            continue
    return False


_FAMILIES: dict[type, str] = {
    type(None): "null_type",
    bool: "bool",
    int: "int",
    UInt: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    tuple: "list",
    dict: "map",
    Domains: "map",
    CelType: "type",
    Optional: "optional_type",
    Quantity: "kubernetes.Quantity",
    Version: "kubernetes.Semver",
    IPv4Address: "net.IP",
    IPv6Address: "net.IP",
    Cidr: "net.CIDR",
    Url: "kubernetes.URL",
    DeviceValue: "kubernetes.DRADevice",
}


def family(value: Value) -> str:
    """The name of a value's CEL type, without parameters."""
    return _FAMILIES.get(type(value), type(value).__name__)
