"""Colours of groups: hues around a circle, so that a group's colour lies among those of the larger group it is in.

They are reckoned in OKLCH, where hues of one lightness look equally light, and given as sRGB for any viewer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from attrs import frozen

from drakit.plan.topology.model import Band

HUES = 24
NEUTRAL = HUES
"""The colour of a group that is the only one of its attribute."""


@frozen
class Tone:
    """The colours of one hue: a frame's ground and line, a chip's ground and text."""

    ground: str
    line: str
    chip: str
    text: str


def hue_of(band: Band, group: int) -> int:
    """The hue of a group, as a number below HUES, or NEUTRAL."""
    count = len(band.groups)
    return NEUTRAL if count < 2 else int(HUES * (group + 0.5) / count) % HUES


def tone(hue: int, *, dark: bool) -> Tone:
    """What a hue looks like on a light or on a dark page."""
    angle = 360 * hue / HUES + 20
    rich = 0.0 if hue == NEUTRAL else 1.0
    if dark:
        return Tone(
            _hex(0.26, 0.03 * rich, angle),
            _hex(0.58, 0.11 * rich, angle),
            _hex(0.42, 0.09 * rich, angle),
            _hex(0.95, 0.03 * rich, angle),
        )
    return Tone(
        _hex(0.97, 0.018 * rich, angle),
        _hex(0.70, 0.12 * rich, angle),
        _hex(0.88, 0.075 * rich, angle),
        _hex(0.34, 0.09 * rich, angle),
    )


DRIVERS: tuple[int, ...] = (17, 2, 9, 13)
"""Hues that tell drivers apart; beyond these they begin again."""

LIGHT: Mapping[str, str] = {
    "page": "#ffffff",
    "ink": "#1b2330",
    "faint": "#5b6676",
    "line": "#c3cad4",
    "panel": "#f6f8fa",
    "box": "#ffffff",
    "edge": "#8793a3",
    "taken": "#36455c",
    "onTaken": "#ffffff",
    "faintTaken": "#cfd8e6",
    "taint": "#b42318",
    "taintGround": "#fdecea",
    "blocked": "#e3e7ec",
    "mark": "#0b5fe0",
    "link": "#7f8b9b",
}
DARK: Mapping[str, str] = {
    "page": "#0f141b",
    "ink": "#e6ebf2",
    "faint": "#9aa7b8",
    "line": "#3a4554",
    "panel": "#151c25",
    "box": "#1a222d",
    "edge": "#66758a",
    "taken": "#b9c8de",
    "onTaken": "#101723",
    "faintTaken": "#3b4a61",
    "taint": "#ff8a7a",
    "taintGround": "#3a1d1b",
    "blocked": "#2b3441",
    "mark": "#69a7ff",
    "link": "#75849a",
}


def _hex(lightness: float, chroma: float, angle: float) -> str:
    """OKLCH to `#rrggbb`, by Ottosson's matrices (https://bottosson.github.io/posts/oklab/); out of range is cut."""
    a, b = chroma * math.cos(math.radians(angle)), chroma * math.sin(math.radians(angle))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _gamma(value)):02x}" for value in linear)


def _gamma(value: float) -> float:
    value = min(1.0, max(0.0, value))
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
