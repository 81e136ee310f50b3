"""Where everything of a picture goes: regions, boxes and fabrics to rectangles and points. Pure, in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve, field, frozen

from drakit.model.converters import frozen_tuple
from drakit.plan.topology.model import Fabric, Picture, Shape
from drakit.plan.topology.regions import Region, Tag, regions_of

LETTER = 6.05
"""How wide a letter of a box's name is drawn."""
BOX_HEIGHT = 36
MIN_LETTERS, MAX_LETTERS = 20, 32
STRIPE = 5
CHIP_HEIGHT = 16
STEP = 76
"""From one knot of a fabric to the next."""
KNOT = 17
BOW = 30
"""How far a link between the ends of a row bows out."""
SIDE_BY_SIDE = 1320
"""The widest drawing with the fabrics beside the regions; else they go below."""

_HEADLINE = 7.9
_INWARD = 18
"""How much less room a ring needs around it than what has links that bow out."""
_GAP = 8
_PADDING = 8
_ASPECT = 1.45
"""Of width to height, what regions are laid out for."""


@frozen
class Rect:
    """A rectangle; `x` and `y` are its upper left."""

    x: float
    y: float
    width: float
    height: float

    def moved(self, x: float, y: float) -> Rect:
        """The same, somewhere else."""
        return evolve(self, x=self.x + x, y=self.y + y)


@frozen
class Chip:
    """The label of a tag."""

    tag: Tag
    rect: Rect


@frozen
class Frame:
    """The outline of a region, with its labels."""

    region: Region
    rect: Rect
    chips: tuple[Chip, ...] = field(converter=frozen_tuple)


@frozen
class Spread:
    """What was laid out, from its own upper left, frames from the outermost to the innermost; boxes by place."""

    width: float
    height: float
    frames: tuple[Frame, ...] = field(default=(), converter=frozen_tuple)
    boxes: Mapping[int, Rect] = field(factory=dict)

    def moved(self, x: float, y: float) -> Spread:
        """The same, somewhere else."""
        frames = [
            evolve(
                frame,
                rect=frame.rect.moved(x, y),
                chips=[evolve(chip, rect=chip.rect.moved(x, y)) for chip in frame.chips],
            )
            for frame in self.frames
        ]
        return evolve(self, frames=frames, boxes={place: rect.moved(x, y) for place, rect in self.boxes.items()})


@frozen
class Net:
    """A fabric that was laid out: where its knots are, each as it is numbered, within a rectangle of its own."""

    fabric: Fabric
    rect: Rect
    points: tuple[tuple[float, float], ...] = field(converter=frozen_tuple)


@frozen
class Drawing:
    """A whole picture that was laid out, without its title and legend."""

    width: float
    height: float
    spread: Spread
    nets: tuple[Net, ...] = field(converter=frozen_tuple)


def lay_out_picture(picture: Picture) -> Drawing:
    """Place everything in a picture; the upper left is (0, 0)."""
    longest = max((len(box.ref.name) for box in picture.boxes), default=0)
    box_width = STRIPE + 15 + LETTER * min(MAX_LETTERS, max(MIN_LETTERS, longest))
    spread = _place(regions_of(picture), box_width)
    nets = [_net(fabric) for fabric in picture.fabrics]
    beside = max((net.rect.width for net in nets), default=0.0)
    if nets and spread.width + 2 * _GAP + beside <= SIDE_BY_SIDE:
        stacked, height = _stack(nets, spread.width + 3 * _GAP)
        return Drawing(spread.width + 3 * _GAP + beside, max(spread.height, height), spread, stacked)
    placed: list[Net] = []
    x, width = 0.0, spread.width
    y, lowest = spread.height + 3 * _GAP, spread.height
    for net in nets:
        if x and x + net.rect.width > max(spread.width, SIDE_BY_SIDE):
            x, y = 0.0, lowest + 2 * _GAP
        placed.append(_moved(net, x, y))
        x += net.rect.width + 2 * _GAP
        width, lowest = max(width, x - 2 * _GAP), max(lowest, y + net.rect.height)
    return Drawing(width, lowest, spread, placed)


def _stack(nets: Sequence[Net], x: float) -> tuple[list[Net], float]:
    placed, y = [], 0.0
    for net in nets:
        placed.append(_moved(net, x, y))
        y += net.rect.height + 2 * _GAP
    return placed, y - 2 * _GAP


def _moved(net: Net, x: float, y: float) -> Net:
    return Net(net.fabric, net.rect.moved(x, y), [(one + x, other + y) for one, other in net.points])


def _place(region: Region, box_width: float) -> Spread:
    """A region with all that is in it, and the frame around it where it stands for something."""
    cells = [Spread(box_width, BOX_HEIGHT, (), {place: Rect(0, 0, box_width, BOX_HEIGHT)}) for place in region.boxes]
    cells += [_place(inner, box_width) for inner in region.inner]
    if not cells:
        return Spread(0, 0)
    inside = _grid(cells, 6 if region.boxes else _GAP)
    if not region.tags:
        return inside
    widths = [_chip_width(tag) for tag in region.tags]
    width = max(inside.width, *widths)
    chips, head = _flow(region.tags, widths, width)
    frame = Frame(region, Rect(0, 0, width + 2 * _PADDING, head + inside.height + _PADDING), chips)
    content = inside.moved(_PADDING + (width - inside.width) / 2, head)
    return Spread(frame.rect.width, frame.rect.height, (frame, *content.frames), content.boxes)


def _chip_width(tag: Tag) -> float:
    return (_HEADLINE if tag.kind == "numa" else LETTER) * len(tag.label) + (10 if tag.kind == "group" else 6)


def _flow(tags: Sequence[Tag], widths: Sequence[float], width: float) -> tuple[list[Chip], float]:
    """Labels one after another in as many lines as it takes; and where the rest of the frame begins."""
    chips: list[Chip] = []
    x, y = 0.0, 6.0
    for tag, wide in zip(tags, widths, strict=True):
        if x and x + wide > width:
            x, y = 0.0, y + CHIP_HEIGHT + 4
        chips.append(Chip(tag, Rect(_PADDING + x, y, wide, CHIP_HEIGHT)))
        x += wide + 4
    return chips, y + CHIP_HEIGHT + 5


def _grid(cells: Sequence[Spread], gap: float) -> Spread:
    """Cells row by row, in as many columns as come closest to the wanted aspect with the fewest places left empty."""
    best = min((_in_columns(cells, columns, gap) for columns in _columns(len(cells))), key=_ugliness)
    return best[0]


def _columns(count: int) -> Iterator[int]:
    """Not more than some dozens: where there are hundreds of boxes, nothing is gained by trying all."""
    yield from range(1, min(count, 24) + 1)


def _ugliness(candidate: tuple[Spread, int]) -> float:
    spread, empty = candidate
    return abs(math.log(spread.width / max(1.0, spread.height) / _ASPECT)) + 0.6 * empty


def _in_columns(cells: Sequence[Spread], columns: int, gap: float) -> tuple[Spread, int]:
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    widths = [max(row[column].width for row in rows if column < len(row)) for column in range(columns)]
    frames: list[Frame] = []
    boxes: dict[int, Rect] = {}
    y = 0.0
    for row in rows:
        x = 0.0
        for cell, width in zip(row, widths, strict=False):
            moved = cell.moved(x, y)
            frames += moved.frames
            boxes |= moved.boxes
            x += width + gap
        y += max(cell.height for cell in row) + gap
    return Spread(sum(widths) + gap * (columns - 1), y - gap, frames, boxes), columns * len(rows) - len(cells)


def _net(fabric: Fabric) -> Net:
    """The knots of a fabric at their places; there is room around them for links that bow out and for a title."""
    points: list[tuple[float, float]] = []
    count = len(fabric.knots)
    radius = max(1.2 * STEP, 0.8 * STEP * count / (2 * math.pi))
    for index, knot in enumerate(fabric.knots):
        if fabric.shape in (Shape.GRID, Shape.ROW):
            x, y = float(STEP * knot.x), float(STEP * knot.y)
        else:
            angle = 2 * math.pi * index / count
            x, y = radius * (1 + math.sin(angle)) - _INWARD, radius * (1 - math.cos(angle)) - _INWARD
        points.append((x + BOW + KNOT, y + BOW + KNOT + 34))
    width = max(x for x, _ in points) + KNOT + 14
    height = max(y for _, y in points) + KNOT + 14
    return Net(fabric, Rect(0, 0, max(width, 7 * len(fabric.title) + 90), height), points)
