"""One adapter for several claims, by shares or by bandwidth. Pure.

Where the operator has enabled it, a claim may ask for some of an adapter. The scheduler counts, and what is prepared is
counted once more here. That is all there is: any number of processes can open a verbs node, and neither the kernel nor
the adapter keeps them to what they asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import evolve, frozen
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

from drakit_efa.devices import BANDWIDTH, OWN
from drakit_efa.options import SharingOptions

SHARES = f"{OWN}/shares"
"""The capacity that says into how many shares an adapter is divided."""
CAPACITIES = (SHARES, BANDWIDTH)
"""What claims may take some of; also the keys of a preparation's state that say how much it holds."""

LOOKS_ON = {"holds": "nothing"}
"""The state of one that holds nothing: administrative access."""

_STEPS = {SHARES: Quantity(1), BANDWIDTH: Quantity("1G")}
_UNIT = 10**9
_GIGA = Quantity("1G").nanos


def divided_by(sharing: SharingOptions) -> str | None:
    """The capacity that claims ask for some of; None where an adapter is for one claim at a time."""
    if sharing.shares is not None:
        return SHARES
    return BANDWIDTH if sharing.bandwidth else None


def divisible(device: Device, sharing: SharingOptions) -> Device:
    """The device, with its shares where it is divided by them."""
    if sharing.shares is None:
        return device
    return evolve(device, capacity=dict(device.capacity) | {SHARES: Quantity(sharing.shares)})


def share_policy(device: Device, sharing: SharingOptions) -> SharePolicy | None:
    """How a device may be divided. A claim that names no amount gets all of it.

    Of every other capacity, such a claim and any other takes what one share has, unless it says more: so that the
    shares alone decide how many claims fit.
    """
    capacity = divided_by(sharing)
    if capacity is None or not _has_parts(device, capacity):
        return None
    total, step = device.capacity[capacity], _STEPS[capacity]
    parts = total.nanos // step.nanos
    each = {name: RequestPolicy(default=amount.nanos // _UNIT // parts) for name, amount in device.capacity.items()}
    return SharePolicy(each | {capacity: RequestPolicy(default=total, valid_range=ValidRange(minimum=step, step=step))})


def undivided(devices: Iterable[Device], sharing: SharingOptions) -> Iterator[str]:
    """Lines for the log: which devices are for one claim at a time although the operator wants them divided."""
    capacity = divided_by(sharing)
    for device in devices if capacity is not None else ():
        if not _has_parts(device, capacity or ""):
            yield f"{device.name} is not shared by bandwidth: the speed of its link is not known, or under 2 Gbit/s"


def _has_parts(device: Device, capacity: str) -> bool:
    return capacity in device.capacity and device.capacity[capacity].nanos >= 2 * _STEPS[capacity].nanos


def amounts(device: AllocatedDevice) -> Mapping[str, str]:
    """How much of an adapter an allocation is of, by capacity. Raises InvalidDeviceConfig for what is no amount."""
    found = {name: device.consumed[name] for name in CAPACITIES if name in device.consumed}
    for name, amount in found.items():
        if amount.nanos <= 0:
            raise InvalidDeviceConfig(
                f"request {device.request!r} is for {amount} of {name} of {device.device.name}: ask for "
                f"{_STEPS[name]} at the least, in steps of {_STEPS[name]}"
            )
    return {name: str(amount) for name, amount in found.items()}


@frozen
class Division:
    """An adapter as it is divided now by one capacity: how much it has, and how much each other claim holds."""

    capacity: str
    total: int
    held: Mapping[ClaimRef, int]

    @classmethod
    def of(cls, capacity: str, total: Quantity, holds: Sequence[Hold]) -> Division:
        """The division by what is prepared."""
        held: dict[ClaimRef, int] = {}
        for hold in holds:
            held[hold.claim] = held.get(hold.claim, 0) + _held(hold.prepared.state, capacity, total.nanos)
        return cls(capacity, total.nanos, {claim: amount for claim, amount in held.items() if amount})

    def check(self, name: str, wanted: int) -> None:
        """Raise DeviceBusy unless so many billionths of the adapter, by its name, are free."""
        free = max(0, self.total - sum(self.held.values()))
        if wanted <= free:
            return
        said = f"{_text(wanted)} of {self.capacity} of {name} are needed, and {_text(free)} of {_text(self.total)} free"
        if not self.held:
            raise DeviceBusy(f"{said}: it has no more; delete the pod to have it placed anew")
        holders = "; ".join(f"claim {claim} has {_text(held)}" for claim, held in self.held.items())
        raise DeviceBusy(f"{said}: {holders}; this is tried again until those claims' pods have ended")


def _held(state: Mapping[str, str], capacity: str, total: int) -> int:
    """How much a preparation holds, in billionths. What is not on record holds all."""
    if state == LOOKS_ON:
        return 0
    if capacity not in state:
        return 0 if any(name in state for name in CAPACITIES) else total  # it was made when claims asked for the other
    try:
        return max(0, Quantity(state[capacity]).nanos)
    except ValueError:
        return total


def _text(nanos: int) -> str:
    """An amount for people: `2`, `50G`."""
    giga, rest = divmod(nanos, _GIGA)
    return f"{giga}G" if giga and not rest else str(nanos // _UNIT)
