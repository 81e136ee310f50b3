"""Which devices a profile puts into one group, over all drivers of the node."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from drakit import AttributeValue, DeviceGroup, DeviceRef, Inventory
from drakit.errors import ConfigError

from drakit_mock.profile import GroupSet
from drakit_mock.template import INDEX, Variables, attribute_value

VALUE = "value"


def check_group_set(group_set: GroupSet) -> None:
    """Raise ConfigError, or LimitExceeded, for what would fail whatever devices the node has."""
    value: AttributeValue = ""
    if group_set.by is None:
        value = attribute_value(group_set.value, {INDEX: "0"})
    DeviceGroup(group_set.attribute, value, frozenset())


def device_groups(sets: Sequence[GroupSet], own: Sequence[DeviceRef], inventory: Inventory) -> list[DeviceGroup]:
    """The groups of one profile. `own` are its devices in order; those not in the inventory are in no group."""
    return [
        DeviceGroup(group_set.attribute, attribute_value(group_set.value, {INDEX: str(rank), **extra}), members, rank)
        for group_set in sets
        for rank, (extra, candidates) in enumerate(_members(group_set, own, inventory))
        if (members := frozenset(ref for ref in candidates if ref in inventory.devices))
    ]


def _members(
    group_set: GroupSet, own: Sequence[DeviceRef], inventory: Inventory
) -> Iterator[tuple[Variables, Collection[DeviceRef]]]:
    """Every group: the variables its value may use beside its number, and its members."""
    if group_set.size is not None:
        for start in range(0, len(own), group_set.size):
            yield {}, own[start : start + group_set.size]
    elif group_set.members is not None:
        for names in group_set.members:
            yield {}, [ref for ref in own if ref.name in names]
    elif group_set.by is not None:
        carriers = {ref: _text(value) for ref, value in inventory.where(group_set.by).items()}
        for text in dict.fromkeys(carriers[ref] for ref in own if ref in carriers):
            yield {VALUE: text}, [ref for ref, other in carriers.items() if other == text]


def _text(value: AttributeValue) -> str:
    """An attribute as text: what `{value}` stands for."""
    if isinstance(value, tuple):
        raise ConfigError("devices cannot be grouped by a list attribute; name one with a single value")
    return str(value).lower() if isinstance(value, bool) else str(value)
