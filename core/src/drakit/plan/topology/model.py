"""What is drawn of a node: its devices, what groups them, what links them, and who uses them. Pure values.

Every text in here can be shown as it is: what cannot be printed has been taken out of it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from attrs import field, frozen

from drakit.model import DeviceRef, Quantity
from drakit.model.converters import frozen_mapping, frozen_tuple

MISSING = "\N{REPLACEMENT CHARACTER}"


def printable(text: object) -> str:
    """A text without what a terminal or a page would act on: control characters, and marks that turn its direction."""
    return "".join(letter if letter.isprintable() else MISSING for letter in str(text))


class State(enum.StrEnum):
    """Whether a device can be had. Of several the first that applies, in this order of interest."""

    ALLOCATED = "allocated"
    SHARED = "shared"
    """It is in use, and more claims may have a part of it."""
    TAINTED = "tainted"
    BLOCKED = "blocked"
    """It is free, but devices that it shares counters with have taken what it needs."""
    FREE = "free"


MEANING: Mapping[State, str] = {
    State.FREE: "free",
    State.ALLOCATED: "allocated",
    State.SHARED: "shared, in use",
    State.TAINTED: "tainted",
    State.BLOCKED: "no counters left",
}
"""What each state is called in a legend."""


@frozen(kw_only=True)
class Use:
    """A claim that has a device, or a part of it; `admin` is access that takes nothing."""

    claim: str
    consumed: Mapping[str, Quantity] = field(factory=dict, converter=frozen_mapping)
    admin: bool = False


@frozen(kw_only=True)
class Box:
    """One device."""

    ref: DeviceRef
    numa: int | None = None
    root: str = ""
    counter_set: str = ""
    """Those it shares with other devices, where it consumes of one set."""
    capacity: Mapping[str, Quantity] = field(factory=dict, converter=frozen_mapping)
    shareable: bool = False
    taints: tuple[str, ...] = field(default=(), converter=frozen_tuple)
    """`key=value:effect` of each; `barred` says whether any of them keeps claims away."""
    barred: bool = False
    uses: tuple[Use, ...] = field(default=(), converter=frozen_tuple)
    blocked: bool = False
    mark: str = ""
    """Why it stands out, as in the answer of a plan: the claim and request that it is for."""

    @property
    def state(self) -> State:
        """Whether it can be had."""
        if any(not use.admin for use in self.uses):
            return State.SHARED if self.shareable else State.ALLOCATED
        if self.barred:
            return State.TAINTED
        return State.BLOCKED if self.blocked else State.FREE

    @property
    def share(self) -> float | None:
        """How much of its scarcest capacity is consumed, from 0 to 1; None where no part of it is accounted for."""
        parts = [
            sum(use.consumed[name].nanos for use in self.uses if name in use.consumed) / whole.nanos
            for name, whole in self.capacity.items()
            if whole.nanos > 0
        ]
        if not self.shareable or not any(use.consumed for use in self.uses):
            return None
        return min(1.0, max(parts, default=0.0))

    @property
    def detail(self) -> str:
        """The most telling about it, in one line."""
        taking = [use.claim for use in self.uses if not use.admin]
        if self.mark:
            return self.mark
        return ", ".join([*taking, *self.taints]) or ", ".join(
            f"{_bare(name)} {value}" for name, value in self.capacity.items()
        )


def _bare(name: str) -> str:
    return name.rpartition("/")[2]


@frozen(kw_only=True)
class Group:
    """Devices with one value of a group attribute; `members` are places in the picture's boxes."""

    letters: str
    value: str
    members: frozenset[int]


@frozen(kw_only=True)
class Band:
    """One group attribute, for groups of a nominal `size`, with its groups in the order of the devices."""

    attribute: str
    size: int
    groups: tuple[Group, ...] = field(converter=frozen_tuple)

    def of(self, place: int) -> int | None:
        """The group that a box is in."""
        return next((index for index, group in enumerate(self.groups) if place in group.members), None)


class Shape(enum.StrEnum):
    """How linked devices are laid out."""

    GRID = "grid"
    RING = "ring"
    ROW = "row"
    WEB = "web"
    """None of these: all on a circle."""


@frozen(kw_only=True)
class Knot:
    """One device in a fabric: its place in the picture's boxes, its number, and where it is, in whole steps."""

    place: int
    number: int
    x: int
    y: int


@frozen(kw_only=True)
class Fabric:
    """Devices of one driver that are linked; `links` are pairs of places in `knots`, lower first."""

    title: str
    shape: Shape
    knots: tuple[Knot, ...] = field(converter=frozen_tuple)
    links: tuple[tuple[int, int], ...] = field(converter=frozen_tuple)

    @property
    def size(self) -> tuple[int, int]:
        """How many steps it is wide and high."""
        return max(knot.x for knot in self.knots) + 1, max(knot.y for knot in self.knots) + 1

    @property
    def far(self) -> tuple[tuple[int, int], ...]:
        """The links of a grid that do not lead to the next place in a row or a column."""
        ends = [(link, self.knots[link[0]], self.knots[link[1]]) for link in self.links]
        return tuple(link for link, one, other in ends if abs(one.x - other.x) + abs(one.y - other.y) != 1)

    @property
    def closed(self) -> bool:
        """Whether a grid is a torus: the far links are those between the ends of each row and of each column."""
        width, height = self.size
        at = {(knot.x, knot.y): index for index, knot in enumerate(self.knots)}
        rows = [((0, y), (width - 1, y)) for y in range(height)] if width > 2 else []
        columns = [((x, 0), (x, height - 1)) for x in range(width)] if height > 2 else []
        wrapping = {(at.get(one, -1), at.get(other, -1)) for one, other in (*rows, *columns)}
        return bool(wrapping) and set(self.far) == wrapping

    @property
    def described(self) -> str:
        """What kind of fabric it is, in a few words."""
        if self.shape is Shape.GRID:
            width, height = self.size
            return f"{height} by {width} {'torus' if self.closed else 'grid'}"
        kinds = {Shape.RING: "ring", Shape.ROW: "row", Shape.WEB: "fabric"}
        return f"{kinds[self.shape]} of {len(self.knots)}"


@frozen(kw_only=True)
class Picture:
    """One node. `bands` go from the smallest groups to the largest."""

    name: str
    boxes: tuple[Box, ...] = field(default=(), converter=frozen_tuple)
    bands: tuple[Band, ...] = field(default=(), converter=frozen_tuple)
    fabrics: tuple[Fabric, ...] = field(default=(), converter=frozen_tuple)
    notes: tuple[str, ...] = field(default=(), converter=frozen_tuple)
    """What could not be drawn, and why."""

    @property
    def drivers(self) -> tuple[str, ...]:
        """The drivers that have devices here."""
        return tuple(dict.fromkeys(box.ref.driver for box in self.boxes))

    @property
    def states(self) -> tuple[State, ...]:
        """The states that devices here are in."""
        found = {box.state for box in self.boxes}
        return tuple(state for state in MEANING if state in found)

    @property
    def summary(self) -> str:
        """How many devices there are, and how many of them in which state."""
        number = f"{len(self.boxes)} device{'' if len(self.boxes) == 1 else 's'}"
        counts = {state: sum(box.state is state for box in self.boxes) for state in self.states}
        return f"{number}: " + ", ".join(f"{n} {MEANING[state]}" for state, n in counts.items()) if counts else number
