"""What selectors and constraints read of devices: attributes and capacities, by domain and name."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from drakit.plan.cel.ast import Call, Has, Ident, Index, Literal, Node, Select
from drakit.plan.cel.values import DeviceValue, Domains


@frozen
class Reading:
    """One attribute or capacity: `kind` is `attributes` or `capacity`. `guarded`: its absence is provided for."""

    kind: str
    domain: str
    name: str
    guarded: bool = False

    def __str__(self) -> str:
        return f"{self.domain}/{self.name}"

    @property
    def guard(self) -> str:
        """The condition under which reading it does not fail."""
        return f'"{self.name}" in device.{self.kind}["{self.domain}"]'

    def within(self, device: DeviceValue) -> bool:
        """Whether the device has it."""
        return self.name in self._domains(device).get(self.domain, {})

    def names(self, device: DeviceValue) -> Iterator[str]:
        """What the device has of the kind, by domain and name."""
        yield from (f"{domain}/{name}" for domain, inside in self._domains(device).items() for name in inside)

    def _domains(self, device: DeviceValue) -> Domains:
        return device.attributes if self.kind == "attributes" else device.capacity


def readings(root: Node) -> Iterator[Reading]:
    """Everything an expression reads of the device by a constant name."""
    match root:
        case Select(operand=inside, field=name, optional=optional) if found := _domain(inside):
            yield Reading(*found, name, optional)
        case Has(operand=inside, field=name) if found := _domain(inside):
            yield Reading(*found, name, guarded=True)
        case Index(operand=inside, index=Literal(value=str(name)), optional=optional) if found := _domain(inside):
            yield Reading(*found, name, optional)
        case Call(function="@in", arguments=(Literal(value=str(name)), inside)) if found := _domain(inside):
            yield Reading(*found, name, guarded=True)
        case _:
            for part in root.parts():
                yield from readings(part)


def _domain(node: Node) -> tuple[str, str] | None:
    """`device.attributes["d"]` as kind and domain."""
    match node:
        case Index(operand=Select(operand=Ident(name="device"), field=kind), index=Literal(value=str(domain))):
            return kind, domain
    return None


def unguarded(root: Node) -> tuple[Reading, ...]:
    """What an expression reads without providing for its absence anywhere."""
    every = tuple(readings(root))
    safe = {(one.kind, one.domain, one.name) for one in every if one.guarded}
    return tuple(dict.fromkeys(one for one in every if (one.kind, one.domain, one.name) not in safe))
