"""Pictures as one HTML page: every node, drawn and as a table, with nothing to be fetched from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from drakit.plan.topology.colours import DARK, LIGHT
from drakit.plan.topology.model import MEANING, Picture
from drakit.plan.topology.style import MONO, SANS, style_sheet
from drakit.plan.topology.svg import draw, svg_element

_SHEET = f"""\
:root{{color-scheme:light dark;--page:{LIGHT["page"]};--ink:{LIGHT["ink"]};--faint:{LIGHT["faint"]};\
--line:{LIGHT["line"]};--panel:{LIGHT["panel"]};--mark:{LIGHT["mark"]}}}
@media (prefers-color-scheme:dark){{:root{{--page:{DARK["page"]};--ink:{DARK["ink"]};--faint:{DARK["faint"]};\
--line:{DARK["line"]};--panel:{DARK["panel"]};--mark:{DARK["mark"]}}}}}
body{{margin:0 auto;max-width:1400px;padding:12px 24px 40px;background:var(--page);color:var(--ink);font:14px {SANS}}}
h1{{font-size:22px}}
a{{color:var(--mark)}}
nav ul{{columns:14em;padding-left:1.2em}}
section{{content-visibility:auto;contain-intrinsic-size:auto 900px;border-top:1px solid var(--line);margin-top:16px}}
.drawing{{overflow-x:auto;margin:0 -20px}}
.drawing svg{{display:block;max-width:none}}
[tabindex]:focus-visible{{outline:2px solid var(--mark);outline-offset:2px}}
.hint,caption{{color:var(--faint);text-align:left}}
details{{margin:8px 0}}
summary{{cursor:pointer;font-weight:600}}
table{{border-collapse:collapse;margin:8px 0;font-size:12.5px}}
th,td{{border-bottom:1px solid var(--line);padding:3px 12px 3px 0;text-align:left;vertical-align:top}}
td{{font-family:{MONO};font-size:11.5px;overflow-wrap:anywhere}}
@media print{{details>*{{display:block}}}}
"""

_SCRIPT = """\
for (const section of document.querySelectorAll("section")) {
  const drawing = section.querySelector("svg");
  const light = (group) => {
    drawing.classList.toggle("hushed", Boolean(group));
    for (const part of drawing.querySelectorAll("[data-groups]"))
      part.classList.toggle("lit", Boolean(group) && part.dataset.groups.split(" ").includes(group));
  };
  for (const chip of section.querySelectorAll("[data-group]")) {
    chip.setAttribute("tabindex", "0");
    chip.setAttribute("role", "button");
    for (const event of ["mouseenter", "focus"]) chip.addEventListener(event, () => light(chip.dataset.group));
    for (const event of ["mouseleave", "blur"]) chip.addEventListener(event, () => light(""));
  }
}
"""


def html_page(pictures: Sequence[Picture], title: str) -> str:
    """The page of some nodes."""
    parts = [_head(title)]
    if len(pictures) > 1:
        parts += _contents(pictures)
    parts += (part for number, picture in enumerate(pictures) for part in _section(number, picture))
    return "".join([*parts, f"<script>\n{_SCRIPT}</script>\n</body>\n</html>\n"])


def _head(title: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_SHEET}{style_sheet()}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n"
    )


def _contents(pictures: Sequence[Picture]) -> Iterator[str]:
    yield f'<nav aria-label="Nodes"><p>{len(pictures)} nodes</p><ul>\n'
    for number, picture in enumerate(pictures):
        link = f'<a href="#node-{number}">{escape(picture.name)}</a>'
        yield f'<li>{link} <span class="hint">{escape(picture.summary)}</span></li>\n'
    yield "</ul></nav>\n"


def _section(number: int, picture: Picture) -> Iterator[str]:
    name = escape(picture.name)
    yield f'<section id="node-{number}" aria-label="{name}" data-node="{name}">\n'
    label = f"Topology of {picture.name}: {picture.summary}; the table below has the same in words"
    yield f'<div class="drawing">{svg_element(draw(picture), label)}</div>\n'
    if picture.bands:
        yield '<p class="hint">Point at a group of the legend to see its devices.</p>\n'
    yield _details("All devices as a table", _devices(picture))
    if picture.bands:
        yield _details("Groups and their values", _groups(picture))
    yield "</section>\n"


def _details(summary: str, content: Iterable[str]) -> str:
    return f"<details><summary>{summary}</summary>\n{''.join(content)}</details>\n"


def _devices(picture: Picture) -> Iterator[str]:
    heads = ["Device", "Driver", "State", "Claims, taints, capacity", "NUMA node", "PCIe root"]
    heads += [f"Group of {band.size}" for band in picture.bands]
    yield f"<table><thead><tr>{''.join(f'<th scope=col>{escape(head)}</th>' for head in heads)}</tr></thead><tbody>\n"
    for place, box in enumerate(picture.boxes):
        groups = (band.of(place) for band in picture.bands)
        cells = [
            box.ref.driver,
            MEANING[box.state],
            "; ".join([*([f"for {box.mark}"] if box.mark else []), *_facts(picture, place)]),
            "" if box.numa is None else str(box.numa),
            box.root,
            *(
                "" if group is None else band.groups[group].letters
                for band, group in zip(picture.bands, groups, strict=True)
            ),
        ]
        row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        yield f'<tr><th scope=row data-row="{escape(str(box.ref))}">{escape(box.ref.name)}</th>{row}</tr>\n'
    yield "</tbody></table>\n"


def _facts(picture: Picture, place: int) -> Iterator[str]:
    box = picture.boxes[place]
    yield from (f"claim {use.claim}" for use in box.uses)
    yield from (f"taint {taint}" for taint in box.taints)
    yield from (f"{name} {value}" for name, value in box.capacity.items())


def _groups(picture: Picture) -> Iterator[str]:
    for band in picture.bands:
        yield f"<table><caption>{escape(band.attribute)}</caption><tbody>\n"
        for group in band.groups:
            members = ", ".join(picture.boxes[place].ref.name for place in sorted(group.members))
            row = f"<td>{escape(group.value)}</td><td>{escape(members)}</td>"
            yield f"<tr><th scope=row>{band.size}·{group.letters}</th>{row}</tr>\n"
        yield "</tbody></table>\n"
