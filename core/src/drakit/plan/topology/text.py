"""Pictures as text, for a terminal: a line for each device, a column for each size of group, fabrics below.

Neighbouring lines of one group have one colour there, so that groups are seen as bands. Colours say nothing that is
not also written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.cells import cell_len
from rich.text import Text

from drakit.plan.topology.colours import hue_of, tone
from drakit.plan.topology.legend import legend_of
from drakit.plan.topology.model import Box, Fabric, Knot, Picture, Shape, State
from drakit.plan.topology.regions import Region, regions_of

SIGNS: Mapping[State, str] = {
    State.FREE: "○",
    State.ALLOCATED: "●",
    State.SHARED: "◐",
    State.TAINTED: "✕",
    State.BLOCKED: "◌",
}
MARK = "◆"
STYLES: Mapping[State, str] = {
    State.FREE: "",
    State.ALLOCATED: "bold cyan",
    State.SHARED: "cyan",
    State.TAINTED: "red",
    State.BLOCKED: "dim",
}
MARKED = "bold green"

_NAME = 26
"""A name that is longer has a line of its own."""
_INDENT = 4
_LEAST = 16
"""What follows a device is not squeezed into less."""


def text_of(picture: Picture, width: int, names: Sequence[str] = ()) -> list[Text]:
    """The lines of a picture, none wider than `width`; `names` are all nodes that look like this."""
    lines = list(_wrapped(Text(), _words(", ".join(names) or picture.name, "bold"), width))
    alike = f"{len(names)} nodes, each with " if len(names) > 1 else ""
    lines += _wrapped(Text(), _words(alike + picture.summary), width)
    for note in picture.notes:
        lines += _wrapped(Text("Note:", "yellow"), _words(note), width, 2)
    if picture.boxes:
        lines += [Text(), *_devices(picture, width)]
        for fabric in picture.fabrics:
            lines += [Text(), *_fabric(picture, fabric, width)]
        lines += [Text(), *_legend(picture, width)]
    return lines


def _devices(picture: Picture, width: int) -> Iterator[Text]:
    name = min(_NAME, max(len(box.ref.name) for box in picture.boxes))
    columns = [max(len(str(band.size)), *(len(group.letters) for group in band.groups)) + 2 for band in picture.bands]
    start = _INDENT + 2 + name + 1
    if start + sum(columns) + 1 + _LEAST > width:
        columns = []  # there are too many of them; SVG and HTML show all
    if columns:
        heads = (f"{band.size:^{wide}}" for band, wide in zip(picture.bands, columns, strict=True))
        yield Text(" " * start + "".join(heads).rstrip(), "dim")
    for region in regions_of(picture).inner:
        yield from _wrapped(Text(region.tags[0].label, "bold"), (), width)
        root = None
        for place in _ordered(region):
            box = picture.boxes[place]
            if box.root != root:
                root = box.root
                yield from _wrapped(Text("  "), _words(root or "no PCIe root named", "dim"), width, 2)
            yield from _device(picture, place, start, columns, width)


def _ordered(region: Region) -> Iterator[int]:
    """The boxes of a region, those of one PCIe root together; the rest comes last."""
    roots: dict[str, list[int]] = {}
    for part in region.walk():
        for label in (tag.label for tag in part.tags if tag.kind == "root"):
            roots.setdefault(label, []).extend(part.everything)
    rooted = {place for places in roots.values() for place in places}
    for places in roots.values():
        yield from places
    yield from (place for place in region.everything if place not in rooted)


def _device(picture: Picture, place: int, start: int, columns: Sequence[int], width: int) -> Iterator[Text]:
    box = picture.boxes[place]
    line = Text(" " * _INDENT)
    line.append(f"{MARK if box.mark else SIGNS[box.state]} {box.ref.name}", MARKED if box.mark else STYLES[box.state])
    if len(line) >= start:
        yield line
        line = Text()
    line.append(" " * (start - len(line)))
    for band, wide in zip(picture.bands, columns, strict=False):
        group = band.of(place)
        letters = "" if group is None else band.groups[group].letters
        line.append(f"{letters:^{wide}}", "" if group is None else _colours(hue_of(band, group)))
    style = MARKED if box.mark else STYLES[box.state] or "dim"
    yield from _wrapped(line, _words(_told(box), style), width, len(line) + 1)


def _told(box: Box) -> str:
    share = "" if box.share is None else f" ({box.share:.0%} in use)"
    return ("for " if box.mark else "") + box.detail + share


def _colours(hue: int) -> str:
    own = tone(hue, dark=False)
    return f"{own.text} on {own.chip}"


def _fabric(picture: Picture, fabric: Fabric, width: int) -> Iterator[Text]:
    yield from _wrapped(Text(f"Links: {fabric.described}", "bold"), _words(f"({fabric.title})"), width, 2)
    wide = max(len(str(knot.number)) for knot in fabric.knots)
    columns, _ = fabric.size
    if fabric.shape is Shape.GRID and _INDENT + columns * (wide + 6) <= width:
        yield from _grid(picture, fabric, wide)
        yield from _wrapped(Text(" " * _INDENT), _words(_far(fabric)), width, _INDENT)
    elif fabric.shape in (Shape.RING, Shape.ROW):
        words = [word for knot in fabric.knots for word in (Text("─"), _knot(picture, knot, 0))][1:]
        closing = _words(f"─ back to {fabric.knots[0].number}") if fabric.shape is Shape.RING else []
        yield from _wrapped(Text(" " * _INDENT), [*words, *closing], width, _INDENT)
    else:
        for index, knot in enumerate(fabric.knots):
            others = [one if other == index else other for one, other in fabric.links if index in (one, other)]
            line = Text("    ") + _knot(picture, knot, wide) + Text(":")
            yield from _wrapped(line, [Text(str(fabric.knots[other].number)) for other in others], width, 8)


def _knot(picture: Picture, knot: Knot, wide: int) -> Text:
    box = picture.boxes[knot.place]
    sign = MARK if box.mark else SIGNS[box.state]
    return Text(f"{knot.number:>{wide}}{sign}", MARKED if box.mark else STYLES[box.state])


def _grid(picture: Picture, fabric: Fabric, wide: int) -> Iterator[Text]:
    """Row by row, with the links between neighbours."""
    at = {(knot.x, knot.y): index for index, knot in enumerate(fabric.knots)}
    linked = set(fabric.links)
    columns, rows = fabric.size
    for y in range(rows):
        line, below = Text(" " * _INDENT), " " * _INDENT
        for x in range(columns):
            here, right, down = at.get((x, y)), at.get((x + 1, y), -1), at.get((x, y + 1), -1)
            line += Text(" " * (wide + 1)) if here is None else _knot(picture, fabric.knots[here], wide)
            line.append(" ─── " if (here, right) in linked else "     ")
            below += " " * wide + ("│" if (here, down) in linked else " ") + "     "
        line.rstrip()
        yield line
        if below.strip():
            yield Text(below.rstrip())


def _far(fabric: Fabric) -> str:
    """The links of a grid that are not drawn, in words."""
    if not fabric.far:
        return ""
    if fabric.closed:
        return "The ends of each row and of each column are linked too."
    pairs = ((fabric.knots[one].number, fabric.knots[other].number) for one, other in fabric.far)
    return "Linked too: " + ", ".join(f"{one}-{other}" for one, other in pairs)


def _legend(picture: Picture, width: int) -> Iterator[Text]:
    for entry in legend_of(picture):
        words: list[Text] = []
        for sample in entry.samples:
            if sample.kind == "group":
                letters = Text(f" {sample.label.partition('·')[2]} ", _colours(int(sample.key)))
                words.append(letters + Text(f" {sample.value}  "))
            elif sample.kind == "driver":
                words.append(Text(f"{sample.label} "))
            else:
                sign, style = (MARK, MARKED) if sample.kind == "mark" else _signed(State(str(sample.key)))
                words.append(Text(sign, style) + Text(f" {sample.label} "))
        head = Text(entry.name, "bold") + (Text(f" {entry.note}") if entry.note else Text())
        if entry.note:
            yield from _wrapped(head, (), width, 2)
            yield from _wrapped(Text("  "), words, width, 2)
        else:
            yield from _wrapped(head, words, width, 2)


def _signed(state: State) -> tuple[str, str]:
    return SIGNS[state], STYLES[state]


def _words(text: str, style: str = "") -> list[Text]:
    return [Text(word, style) for word in text.split()]


def _wrapped(start: Text, words: Iterable[Text], width: int, hang: int = 0) -> Iterator[Text]:
    """A beginning and words after it, with a blank before each, in lines of a width.

    Further lines begin after `hang` blanks. A word that is wider than a line is broken.
    """
    hang = hang if width - hang >= _LEAST else _INDENT
    *full, line = _chopped(start, width)
    yield from full
    # Nothing but blanks is an indentation: the first word follows at once.
    fresh = not line.plain.strip()
    for word in words:
        for part in _chopped(word, width - hang):
            if fresh:
                line = line + part
            elif cell_len(line.plain) + 1 + cell_len(part.plain.rstrip()) <= width:
                line = line + Text(" ") + part
            else:
                line.rstrip()
                yield line
                line = Text(" " * hang) + part
            fresh = False
    line.rstrip()
    yield line


def _chopped(word: Text, width: int) -> Iterator[Text]:
    """A word in pieces of at most a width."""
    while cell_len(word.plain) > width:
        end = max(1, sum(cell_len(word.plain[: index + 1]) <= width for index in range(len(word.plain))))
        yield word[:end]
        word = word[end:]
    yield word
