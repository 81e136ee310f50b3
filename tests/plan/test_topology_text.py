"""The picture as text: in its width, whole, and readable without colours."""

from __future__ import annotations

import io

import pytest
from drakit import DeviceRef, Quantity
from drakit.plan.topology import text_of
from drakit.plan.topology.model import Band, Box, Fabric, Group, Knot, Picture, Shape, Use
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=64)
LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
SHAPES = st.sampled_from([Shape.GRID, Shape.RING, Shape.ROW, Shape.WEB])


@st.composite
def pictures(draw):
    names = draw(st.lists(LABELS, min_size=1, max_size=10, unique=True))
    boxes = [
        Box(
            ref=DeviceRef("a.example.com", "pool", name),
            numa=draw(st.sampled_from([None, 0, 1])),
            root=draw(WORDS),
            taints=draw(st.lists(WORDS, max_size=2)),
            uses=[Use(claim=claim) for claim in draw(st.lists(WORDS, max_size=2))],
            mark=draw(st.sampled_from(["", "claim/request"])),
        )
        for name in names
    ]
    everyone = frozenset(range(len(names)))
    bands = [
        Band(attribute=draw(WORDS), size=size, groups=[Group(letters="ABC", value=draw(WORDS), members=everyone)])
        for size in range(1, draw(st.integers(1, 20)))
    ]
    knots = [Knot(place=n, number=draw(st.integers(0, 999)), x=n, y=0) for n in range(len(names))]
    links = [(n, n + 1) for n in range(len(names) - 1)]
    fabrics = [Fabric(title=draw(WORDS), shape=draw(SHAPES), knots=knots, links=links)]
    return Picture(name=draw(WORDS), boxes=boxes, bands=bands, fabrics=fabrics, notes=draw(st.lists(WORDS, max_size=2)))


def lines_of(picture, width=80, names=()):
    return [line.plain for line in text_of(picture, width, names)]


@given(pictures(), st.sampled_from([40, 80, 200]), st.lists(WORDS, max_size=4))
def test_no_line_is_wider_than_it_may_be_and_none_ends_in_blanks(picture, width, names):
    for line in lines_of(picture, width, names):
        assert cell_len(line) <= width
        assert line == line.rstrip()


@given(pictures())
def test_every_device_has_a_line_with_its_whole_name_behind_its_sign(picture):
    named = [
        line.split()[1] for line in lines_of(picture) if line.startswith("    ") and line.split()[0] in set("○●◐✕◌◆")
    ]
    assert sorted(named) == sorted(box.ref.name for box in picture.boxes)


def node(count, **rest):
    boxes = [Box(ref=DeviceRef("a.example.com", "pool", f"gpu-{n}"), numa=0, root="pci0000:10") for n in range(count)]
    return Picture(name="node-1", boxes=boxes, **rest)


def test_groups_are_columns_smallest_first_with_the_letters_of_the_legend():
    pairs = [
        Group(letters=letter, value=f"v{letter}", members=frozenset(who)) for letter, who in (("A", [0, 1]), ("B", [2]))
    ]
    whole = [Group(letters="A", value="all", members=frozenset(range(4)))]
    bands = [
        Band(attribute="x/devicegroup2_id", size=2, groups=pairs),
        Band(attribute="x/devicegroup4_id", size=4, groups=whole),
    ]
    lines = lines_of(node(4, bands=bands))
    assert [line.split() for line in lines if not line or line.startswith(" ")][:7] == [
        [], ["2", "4"], ["pci0000:10"],
        ["○", "gpu-0", "A", "A"], ["○", "gpu-1", "A", "A"], ["○", "gpu-2", "B", "A"], ["○", "gpu-3", "A"],
    ]  # fmt: skip
    heads = next(line for line in lines if line.split() == ["2", "4"])
    row = next(line for line in lines if "gpu-3" in line)
    assert row.index("A") == heads.index("4")
    legend = " ".join(" ".join(lines).split())
    assert "x/devicegroup2_id 2 groups of 1 to 2 A vA B vB x/devicegroup4_id 1 group of 4 A all" in legend


def test_a_torus_is_drawn_and_what_is_not_is_said():
    knots = [Knot(place=n, number=n, x=n % 3, y=n // 3) for n in range(9)]
    near = {(n, n + 1) for n in range(9) if n % 3 < 2} | {(n, n + 3) for n in range(6)}
    around = {(n, n + 2) for n in (0, 3, 6)} | {(n, n + 6) for n in range(3)}
    torus = Fabric(title="t", shape=Shape.GRID, knots=knots, links=sorted(near | around))
    lines = lines_of(node(9, fabrics=[torus]))
    assert "Links: 3 by 3 torus (t)" in lines
    assert lines[lines.index("Links: 3 by 3 torus (t)") + 1 :][:6] == [
        "    0○ ─── 1○ ─── 2○",
        "     │      │      │",
        "    3○ ─── 4○ ─── 5○",
        "     │      │      │",
        "    6○ ─── 7○ ─── 8○",
        "    The ends of each row and of each column are linked too.",
    ]
    broken = Fabric(title="t", shape=Shape.GRID, knots=knots, links=sorted((near | around) - {(0, 2), (0, 1)}))
    lines = lines_of(node(9, fabrics=[broken]))
    assert "    0○     1○ ─── 2○" in lines
    assert "    Linked too: 0-6, 1-7, 2-8, 3-5, 6-8" in lines


def test_what_a_device_is_used_for_is_written_behind_it():
    ref = DeviceRef("a.example.com", "pool", "nic")
    use = Use(claim="team/job", consumed={"gbps": Quantity(25)})
    shared = Box(ref=ref, capacity={"gbps": Quantity(100)}, shareable=True, uses=[use])
    marked = Box(ref=DeviceRef("a.example.com", "pool", "gpu"), mark="claim/request")
    lines = lines_of(Picture(name="n", boxes=[shared, marked]))
    assert any(line.split() == ["◐", "nic", "team/job", "(25%", "in", "use)"] for line in lines)
    assert any(line.split() == ["◆", "gpu", "for", "claim/request"] for line in lines)
    assert "Devices ○ free ◐ shared, in use ◆ chosen by the plan" in [" ".join(line.split()) for line in lines]


def test_nodes_that_look_alike_are_named_and_counted_once():
    lines = lines_of(node(2), names=["node-1", "node-2", "node-3"])
    assert lines[0] == "node-1, node-2, node-3"
    assert lines[1] == "3 nodes, each with 2 devices: 2 free"


@pytest.mark.parametrize("colour", [True, False])
def test_colours_are_for_terminals_alone_and_add_nothing(colour):
    groups = [Group(letters=letter, value=letter, members=frozenset([n])) for n, letter in enumerate("AB")]
    picture = node(2, bands=[Band(attribute="x/devicegroup1_id", size=1, groups=groups)])
    stream = io.StringIO()
    screen = Console(file=stream, force_terminal=colour, color_system="truecolor" if colour else None, width=80)
    for line in text_of(picture, 80):
        screen.print(line)
    assert ("\x1b[" in stream.getvalue()) is colour
