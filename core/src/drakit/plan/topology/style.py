"""The style sheet of drawings: every colour twice, for light and for dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from drakit.plan.topology.colours import DARK, DRIVERS, HUES, LIGHT, tone

SANS = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"

_SHAPES = f"""\
.tp text{{font-family:{MONO};font-size:10px}}
.tp .title{{font:600 20px {SANS}}}
.tp .summary,.tp .note,.tp .key{{font:12px {SANS}}}
.tp .head{{font:600 12px {SANS}}}
.tp .numa text.label{{font:600 11.5px {SANS}}}
.tp .name{{font-weight:600}}
.tp .detail{{font-size:9px}}
.tp .chip text{{font-weight:600;font-size:9.5px;text-anchor:middle}}
.tp .knot text{{font-weight:600;font-size:11px;text-anchor:middle}}
.tp .frame>rect{{stroke-width:1}}
.tp .frame.g>rect{{stroke-width:1.4}}
.tp .part>rect{{stroke-dasharray:2.5 2}}
.tp .marked>.box,.tp .marked>.dot,.tp .barred.s-allocated>.box,.tp .barred.s-allocated>.dot{{stroke-width:2.6}}
.tp .link{{fill:none;stroke-width:1.6}}
.tp .lit>rect,.tp .lit>.dot{{stroke-width:3.2}}
.tp.hushed .device:not(.lit){{opacity:.28}}
"""


def style_sheet() -> str:
    """Everything; a page that asks for neither scheme is light."""
    dark = "".join(_colours(DARK, dark=True))
    return f"{_SHAPES}{''.join(_colours(LIGHT, dark=False))}@media (prefers-color-scheme:dark){{\n{dark}}}\n"


def _colours(of: Mapping[str, str], *, dark: bool) -> Iterator[str]:
    rules = {
        ".page": f"fill:{of['page']}",
        "text,.tp .name": f"fill:{of['ink']}",
        ".summary,.tp .detail,.tp .note,.tp .faint": f"fill:{of['faint']}",
        ".numa>rect": f"fill:{of['panel']};stroke:{of['line']}",
        ".root>rect": f"fill:none;stroke:{of['line']}",
        ".net>rect": f"fill:{of['panel']};stroke:{of['line']}",
        ".link": f"stroke:{of['link']}",
        ".box,.tp .dot": f"fill:{of['box']};stroke:{of['edge']}",
        ".s-allocated>.box,.tp .s-allocated>.dot": f"fill:{of['taken']};stroke:{of['taken']}",
        ".s-allocated>text:not(.key)": f"fill:{of['onTaken']}",
        ".s-shared>.box,.tp .s-shared>.dot": f"fill:{of['faintTaken']};stroke:{of['taken']}",
        ".bar": f"fill:{of['taken']}",
        ".s-tainted>.box,.tp .s-tainted>.dot": f"fill:{of['taintGround']};stroke:{of['taint']}",
        ".s-tainted>text:not(.key),.tp .warn": f"fill:{of['taint']}",
        ".s-blocked>.box,.tp .s-blocked>.dot": f"fill:{of['blocked']};stroke:{of['line']}",
        ".barred>.box,.tp .barred>.dot": f"stroke:{of['taint']}",
        ".marked>.box,.tp .marked>.dot": f"stroke:{of['mark']}",
        ".marked>.detail": f"fill:{of['mark']}",
        ".s-allocated.marked>.detail": f"fill:{of['onTaken']}",
        ".lit>rect:first-of-type,.tp .lit>.dot": f"stroke:{of['mark']}",
    }
    for hue in range(HUES + 1):
        own = tone(hue, dark=dark)
        rules[f".frame.h{hue}>rect"] = f"fill:{own.ground};stroke:{own.line}"
        rules[f".chip.h{hue}>rect"] = f"fill:{own.chip};stroke:{own.line}"
        rules[f".chip.h{hue}>text"] = f"fill:{own.text}"
    for index, hue in enumerate(DRIVERS):
        rules[f".d{index}"] = f"fill:{tone(hue, dark=dark).line}"
    for selector, body in rules.items():
        yield f".tp {selector}{{{body}}}\n"
