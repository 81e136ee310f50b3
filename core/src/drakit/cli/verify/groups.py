"""Whether the devices of a claim belong together: device groups as the container's devices have them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from drakit.model import AttributeValue, ClaimRef, DescribedDevice, Finding, Severity

_GROUP = re.compile(r"(.+/devicegroup)([0-9]{1,9})(_id)", re.ASCII)
"""Attributes that number device groups by their size; what `matchAttribute` is given to have devices together."""

Named = Mapping[AttributeValue, Sequence[str]]


@frozen
class _Attribute:
    """One such attribute on the devices of one claim: the devices by value, and those that have none."""

    name: str
    devices: Named
    without: Sequence[str]

    @property
    def is_common(self) -> bool:
        return len(self.devices) == 1 and not self.without

    def __str__(self) -> str:
        values = [f"{value}: {' '.join(names)}" for value, names in self.devices.items()]
        return "; ".join([*values, *([f"none: {' '.join(self.without)}"] if self.without else [])])


def of_groups(devices: Sequence[DescribedDevice]) -> Iterator[Finding]:
    """For each claim of several devices that are in groups: the smallest that has them all, or that none has."""
    claims: dict[ClaimRef, list[DescribedDevice]] = {}
    for device in devices:
        claims.setdefault(device.claim, []).append(device)
    for claim, own in claims.items():
        if found := _finding(_attributes(own)):
            yield Finding(found[0], f"device groups of claim {claim}", found[1])


def _finding(attributes: Sequence[_Attribute]) -> tuple[Severity, str] | None:
    smaller: _Attribute | None = None
    for attribute in attributes:
        if attribute.is_common:
            ((value, names),) = attribute.devices.items()
            apart = f"; {smaller.name} is not: {smaller}" if smaller else ""
            return Severity.OK, f"{attribute.name} is {value} on all {len(names)} devices{apart}"
        smaller = attribute
    if smaller is None:
        return None
    remedy = "if the job needs them near to one another, let the claim have a constraint with matchAttribute"
    return Severity.WARNING, f"no group has them all: {smaller.name} is not the same, {smaller}; {remedy}"


def _attributes(devices: Sequence[DescribedDevice]) -> list[_Attribute]:
    """Attributes of groups, smallest groups first. Drivers that put no device into a group have no part in it."""
    names = {name for device in devices for name in device.attributes if _GROUP.fullmatch(name)}
    found = []
    for name in sorted(names, key=_order):
        drivers = {device.device.driver for device in devices if name in device.attributes}
        concerned = [device for device in devices if device.device.driver in drivers]
        by_value: dict[AttributeValue, list[str]] = {}
        for device in concerned:
            if name in device.attributes:
                by_value.setdefault(device.attributes[name], []).append(device.device.name)
        without = [device.device.name for device in concerned if name not in device.attributes]
        if len(concerned) > 1:
            found.append(_Attribute(name, by_value, without))
    return found


def _order(name: str) -> tuple[int, str]:
    match = _GROUP.fullmatch(name)
    assert match is not None  # what does not match is not asked about
    return int(match[2]), name
