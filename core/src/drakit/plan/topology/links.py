"""Which devices are linked: rings, grids and other fabrics, from the devices' own attributes.

The rule is the same for every driver: an attribute whose bare name is `connectedDevices` lists numbers, and means the
devices of the same pool whose names end in them and begin alike. Where all of a fabric have `topology_x` and
`topology_y`, those are their places in a grid.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from drakit.model import AttributeValue, Device, DeviceRef
from drakit.plan.topology.model import Fabric, Knot, Shape, printable

LINKS = "connectedDevices"
GRID = ("topology_x", "topology_y")
MAX_STEPS = 64
"""The longest side of a grid that is drawn as one."""

_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>\d{1,9})")
_Key = tuple[str, str, str]
_Members = dict[int, tuple[int, Device]]
"""The devices of a fabric by number, each with its place among all."""


def bare(attributes: Mapping[str, AttributeValue], name: str) -> AttributeValue | None:
    """The value of the attribute with this name, whatever domain is before it."""
    return next((value for full, value in attributes.items() if full.rpartition("/")[2] == name), None)


def fabrics_of(devices: Sequence[tuple[DeviceRef, Device]]) -> tuple[list[Fabric], list[str]]:
    """The fabrics of some devices, and what is said of links that lead nowhere."""
    alike: dict[_Key, _Members] = {}
    for place, (ref, device) in enumerate(devices):
        if match := _NUMBERED.fullmatch(ref.name):
            alike.setdefault((ref.driver, ref.pool, match["stem"]), {})[int(match["number"])] = (place, device)
    fabrics: list[Fabric] = []
    notes: list[str] = []
    for (driver, _, stem), numbered in alike.items():
        members = {number: one for number, one in numbered.items() if bare(one[1].attributes, LINKS) is not None}
        asked = {number: set(_numbers(bare(device.attributes, LINKS))) for number, (_, device) in members.items()}
        there = ((one, other) for one, others in asked.items() for other in others if other in members)
        pairs = {(min(one, other), max(one, other)) for one, other in there if one != other}
        if pairs:
            fabrics.append(_fabric(f"{driver} {stem.rstrip('-')}", members, sorted(pairs)))
        notes += _loose(stem, asked, numbered)
    return fabrics, notes


def _loose(stem: str, asked: Mapping[int, set[int]], there: Collection[int]) -> Iterator[str]:
    """A note for each device that is linked with others which are not there."""
    for number, others in asked.items():
        if gone := sorted(others.difference(there)):
            yield printable(f"{stem}{number} is linked with {', '.join(map(str, gone))}, not on this node")


def _numbers(value: AttributeValue | None) -> Iterator[int]:
    values = value if isinstance(value, tuple) else re.split(r"[,\s]+", str("" if value is None else value))
    for one in values:
        if str(one).isascii() and str(one).isdecimal() and len(str(one)) < 10:
            yield int(str(one))


def _fabric(title: str, members: _Members, pairs: Sequence[tuple[int, int]]) -> Fabric:
    shape, places = _arrange(members, pairs)
    order = sorted(members, key=lambda number: (places[number][1], places[number][0], number))
    index = {number: position for position, number in enumerate(order)}
    knots = [Knot(place=members[n][0], number=n, x=places[n][0], y=places[n][1]) for n in order]
    links = sorted((min(index[a], index[b]), max(index[a], index[b])) for a, b in pairs)
    return Fabric(title=printable(title), shape=shape, knots=knots, links=links)


def _arrange(members: _Members, pairs: Sequence[tuple[int, int]]) -> tuple[Shape, dict[int, tuple[int, int]]]:
    """A shape for the fabric, and each device's place in it by number."""
    if places := _in_grid(members):
        return Shape.GRID, places
    neighbours: dict[int, list[int]] = {number: [] for number in members}
    for one, other in pairs:
        neighbours[one].append(other)
        neighbours[other].append(one)
    ends = [number for number, others in neighbours.items() if len(others) < 2]
    walk = _walk(neighbours, min(ends or neighbours))
    if len(walk) == len(members) and all(len(others) <= 2 for others in neighbours.values()):
        shape = Shape.ROW if ends else Shape.RING
    else:
        shape, walk = Shape.WEB, sorted(members)
    return shape, {number: (position, 0) for position, number in enumerate(walk)}


def _in_grid(members: _Members) -> dict[int, tuple[int, int]] | None:
    """The places that all devices name, no two the same; the first coordinate counts rows."""
    named = {n: tuple(bare(device.attributes, name) for name in GRID) for n, (_, device) in members.items()}
    places = {}
    for number, (row, column) in named.items():
        if type(row) is not int or type(column) is not int or not (0 <= row < MAX_STEPS and 0 <= column < MAX_STEPS):
            return None
        places[number] = (column, row)
    return places if len(set(places.values())) == len(places) else None


def _walk(neighbours: Mapping[int, Sequence[int]], start: int) -> list[int]:
    """From neighbour to neighbour, as far as it goes."""
    walk = {start: None}
    here: int | None = start
    while here is not None:
        here = next((other for other in sorted(neighbours[here]) if other not in walk), None)
        if here is not None:
            walk[here] = None
    return list(walk)
