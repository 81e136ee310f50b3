"""The drawing as whoever looks at it: from the geometry of the SVG itself."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from attrs import frozen
from drakit import DeviceRef
from drakit.plan.topology import Inputs, draw, html_page, pictures_of, svg_document
from drakit.plan.topology.colours import DARK, HUES, LIGHT, hue_of, tone
from drakit.plan.topology.model import Band, Box, Fabric, Group, Knot, Picture, Shape, Use
from hypothesis import given
from hypothesis import strategies as st

SVG = "{http://www.w3.org/2000/svg}"
NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=64)


@st.composite
def pictures(draw_):
    """Nodes of any shape: what groups devices cuts across what else groups them as it likes."""
    names = draw_(st.lists(NAMES, min_size=1, max_size=24, unique=True))
    drivers = draw_(st.lists(st.sampled_from(["a.example.com", "b.example.com", "c"]), min_size=1, max_size=3))
    boxes = [
        Box(
            ref=DeviceRef(draw_(st.sampled_from(drivers)), "pool", name),
            numa=draw_(st.sampled_from([None, 0, 1, 2])),
            root=draw_(st.sampled_from(["", "pci0000:10", "pci0000:20"])),
            counter_set=draw_(st.sampled_from(["", "set-0"])),
            taints=draw_(st.lists(TEXTS, max_size=1)),
            barred=draw_(st.booleans()),
            uses=[Use(claim=claim) for claim in draw_(st.lists(TEXTS, max_size=2))],
            mark=draw_(st.sampled_from(["", "claim/request"])),
        )
        for name in names
    ]
    bands = []
    for size in draw_(st.lists(st.sampled_from([1, 2, 4, 8, 100]), max_size=4, unique=True).map(sorted)):
        values = draw_(st.lists(st.integers(-1, 3), min_size=len(names), max_size=len(names)))
        found = {value: frozenset(n for n, one in enumerate(values) if one == value) for value in values if value >= 0}
        groups = [Group(letters=chr(65 + n), value=draw_(TEXTS), members=who) for n, who in enumerate(found.values())]
        if groups:
            bands.append(Band(attribute=f"x.example.com/devicegroup{size}_id", size=size, groups=groups))
    return Picture(name=draw_(TEXTS), boxes=boxes, bands=bands, notes=draw_(st.lists(TEXTS, max_size=2)))


@frozen
class Area:
    x: float
    y: float
    width: float
    height: float

    @classmethod
    def of(cls, element):
        return cls(*(float(element.get(name)) for name in ("x", "y", "width", "height")))

    def encloses(self, other):
        return (
            self.x <= other.x
            and self.y <= other.y
            and other.x + other.width <= self.x + self.width + 0.11
            and other.y + other.height <= self.y + self.height + 0.11
        )

    def meets(self, other):
        return (
            self.x < other.x + other.width - 0.11
            and other.x < self.x + self.width - 0.11
            and self.y < other.y + other.height - 0.11
            and other.y < self.y + self.height - 0.11
        )


class Seen:
    """What is seen of one picture."""

    def __init__(self, picture):
        self.root = ET.fromstring(svg_document([draw(picture)], "a title"))
        self.devices = {}
        for element in self.of_class("device"):
            assert element.get("data-device") not in self.devices, "a device is drawn twice"
            self.devices[element.get("data-device")] = Area.of(element.find(f"{SVG}rect"))
        self.frames = [
            (Area.of(element.find(f"{SVG}rect")), element.get("data-groups").split())
            for element in self.of_class("frame")
        ]

    def of_class(self, name):
        return [one for one in self.root.iter() if name in (one.get("class") or "").split()]

    def texts(self):
        return ["".join(one.itertext()) for one in self.root.iter() if one.tag in (f"{SVG}text", f"{SVG}title")]


@given(pictures())
def test_every_device_is_drawn_once_and_no_two_overlap(picture):
    seen = Seen(picture)
    assert sorted(seen.devices) == sorted(str(box.ref) for box in picture.boxes)
    areas = list(seen.devices.values())
    assert not any(one.meets(other) for n, one in enumerate(areas) for other in areas[:n])


@given(pictures())
def test_the_frames_of_a_group_enclose_exactly_its_members(picture):
    seen = Seen(picture)
    for index, band in enumerate(picture.bands):
        for number, group in enumerate(band.groups):
            frames = [area for area, groups in seen.frames if f"{index}-{number}" in groups]
            within = [name for name, area in seen.devices.items() if any(frame.encloses(area) for frame in frames)]
            assert sorted(within) == sorted(str(picture.boxes[place].ref) for place in group.members)


@given(pictures())
def test_frames_are_inside_one_another_or_apart_and_none_cuts_a_device(picture):
    seen = Seen(picture)
    frames = [area for area, _ in seen.frames]
    for n, one in enumerate(frames):
        for other in [*frames[:n], *seen.devices.values()]:
            assert not one.meets(other) or one.encloses(other) or other.encloses(one)


@given(pictures())
def test_everything_is_on_the_page(picture):
    seen = Seen(picture)
    _, _, width, height = map(float, seen.root.get("viewBox").split())
    (body,) = seen.of_class("body")
    x, y = map(float, re.findall(r"[\d.]+", body.get("transform")))
    for area in [*seen.devices.values(), *(area for area, _ in seen.frames)]:
        assert min(area.x, area.y) >= 0
        assert area.x + area.width + x <= width
        assert area.y + area.height + y <= height


@given(pictures())
def test_the_legend_has_every_group_smallest_first_every_driver_and_every_state(picture):
    seen = Seen(picture)
    (legend,) = seen.of_class("legend")
    shown = [one.get("data-group") for one in legend.iter() if one.get("data-group")]
    assert shown == [f"{n}-{g}" for n, band in enumerate(picture.bands) for g in range(len(band.groups))]
    assert [one.get("data-driver") for one in legend.iter() if one.get("data-driver")] == list(picture.drivers)
    samples = [one for one in legend.iter() if "sample" in (one.get("class") or "").split()]
    assert len(samples) == len(picture.states) + any(box.mark for box in picture.boxes)
    assert [band.size for band in picture.bands] == sorted(band.size for band in picture.bands)


class Tags(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], set(), ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


HOSTILE = [
    "</title><script>alert(1)</script>",
    "\"onload='alert(1)' x=\"",
    "]]><!-- & &amp; &#0; <svg>",
    "' onmouseover=alert(1) '",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_written_on_it_stays_text(text):
    ref = DeviceRef("a.example.com", "pool", "gpu-0")
    box = Box(ref=ref, root=text, taints=[text], uses=[Use(claim=text)], mark=text)
    bands = [Band(attribute=text, size=1, groups=[Group(letters="A", value=text, members=frozenset([0]))])]
    fabric = Fabric(title=text, shape=Shape.ROW, knots=[Knot(place=0, number=0, x=0, y=0)], links=[])
    picture = Picture(name=text, boxes=[box], bands=bands, fabrics=[fabric], notes=[text])
    root = ET.fromstring(svg_document([draw(picture, text)], text))
    texts = ["".join(one.itertext()) for one in root.iter(f"{SVG}title")]
    assert any(text in one for one in texts)
    names = {one.tag.removeprefix(SVG) for one in root.iter()}
    assert names <= {"svg", "title", "style", "rect", "g", "text", "path", "circle"}
    attributes = {name for one in root.iter() for name in one.attrib}
    assert not any(name.startswith("on") for name in attributes)
    page = Tags()
    page.feed(html_page([picture], text))
    assert page.tags.count("script") == 1
    assert not any(name.startswith("on") for name in page.attributes)
    assert page.text.count(text) >= 5


def test_nothing_is_fetched_from_anywhere():
    picture = Picture(name="n", boxes=[Box(ref=DeviceRef("a.example.com", "pool", "gpu-0"))])
    for document in (svg_document([draw(picture)], "t"), html_page([picture], "t")):
        links = re.findall(r"""(?:href|src|url\(|@import|https?:)[^\s>]*""", document)
        assert [link for link in links if "www.w3.org/2000/svg" not in link] == []


def test_a_picture_without_devices_says_why():
    seen = Seen(Picture(name="n", notes=["pool 'x' is not usable: it is being updated"]))
    assert any("is being updated" in text for text in seen.texts())


def test_each_link_is_drawn_once_and_between_its_ends():
    boxes = [Box(ref=DeviceRef("a.example.com", "pool", f"gpu-{n}")) for n in range(4)]
    knots = [Knot(place=n, number=n, x=n, y=0) for n in range(4)]
    fabric = Fabric(title="t", shape=Shape.RING, knots=knots, links=[(0, 1), (1, 2), (2, 3), (0, 3)])
    seen = Seen(Picture(name="n", boxes=boxes, fabrics=[fabric]))
    at = {}
    for knot in seen.of_class("knot"):
        dot = knot.find(f"{SVG}circle")
        at[knot.find(f"{SVG}text").text] = (float(dot.get("cx")), float(dot.get("cy")))
    links = seen.of_class("link")
    assert [link.get("data-link") for link in links] == ["0-1", "1-2", "2-3", "0-3"]
    for link in links:
        numbers = [float(one) for one in re.findall(r"-?[\d.]+", link.get("d"))]
        assert [tuple(numbers[:2]), tuple(numbers[-2:])] == [at[end] for end in link.get("data-link").split("-")]


def luminance(colour):
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [("ink", "page"), ("ink", "panel"), ("ink", "box"), ("faint", "page"), ("faint", "box"), ("onTaken", "taken"),
     ("ink", "faintTaken"), ("taint", "taintGround"), ("taint", "page"), ("ink", "blocked"), ("mark", "box")],
)  # fmt: skip
def test_text_can_be_read_on_its_ground(palette, text, ground):
    """WCAG 2, level AA, for small print: 4.5 to 1."""
    assert contrast(palette[text], palette[ground]) >= 4.5


@pytest.mark.parametrize("dark", [False, True])
def test_labels_of_groups_can_be_read_in_every_hue(dark):
    for hue in range(HUES + 1):
        own = tone(hue, dark=dark)
        assert contrast(own.text, own.chip) >= 4.5
        assert contrast((DARK if dark else LIGHT)["faint"], own.ground) >= 4.5


def test_the_groups_of_one_size_differ_in_hue():
    groups = [Group(letters="A", value=str(n), members=frozenset([n])) for n in range(HUES)]
    band = Band(attribute="x/devicegroup1_id", size=1, groups=groups)
    assert len({hue_of(band, n) for n in range(HUES)}) == HUES


def test_hundreds_of_devices_are_drawn():
    slices = [
        {"spec": {
            "driver": "a.example.com", "nodeName": "n",
            "pool": {"name": f"p{n}", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": f"gpu-{d}"} for d in range(128)],
        }} for n in range(4)
    ]  # fmt: skip
    (picture,) = pictures_of(Inputs(slices))
    assert len(Seen(picture).devices) == 512
