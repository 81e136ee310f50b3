"""Which devices of an instance are linked, and whether they are so now.

The links inside an instance are fixed by its type. Where a device fails, the kernel module may no longer show any; a
job over several devices would then start and fail. Which shape a type has is in its facts; one without, such as those
of Trainium3, which go through switches, is not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import combinations

from attrs import frozen
from drakit import PluginContext

from drakit_neuron.instances import InstanceType, Links
from drakit_neuron.node import CONNECTED, read_connected
from drakit_neuron.sysfs import CLASS, Unreadable

FAULT = "link"
"""The fault of devices that are not linked as their type links them."""

_ROW = 4

Shape = Callable[[int, int, int], bool]
"""Whether two devices are linked, of so many in all."""


def _torus(one: int, other: int, _devices: int) -> bool:
    (row, column), (other_row, other_column) = divmod(one, _ROW), divmod(other, _ROW)
    rows, columns = (row - other_row) % _ROW, (column - other_column) % _ROW
    return (rows == 0 and columns in (1, _ROW - 1)) or (columns == 0 and rows in (1, _ROW - 1))


def _ring(one: int, other: int, devices: int) -> bool:
    return (one - other) % devices in (1, devices - 1)


def _line(one: int, other: int, _devices: int) -> bool:
    return abs(one - other) == 1


_SHAPES: Mapping[Links, Shape] = {Links.TORUS: _torus, Links.RING: _ring, Links.LINE: _line}


@frozen
class BrokenLink:
    """Two devices that their type links, and the first does not show the second. `shown` is what it shows."""

    one: int
    other: int
    shown: tuple[int, ...]


def linked_pairs(known: InstanceType, numbers: Collection[int]) -> list[tuple[int, int]]:
    """The pairs among these devices that are linked on every instance of the type; empty where that is not known."""
    shape = _SHAPES.get(known.links)
    return [pair for pair in combinations(sorted(numbers), 2) if shape(*pair, known.devices)] if shape else []


def broken_link(context: PluginContext, known: InstanceType, numbers: Collection[int]) -> BrokenLink | None:
    """The first link among these devices that should be there and is not. What cannot be read is not broken."""
    shown: dict[int, tuple[int, ...] | None] = {}
    for one, other in linked_pairs(known, numbers):
        if one not in shown:
            shown[one] = _shown(context, one)
        neighbours = shown[one]
        if neighbours is not None and other not in neighbours:
            return BrokenLink(one, other, neighbours)
    return None


def _shown(context: PluginContext, number: int) -> tuple[int, ...] | None:
    """The neighbours a device shows; None where that cannot be told, or not of all of them."""
    try:
        neighbours, cut = read_connected(context, f"{CLASS}/neuron{number}/{CONNECTED}")
    except Unreadable:
        return None
    return None if cut else neighbours
