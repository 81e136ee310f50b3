"""Which devices are drawn inside one another's frames: NUMA nodes, PCIe roots and groups, as a tree.

Not all of these nest: a group may span two NUMA nodes, or cut across PCIe roots. So NUMA nodes come first, and within
each region the coarsest of what is left divides it; a value that is divided elsewhere is framed in several parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from attrs import evolve, field, frozen

from drakit.model.converters import frozen_tuple
from drakit.plan.topology.model import Picture


@frozen
class Tag:
    """What a frame stands for: a NUMA node, a PCIe root, a counter set, or a group of a band."""

    kind: str
    """`numa`, `root`, `counters` or `group`."""
    label: str
    band: int = -1
    group: int = -1


@frozen(kw_only=True)
class Region:
    """A frame around some boxes, with the regions inside it; `boxes` are those not in any of these.

    `tags` are all it stands for; without one it is not drawn.
    """

    tags: tuple[Tag, ...] = field(default=(), converter=frozen_tuple)
    boxes: tuple[int, ...] = field(default=(), converter=frozen_tuple)
    inner: tuple[Region, ...] = field(default=(), converter=frozen_tuple)

    def walk(self) -> Iterator[Region]:
        """The region itself and all within it, outer ones first."""
        yield self
        for region in self.inner:
            yield from region.walk()

    @property
    def everything(self) -> tuple[int, ...]:
        """All boxes within, in the order in which they are drawn."""
        return self.boxes + tuple(place for region in self.inner for place in region.everything)


_Division = Callable[[int], Tag | None]
"""What a box belongs to in one respect."""


def regions_of(picture: Picture) -> Region:
    """The whole node: a region for each NUMA node, one for the devices of none, and what is inside them."""
    linked = {knot.place for fabric in picture.fabrics for knot in fabric.knots}
    places = sorted(range(len(picture.boxes)), key=lambda place: (place not in linked, place))
    numa: dict[int | None, list[int]] = {}
    for place in places:
        numa.setdefault(picture.boxes[place].numa, []).append(place)
    divisions = _divisions(picture)
    inner = []
    for node in sorted(numa, key=lambda node: (node is None, node)):
        label = "no NUMA node named" if node is None else f"NUMA node {node}"
        inside = _divide(numa[node], divisions)
        inner.append(evolve(inside, tags=[Tag("numa", label), *inside.tags]))
    return Region(inner=inner)


def _divisions(picture: Picture) -> list[_Division]:
    """In the order in which they divide a region where they would do it as coarsely."""
    boxes = picture.boxes

    def by_root(place: int) -> Tag | None:
        return Tag("root", boxes[place].root) if boxes[place].root else None

    def by_counters(place: int) -> Tag | None:
        return Tag("counters", f"counters {boxes[place].counter_set}") if boxes[place].counter_set else None

    largest_first = [_by_band(picture, index) for index in reversed(range(len(picture.bands)))]
    return [by_root, *largest_first, by_counters]


def _by_band(picture: Picture, index: int) -> _Division:
    band = picture.bands[index]
    groups = {place: number for number, group in enumerate(band.groups) for place in group.members}

    def division(place: int) -> Tag | None:
        number = groups.get(place)
        if number is None:
            return None
        return Tag("group", f"{band.size}·{band.groups[number].letters}", index, number)

    return division


def _divide(places: Sequence[int], divisions: Sequence[_Division]) -> Region:
    tags: list[Tag] = []
    left: list[tuple[_Division, dict[Tag | None, list[int]]]] = []
    for division in divisions:
        parts: dict[Tag | None, list[int]] = {}
        for place in places:
            parts.setdefault(division(place), []).append(place)
        if len(parts) > 1:
            left.append((division, parts))
        else:
            tags += [tag for tag in parts if tag is not None]
    if not left:
        return Region(tags=tags, boxes=places)
    chosen, parts = min(left, key=lambda item: len(item[1]))
    finer = [division for division, _ in left if division is not chosen]
    inner = []
    for tag, members in parts.items():
        inside = _divide(members, finer)
        inner.append(inside if tag is None else evolve(inside, tags=[tag, *inside.tags]))
    return Region(tags=tags, inner=inner)
