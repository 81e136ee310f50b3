"""A device selector: a compiled expression, and devices as it sees them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from attrs import field, frozen

from drakit.model import Device
from drakit.plan.cel.ast import Node
from drakit.plan.cel.checker import check
from drakit.plan.cel.errors import CelRuntimeError
from drakit.plan.cel.estimate import estimate
from drakit.plan.cel.library import QUALIFIED
from drakit.plan.cel.parser import parse
from drakit.plan.cel.program import Program
from drakit.plan.cel.values import DeviceValue, Domains, Value, family


@frozen
class Selector:
    """A selector of a device class or a request. `root` is its syntax tree, for explanations."""

    expression: str
    root: Node = field(repr=False, eq=False)
    _program: Program = field(repr=False, eq=False)

    def matches(self, device: Device, driver: str, shared: bool = False) -> bool:  # noqa: FBT002 - reads well by place
        """Does the device match? `shared` says whether it may be allocated to several claims at once.

        Raises CelRuntimeError where the scheduler's evaluation fails.
        """
        return self.matches_value(device_value(device, driver, shared=shared))

    def matches_value(self, device: DeviceValue) -> bool:
        """The same for a device that was converted before, as a search over many selectors does."""
        value = self._program.run(device)
        if value is True or value is False:
            return bool(value)
        raise CelRuntimeError(f"CEL result of type {family(value)} could not be converted to bool")

    @property
    def most_cost(self) -> int:
        """What it may cost at most, as the API server estimates it: it refuses a new selector over MAX_COST."""
        return estimate(self.root)

    def cost(self, device: DeviceValue) -> int:
        """What it costs on a device, in the units of which upstream allows 1,000,000. Raises CelRuntimeError."""
        return Program(self.root, metered=True).cost(device)


@lru_cache(maxsize=1024)
def compile_selector(expression: str, without: frozenset[str] = frozenset()) -> Selector:
    """Compile an expression of the DRA selector environment; the same text is compiled once.

    `without` names what a version, or a feature that is off, leaves out: the function `includes`, or the device's field
    `allowMultipleAllocations`. Raises CelSyntaxError or CelTypeError.
    """
    root = parse(expression, QUALIFIED)
    check(root, without)
    return Selector(expression, root, Program(root))


def device_value(device: Device, driver: str, *, shared: bool) -> DeviceValue:
    """The `device` of selectors: a name without a domain gets the driver as its domain."""
    return DeviceValue(driver, _domains(device.attributes, driver), _domains(device.capacity, driver), shared)


def _domains(values: Mapping[str, Any], driver: str) -> Domains:
    found = Domains()
    for name, value in values.items():
        domain, slash, identifier = name.rpartition("/")
        inside: dict[str, Value] = found.setdefault(domain if slash else driver, {})
        inside[identifier] = value
    return found
