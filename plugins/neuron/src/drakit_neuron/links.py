"""Which devices of an instance are linked, and whether they are so now.

The links inside an instance are fixed by its type. Where a device fails, the kernel module may no longer show any; a
job over several devices would then start and fail. Facts of the shapes: the aws-neuronx kernel module and AWS's
documentation. Types without fixed links, such as those of Trainium3, which go through switches, have none here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import combinations

from attrs import frozen
from drakit import PluginContext

from drakit_neuron.node import CONNECTED, read_connected
from drakit_neuron.sysfs import CLASS, Unreadable

FAULT = "link"
"""The fault of devices that are not linked as their type links them."""

_ROW = 4


def _torus(one: int, other: int) -> bool:
    """Four rows of four; the ends of rows and of columns meet."""
    (row, column), (other_row, other_column) = divmod(one, _ROW), divmod(other, _ROW)
    rows, columns = (row - other_row) % _ROW, (column - other_column) % _ROW
    return (rows == 0 and columns in (1, _ROW - 1)) or (columns == 0 and rows in (1, _ROW - 1))


def _ring(one: int, other: int) -> bool:
    return (one - other) % 12 in (1, 11)


def _line(one: int, other: int) -> bool:
    return abs(one - other) == 1


_SHAPES: Mapping[str, Callable[[int, int], bool]] = {
    "trn1.32xlarge": _torus,
    "trn1n.32xlarge": _torus,
    "trn2.48xlarge": _torus,
    "trn2e.48xlarge": _torus,
    "trn2u.48xlarge": _torus,
    "inf2.48xlarge": _ring,
    "inf2.24xlarge": _line,
}


@frozen
class BrokenLink:
    """Two devices that their type links, and the first does not show the second. `shown` is what it shows."""

    one: int
    other: int
    shown: tuple[int, ...]


def linked_pairs(instance_type: str, numbers: Collection[int]) -> list[tuple[int, int]]:
    """The pairs among these devices that are linked on every instance of the type; empty where that is not known."""
    shape = _SHAPES.get(instance_type)
    return [pair for pair in combinations(sorted(numbers), 2) if shape(*pair)] if shape else []


def broken_link(context: PluginContext, instance_type: str, numbers: Collection[int]) -> BrokenLink | None:
    """The first link among these devices that should be there and is not. What cannot be read is not broken."""
    shown: dict[int, tuple[int, ...] | None] = {}
    for one, other in linked_pairs(instance_type, numbers):
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
