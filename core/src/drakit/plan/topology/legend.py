"""What signs and colours mean, for every form of a picture: entries in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field, frozen

from drakit.model.converters import frozen_tuple
from drakit.plan.topology.colours import hue_of
from drakit.plan.topology.model import MEANING, Band, Picture


@frozen(kw_only=True)
class Sample:
    """One sign: of a `state`, a `driver`, a `group`, a `part` of a group, or the `mark` of a plan's answer.

    `key` tells those of a kind apart: the state, the driver's number, the hue of a group.
    """

    kind: str
    label: str
    key: str | int = ""
    value: str = ""
    """Of a group, the attribute's value."""
    group: str = ""
    """Of a group, `band-group` by number."""


@frozen
class Entry:
    """A line of the legend; `note` follows its name where there is room."""

    name: str
    samples: tuple[Sample, ...] = field(converter=frozen_tuple)
    note: str = ""


def legend_of(picture: Picture, *, parts: bool = False) -> list[Entry]:
    """States, drivers, and groups with the smallest first; with `parts`, what a group framed in parts looks like."""
    states = [Sample(kind="state", label=MEANING[state], key=state) for state in picture.states]
    if any(box.mark for box in picture.boxes):
        states.append(Sample(kind="mark", label="chosen by the plan"))
    entries = [Entry("Devices", states)] if states else []
    if picture.drivers:
        named = [Sample(kind="driver", label=driver, key=index) for index, driver in enumerate(picture.drivers)]
        entries.append(Entry("Drivers", named))
    entries += _groups(picture)
    if parts:
        entries.append(Entry("", [Sample(kind="part", label="the group has more devices, in another frame")]))
    return entries


def _groups(picture: Picture) -> Iterator[Entry]:
    for index, band in enumerate(picture.bands):
        samples = [
            Sample(
                kind="group",
                label=f"{band.size}·{group.letters}",
                key=hue_of(band, number),
                value=group.value,
                group=f"{index}-{number}",
            )
            for number, group in enumerate(band.groups)
        ]
        yield Entry(band.attribute, samples, sizes(band))


def sizes(band: Band) -> str:
    """How many groups of how many devices there are: `4 groups of 8`."""
    counts = sorted({len(group.members) for group in band.groups})
    of = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{len(band.groups)} group{'' if len(band.groups) == 1 else 's'} of {of}"
