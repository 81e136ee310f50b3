"""Pictures as SVG: one file, with its style and legend in it. What is written on it can be anything: it is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

from attrs import frozen

from drakit.plan.topology.colours import DRIVERS, NEUTRAL, hue_of
from drakit.plan.topology.layout import (
    BOW,
    CHIP_HEIGHT,
    KNOT,
    LETTER,
    MAX_LETTERS,
    STRIPE,
    Chip,
    Drawing,
    Frame,
    Net,
    Rect,
    lay_out_picture,
)
from drakit.plan.topology.legend import Entry, Sample, legend_of
from drakit.plan.topology.model import MEANING, Box, Picture, Shape
from drakit.plan.topology.regions import Tag
from drakit.plan.topology.style import style_sheet

MARGIN = 20
NARROWEST = 640
_SMALL = 5.45
"""How wide a letter of small print is."""
_KEY = 6.3
"""How wide one of the legend is, on the average."""


@frozen
class Figure:
    """One picture, drawn: the inside of an SVG element, and how large it is."""

    width: float
    height: float
    content: str


def svg_document(figures: Sequence[Figure], title: str) -> str:
    """One SVG file of some figures, one below the other."""
    width = max((figure.width for figure in figures), default=NARROWEST)
    parts, y = [], 0.0
    for figure in figures:
        parts.append(f'<g transform="translate(0 {_n(y)})">\n{figure.content}</g>\n')
        y += figure.height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tp" role="img" aria-labelledby="title" '
        f'width="{_n(width)}" height="{_n(y)}" viewBox="0 0 {_n(width)} {_n(y)}">\n'
        f'<title id="title">{escape(title)}</title>\n<style>\n{style_sheet()}</style>\n'
        f'<rect class="page" width="{_n(width)}" height="{_n(y)}"/>\n{"".join(parts)}</svg>\n'
    )


def svg_element(figure: Figure, title: str) -> str:
    """One figure as an element of a page that has the style."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tp" role="group" aria-label={quoteattr(title)} '
        f'width="{_n(figure.width)}" height="{_n(figure.height)}" '
        f'viewBox="0 0 {_n(figure.width)} {_n(figure.height)}">\n{figure.content}</svg>\n'
    )


def draw(picture: Picture, heading: str = "") -> Figure:
    """Draw one picture; `heading` is written above it instead of its name."""
    drawing = lay_out_picture(picture)
    width = max(NARROWEST, drawing.width)
    lines = [
        _text("title", MARGIN, MARGIN + 18, heading or picture.name),
        _text("summary", MARGIN, MARGIN + 40, picture.summary),
        *_notes(picture, width),
    ]
    top = MARGIN + 56 + 18 * (len(lines) - 2)
    lines.append(f'<g class="body" transform="translate({MARGIN} {_n(top)})">\n')
    lines += _body(picture, drawing)
    lines.append("</g>\n")
    bottom = top + drawing.height + 22
    parted = any(kind == "group" and count > 1 for (kind, _, _), count in _parts(drawing).items())
    drawn, height = _legend(legend_of(picture, parts=parted), width, bottom)
    lines += drawn
    return Figure(width + 2 * MARGIN, bottom + height + MARGIN, "".join(lines))


def _notes(picture: Picture, width: float) -> Iterator[str]:
    for note in picture.notes:
        yield _text("note warn", MARGIN, MARGIN + 60 + 18 * picture.notes.index(note), _cut(note, int(width / 6)))


def _body(picture: Picture, drawing: Drawing) -> Iterator[str]:
    parts = _parts(drawing)
    groups = {place: _groups(picture, place) for place in range(len(picture.boxes))}
    for frame in drawing.spread.frames:
        yield _frame(picture, frame, parts)
    drivers = {driver: index % len(DRIVERS) for index, driver in enumerate(picture.drivers)}
    for place, rect in sorted(drawing.spread.boxes.items()):
        box = picture.boxes[place]
        yield _box(box, rect, drivers[box.ref.driver], groups[place], about(picture, place))
    for net in drawing.nets:
        yield from _net(picture, net)


def _parts(drawing: Drawing) -> Counter[tuple[str, str, int]]:
    """In how many frames each tag is."""
    return Counter((tag.kind, tag.label, tag.band) for frame in drawing.spread.frames for tag in frame.region.tags)


def _groups(picture: Picture, place: int) -> str:
    """The groups of a box, for whoever looks for those of one: `band-group` of each."""
    found = [(index, band.of(place)) for index, band in enumerate(picture.bands)]
    return " ".join(f"{index}-{group}" for index, group in found if group is not None)


def _frame(picture: Picture, frame: Frame, parts: Mapping[tuple[str, str, int], int]) -> str:
    hue = _hue(picture, frame.region.tags)
    kinds = {tag.kind for tag in frame.region.tags}
    classes = "numa" if "numa" in kinds else f"g h{hue}" if hue is not None else "root"
    groups = " ".join(f"{tag.band}-{tag.group}" for tag in frame.region.tags if tag.kind == "group")
    said = "\n".join(_meaning(picture, tag, parts) for tag in frame.region.tags)
    return (
        f'<g class="frame {classes}" data-groups="{groups}"><title>{escape(said)}</title>'
        f"{_rect('outline', frame.rect, 10 if 'numa' in kinds else 7)}"
        f"{''.join(_chip(picture, chip, parts) for chip in frame.chips)}</g>\n"
    )


def _hue(picture: Picture, tags: Iterable[Tag]) -> int | None:
    """The hue of the largest group that is one of several, or of any."""
    hues = [hue_of(picture.bands[tag.band], tag.group) for tag in tags if tag.kind == "group"]
    return next((hue for hue in hues if hue < max(hues, default=0)), hues[0]) if hues else None


def _meaning(picture: Picture, tag: Tag, parts: Mapping[tuple[str, str, int], int]) -> str:
    count = parts[tag.kind, tag.label, tag.band]
    part = f"; one of {count} parts, the others are framed elsewhere" if count > 1 else ""
    if tag.kind == "group":
        band = picture.bands[tag.band]
        group = band.groups[tag.group]
        return f"{band.attribute} = {group.value} ({group.letters}), {len(group.members)} devices{part}"
    return f"{'PCIe root ' if tag.kind == 'root' else ''}{tag.label}{part}"


def _chip(picture: Picture, chip: Chip, parts: Mapping[tuple[str, str, int], int]) -> str:
    rect, tag = chip.rect, chip.tag
    if tag.kind != "group":
        faint = "" if tag.kind == "numa" else " faint"
        return f'<text class="label{faint}" x="{_n(rect.x)}" y="{_n(rect.y + 12)}">{escape(tag.label)}</text>'
    part = " part" if parts[tag.kind, tag.label, tag.band] > 1 else ""
    return _chip_mark(rect, tag.label, hue_of(picture.bands[tag.band], tag.group), part)


def _chip_mark(rect: Rect, label: str, hue: int, extra: str = "", *, said: str = "", title: str = "") -> str:
    """A group's label on its colour."""
    tooltip = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<g class="chip h{hue}{extra}"{said}>{tooltip}{_rect("", rect, 4)}'
        f'<text x="{_n(rect.x + rect.width / 2)}" y="{_n(rect.y + 11.5)}">{escape(label)}</text></g>'
    )


def _box(box: Box, rect: Rect, driver: int, groups: str, said: str) -> str:
    x, letters = rect.x + STRIPE + 7, int((rect.width - STRIPE - 14) / _SMALL)
    bar = ""
    if (share := box.share) is not None:
        whole = rect.width - STRIPE - 12
        bar = _rect("bar", Rect(x, rect.y + rect.height - 5, max(2.0, whole * share), 2.5), 1)
    return (
        f'<g class="device {_standing(box)}" data-device={quoteattr(str(box.ref))} data-groups="{groups}">'
        f"<title>{escape(said)}</title>{_rect('box', rect, 4)}"
        f"{_rect(f'stripe d{driver}', Rect(rect.x + 2.5, rect.y + 4, STRIPE - 2, rect.height - 8), 1.5)}"
        f"{_text('name', x, rect.y + 14.5, _middle(box.ref.name, MAX_LETTERS))}"
        f"{_text('detail', x, rect.y + 27, _cut(box.detail, letters))}{bar}</g>\n"
    )


def _standing(box: Box) -> str:
    """The classes of its state."""
    return f"s-{box.state}{' barred' if box.barred else ''}{' marked' if box.mark else ''}"


def about(picture: Picture, place: int) -> str:
    """Everything that is known of a device, line by line."""
    box = picture.boxes[place]
    lines = [str(box.ref), MEANING[box.state]]
    lines += [f"for {box.mark}"] if box.mark else []
    lines += [
        f"claim {use.claim}"
        + "".join(f", {name} {value}" for name, value in use.consumed.items())
        + (" (admin access)" if use.admin else "")
        for use in box.uses
    ]
    lines += [f"taint {taint}" for taint in box.taints]
    lines += [f"{name}: {value}" for name, value in box.capacity.items()]
    where = [] if box.numa is None else [f"NUMA node {box.numa}"]
    lines += [", ".join([*where, *([f"PCIe root {box.root}"] if box.root else [])])]
    for band in picture.bands:
        if (group := band.of(place)) is not None:
            lines.append(f"{band.attribute} = {band.groups[group].value} ({band.groups[group].letters})")
    return "\n".join(line for line in lines if line)


def _net(picture: Picture, net: Net) -> Iterator[str]:
    fabric = net.fabric
    yield f'<g class="net" data-fabric={quoteattr(fabric.title)}>{_rect("outline", net.rect, 10)}\n'
    yield _text("head", net.rect.x + 12, net.rect.y + 20, f"Links: {fabric.described}")
    yield _text("faint", net.rect.x + 12, net.rect.y + 35, _cut(fabric.title, int((net.rect.width - 20) / LETTER)))
    far = set(fabric.far) if fabric.shape is Shape.GRID or fabric.shape is Shape.ROW else set()
    for link in fabric.links:
        ends = f"{fabric.knots[link[0]].number}-{fabric.knots[link[1]].number}"
        path = _link(net.points[link[0]], net.points[link[1]], bowed=link in far)
        yield f'<path class="link" data-link="{ends}" d="{path}"/>\n'
    for knot, (x, y) in zip(fabric.knots, net.points, strict=True):
        box = picture.boxes[knot.place]
        yield (
            f'<g class="knot {_standing(box)}" data-groups="{_groups(picture, knot.place)}">'
            f"<title>{escape(about(picture, knot.place))}</title>"
            f'<circle class="dot" cx="{_n(x)}" cy="{_n(y)}" r="{KNOT}"/>'
            f'<text x="{_n(x)}" y="{_n(y + 4)}">{knot.number}</text></g>\n'
        )
    yield "</g>\n"


def _link(start: tuple[float, float], end: tuple[float, float], *, bowed: bool) -> str:
    """A straight line, or one that bows out past what lies between its ends in a row or a column."""
    (x1, y1), (x2, y2) = start, end
    if bowed and y1 == y2:
        return f"M{_n(x1)} {_n(y1)}C{_n(x1)} {_n(y1 - 1.5 * BOW)} {_n(x2)} {_n(y2 - 1.5 * BOW)} {_n(x2)} {_n(y2)}"
    if bowed and x1 == x2:
        return f"M{_n(x1)} {_n(y1)}C{_n(x1 - 1.5 * BOW)} {_n(y1)} {_n(x2 - 1.5 * BOW)} {_n(y2)} {_n(x2)} {_n(y2)}"
    return f"M{_n(x1)} {_n(y1)}L{_n(x2)} {_n(y2)}"


def _legend(entries: Sequence[Entry], width: float, top: float) -> tuple[list[str], float]:
    """The legend, line by line: what each entry is called, then its samples, in as many lines as they take."""
    lines = [f'<g class="legend" transform="translate({MARGIN} {_n(top)})">\n']
    names = [f"{entry.name}  ({entry.note})" if entry.note else entry.name for entry in entries]
    column = min(width / 2, 26 + max((_KEY * len(name) for name in names), default=0.0))
    y = 0.0
    for name, entry in zip(names, entries, strict=True):
        lines.append(_text("key", 0, y + 12, _cut(name, int(column / _KEY))))
        x = column
        for sample in entry.samples:
            drawn, wide = _sample(sample, x, y)
            if x > column and x + wide > width:
                x, y = column, y + CHIP_HEIGHT + 5
                drawn, wide = _sample(sample, x, y)
            lines.append(drawn)
            x += wide
        y += CHIP_HEIGHT + 8
    lines.append("</g>\n")
    return lines, y


def _sample(sample: Sample, x: float, y: float) -> tuple[str, float]:
    """One sign of the legend, and how much room it takes."""
    if sample.kind == "group":
        wide = LETTER * len(sample.label) + 10
        said = f' data-group="{sample.group}"'
        rect = Rect(x, y, wide, CHIP_HEIGHT)
        return _chip_mark(rect, sample.label, int(sample.key), said=said, title=sample.value), wide + 5
    if sample.kind == "part":
        chip = _chip_mark(Rect(x, y, 22, CHIP_HEIGHT), "", NEUTRAL, " part")
        return chip + _text("key", x + 28, y + 12, sample.label), 44 + _KEY * len(sample.label)
    label = _text("key", x + 28, y + 12, sample.label)
    if sample.kind == "driver":
        mark = _rect(f"d{int(sample.key) % len(DRIVERS)}", Rect(x + 12, y + 1, STRIPE, CHIP_HEIGHT - 2), 1.5)
        return f"<g data-driver={quoteattr(sample.label)}>{mark}{label}</g>\n", 44 + _KEY * len(sample.label)
    classes = "marked" if sample.kind == "mark" else f"s-{sample.key}"
    box = _rect("box", Rect(x + 1, y + 1, 20, CHIP_HEIGHT - 2), 3)
    return f'<g class="{classes} sample">{box}{label}</g>\n', 44 + _KEY * len(sample.label)


def _rect(classes: str, rect: Rect, radius: float) -> str:
    named = f' class="{classes}"' if classes else ""
    return (
        f'<rect{named} x="{_n(rect.x)}" y="{_n(rect.y)}" width="{_n(rect.width)}" '
        f'height="{_n(rect.height)}" rx="{_n(radius)}"/>'
    )


def _text(classes: str, x: float, y: float, text: str) -> str:
    return f'<text class="{classes}" x="{_n(x)}" y="{_n(y)}">{escape(text)}</text>\n'


def _n(value: float) -> str:
    """A number as short as a tenth of a pixel allows."""
    return f"{value:.1f}".removesuffix(".0")


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: max(1, letters - 1)] + "…"


def _middle(text: str, letters: int) -> str:
    """A name without its middle: names differ at their ends."""
    half = (letters - 1) // 2
    return text if len(text) <= letters else f"{text[:half]}…{text[-half:]}"
