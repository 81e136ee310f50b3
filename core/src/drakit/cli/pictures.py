"""Pictures of nodes on stdout: those that look alike once, but for the page, which has all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from attrs import evolve
from rich.text import Text

from drakit.cli.output import console, show
from drakit.plan.topology import Picture, draw, html_page, svg_document, text_of

TEXT_WIDTH = 80
"""Of text that is not for a window."""
MAX_NAMED = 8
"""So many nodes are named in a line."""


def write_pictures(pictures: Sequence[Picture], output: str) -> None:
    """Write pictures to stdout, as `text`, `svg` or `html`."""
    if not pictures:
        return
    title = f"Topology of {pictures[0].name}" if len(pictures) == 1 else f"Topology of {len(pictures)} nodes"
    if output == "html":
        click.echo(html_page(pictures, title), nl=False)
    elif output == "svg":
        figures = [draw(picture, _heading(names)) for picture, names in _folded(pictures)]
        click.echo(svg_document(figures, title), nl=False)
    else:
        screen = console()
        width = screen.width if screen.is_terminal else TEXT_WIDTH
        parts = [Text("\n").join(text_of(picture, width, names)) for picture, names in _folded(pictures)]
        show(Text("\n\n").join(parts))


def _folded(pictures: Sequence[Picture]) -> Iterator[tuple[Picture, list[str]]]:
    """Pictures that differ in nothing but the node's name once, with the names of all; in the order of the first."""
    alike: list[tuple[Picture, Picture, list[str]]] = []
    for picture in pictures:
        bare = _anonymous(picture)
        same = next((entry for entry in alike if entry[0] == bare), None)
        if same is None:
            alike.append((bare, picture, [picture.name]))
        else:
            same[2].append(picture.name)
    yield from ((picture, names) for _, picture, names in alike)


def _anonymous(picture: Picture) -> Picture:
    """Without what is another on every node: its name, that of its pools, and the values of groups."""
    return evolve(
        picture,
        name="",
        boxes=[evolve(box, ref=evolve(box.ref, pool="pool")) for box in picture.boxes],
        bands=[evolve(band, groups=[evolve(group, value="") for group in band.groups]) for band in picture.bands],
    )


def _heading(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED
    listed = ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{len(names)} nodes: {listed}" if len(names) > 1 else listed
