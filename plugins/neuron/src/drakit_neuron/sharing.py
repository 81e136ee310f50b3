"""Dividing a device between claims, by cores. Pure.

Where the operator has enabled it, a claim may ask for some of a device's cores. The scheduler counts them; which ones
they are is decided here, when the claim is prepared, and stays with the claim. `NEURON_RT_VISIBLE_CORES` tells the
Neuron runtime; nothing but the runtime keeps a container to its cores, and nothing divides the memory.

The runtime counts logical cores, from 0 at the first device that a process sees, and a container with a share sees no
other device. That it does so in containers too, only hardware can prove. Which physical core a number stands for is
the runtime's affair; it keeps together the two that make a logical core. Logical cores of different sizes go side by
side on a device: their size is a setting of each process, and the driver reserves every core for one process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import frozen
from drakit import (
    AllocatedDevice,
    ClaimRef,
    Device,
    Hold,
    InvalidDeviceConfig,
    Quantity,
    RequestPolicy,
    SharePolicy,
    ValidRange,
)
from drakit.errors import DeviceBusy

from drakit_neuron.devices import CORE_SIZES, CORES

VISIBLE = "NEURON_RT_VISIBLE_CORES"
CORES_OF = "DRAKIT_NEURON_CORES"
"""Our own variable where devices may be divided: `all`, or `neuron-device-3:4-7`, physical cores of one device.

It differs between any two claims that no container may have together: two shares, or a share and a whole device. So
that it can be told from their environment, which is where the core refuses them.
"""

STATE = "cores"
"""The key of a preparation's state that says which cores it holds. Without it, it holds the whole device."""
NONE = ""
"""The cores of one that holds none: administrative access."""

_RANGES = re.compile(r"\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*", re.ASCII)
_UNIT = 10**9
_AGAIN = "this is tried again until those claims' pods have ended"


def share_policy(device: Device) -> SharePolicy | None:
    """How a device may be divided. A claim that names no number of cores gets all of them.

    Of every other capacity, such a claim and any other takes what one core has, unless it says more: so that the cores
    alone decide how many claims fit. A device that shares counters with others is not divided: it would be unclear
    what a part of it takes from them. Nor is one of which nobody knows how cores make logical ones.
    """
    cores = _whole(device.capacity[CORES]) if CORES in device.capacity else None
    if cores is None or cores < 2 or device.consumes or CORE_SIZES not in device.attributes:
        return None
    each = {name: RequestPolicy(default=_part(amount, cores)) for name, amount in device.capacity.items()}
    return SharePolicy(each | {CORES: RequestPolicy(default=cores, valid_range=ValidRange(minimum=1, step=1))})


def asked_cores(device: AllocatedDevice, total: int) -> int | None:
    """How many cores an allocation is of; None for the whole device. Raises InvalidDeviceConfig."""
    if (amount := device.consumed.get(CORES)) is None:
        return None
    cores = _whole(amount)
    if cores is None or cores < 1:
        raise InvalidDeviceConfig(
            f"request {device.request!r} is for {amount} cores of {device.device.name}, which is no number of cores: "
            f"ask for a whole number of {CORES}"
        )
    return cores if cores < total else None


@frozen
class Share:
    """Some cores of a device. `size` of the physical ones make a logical one."""

    cores: tuple[int, ...]
    size: int

    @property
    def text(self) -> str:
        """The physical cores: `4-7`."""
        return in_ranges(self.cores)

    @property
    def visible(self) -> str:
        """The logical cores they make, as the runtime numbers them: `2-3`."""
        return in_ranges({core // self.size for core in self.cores})


def environment(device: str, share: Share | None) -> Mapping[str, str]:
    """What a container is told of its cores of a device that may be divided; None for all of them."""
    if share is None:
        return {CORES_OF: "all"}
    return {VISIBLE: share.visible, CORES_OF: f"{device}:{share.text}"}


@frozen
class Division:
    """A device as it is divided now: how many cores it has, and which of them each other claim holds."""

    total: int
    held: Mapping[ClaimRef, frozenset[int]]

    @classmethod
    def of(cls, total: int, holds: Sequence[Hold]) -> Division:
        """The division by what is prepared. What cannot be made out holds the whole device."""
        held: dict[ClaimRef, frozenset[int]] = {}
        for hold in holds:
            cores = held_cores(hold.prepared.state.get(STATE), total)
            held[hold.claim] = held.get(hold.claim, frozenset()) | cores
        return cls(total, {claim: cores for claim, cores in held.items() if cores})

    @property
    def free(self) -> frozenset[int]:
        """The cores nobody holds."""
        return frozenset(range(self.total)).difference(*self.held.values())

    def check_whole(self, name: str) -> None:
        """Raise DeviceBusy unless the device, by its name, can be had as a whole."""
        if self.held:
            raise DeviceBusy(f"all cores of {name} are needed, and it is shared: {self._holders()}; {_AGAIN}")

    def share(self, device: AllocatedDevice, count: int, size: int, earlier: str = "") -> Share:
        """So many cores for an allocation, in whole logical cores of `size`.

        They are those it had `earlier` where it may still have them. Raises InvalidDeviceConfig for a number that makes
        no logical cores, DeviceBusy where too few are free.
        """
        name = device.device.name
        if count % size:
            raise InvalidDeviceConfig(
                f"request {device.request!r} is for {count} physical cores of {name}, where {size} make a logical one: "
                f"ask for a multiple of {size} of {CORES}, or set logicalNeuronCore: 1 by a NeuronConfig"
            )
        before = held_cores(earlier, self.total)
        cores = tuple(sorted(before)) if self._fits(before, count, size) else self.choose(count, size)
        if cores is None:
            raise DeviceBusy(f"{count} cores of {name} are needed, and {self._lack(size)}: {self._holders()}; {_AGAIN}")
        return Share(cores, size)

    def choose(self, count: int, size: int) -> tuple[int, ...] | None:
        """Free cores for so many, in whole logical cores of `size`; None where there are not enough.

        The first that follow each other, best where their number divides their place, else the first of any.
        """
        free = self.free
        windows = (range(start, start + count) for start in _starts(self.total, count, size))
        found = next((window for window in windows if free.issuperset(window)), None)
        if found is not None:
            return tuple(found)
        groups = (range(start, start + size) for start in range(0, self.total - size + 1, size))
        scattered = [core for group in groups if free.issuperset(group) for core in group]
        return tuple(scattered[:count]) if len(scattered) >= count else None

    def _fits(self, cores: frozenset[int], count: int, size: int) -> bool:
        """Whether these cores are free, so many, and whole logical cores of `size`."""
        whole = all(core - core % size + other in cores for core in cores for other in range(size))
        return len(cores) == count and whole and cores <= self.free

    def _lack(self, size: int) -> str:
        """What there is too little of, for people."""
        if not self.free:
            return f"all {self.total} are held"
        return f"{in_ranges(self.free)} alone are free, of which {size} make a logical core"

    def _holders(self) -> str:
        """Who holds what, for people."""
        return "; ".join(f"claim {claim} has {in_ranges(cores)}" for claim, cores in self.held.items())


def held_cores(text: str | None, total: int) -> frozenset[int]:
    """The cores that a preparation has on record; all of them where it has none, or none that can be read."""
    everything = frozenset(range(total))
    if text == NONE:
        return frozenset()
    if text is None or not _RANGES.fullmatch(text):
        return everything
    return everything.intersection(_parsed(text)) or everything


def in_ranges(numbers: Iterable[int]) -> str:
    """Numbers as the runtime takes them: `0-3`, `0,2`, `0-1,4`."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    return ",".join("-".join(map(str, ends)) for ends in ranges)


def _parsed(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _starts(total: int, count: int, size: int) -> list[int]:
    """Where a run of cores may begin, best first: runs that are aligned to their own length tile a device."""
    length = 1 << (count - 1).bit_length()
    return sorted(range(0, total - count + 1, size), key=lambda start: (start % length != 0, start))


def _whole(amount: Quantity) -> int | None:
    """A quantity as a number of things; None for a fraction."""
    return None if amount.nanos % _UNIT else amount.nanos // _UNIT


def _part(amount: Quantity, parts: int) -> Quantity:
    return Quantity(amount.nanos // _UNIT // parts)
