"""Who holds a device: what is told to a backend that divides devices, and what refuses a device that is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from drakit.errors import DeviceBusy
from drakit.journal import Entry, Journal, Phase
from drakit.model import AllocatedDevice, ClaimAllocation, ContainerEdits, DeviceRef, Hold, PreparedDevice


class HeldDevices:
    """What is prepared of any device of the driver, for one call of `prepare`: a context in which it may be asked.

    Nothing is looked up for a backend that does not ask. `own` takes from a preparation what is not of the backend.
    """

    __slots__ = ("_is_over", "_journal", "_own")

    def __init__(self, journal: Journal, own: Callable[[Sequence[PreparedDevice]], Sequence[PreparedDevice]]) -> None:
        self._journal = journal
        self._own = own
        self._is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True

    def __call__(self, device: DeviceRef) -> Sequence[Hold]:
        """All holds of a device, in the same order every time. Raises RuntimeError once the call is over."""
        if self._is_over:
            raise RuntimeError(
                "`held` tells what is prepared during the call of prepare it was given to, and not after"
            )
        entries = [self._journal.entries[uid] for uid in sorted(self._journal.holders(device))]
        return tuple(
            Hold(entry.claim, prepared)
            for entry in entries
            if entry.phase is not Phase.INTENT  # its containers never started, and it is undone before they do
            for prepared in self._own(_prepared_of(entry, device))
        )


def _prepared_of(entry: Entry, device: DeviceRef) -> Sequence[PreparedDevice]:
    """The device as a claim has it prepared. Where that is not on record it is held whole, as far as anyone knows."""
    found = [prepared for prepared in entry.prepared if prepared.device == device]
    return found or [PreparedDevice.of(held, ContainerEdits()) for held in entry.devices if held.device == device]


def check_free(journal: Journal, allocation: ClaimAllocation, fresh: Mapping[str, int]) -> None:
    """Raise DeviceBusy where a device is another claim's: the last line of defence against one given to two claims.

    `fresh` are the claims whose intents are of the batch under way, in their order.
    """
    mine = (device for device in allocation.devices if not device.admin_access)
    holds = [(wanted, uid) for wanted in mine for uid in journal.holders(wanted.device)]
    # First who had it first: a user is to look for them, and not for a claim of this batch that is yet to come.
    for wanted, uid in sorted(holds, key=lambda hold: fresh.get(hold[1], -1)):
        holder = journal.entries[uid]
        held = (device for device in holder.devices if device.device == wanted.device)
        if uid != allocation.claim.uid and not all(_compatible(wanted, device) for device in held):
            raise DeviceBusy(_held(wanted.device, holder))


def _held(device: DeviceRef, holder: Entry) -> str:
    claim, uid = holder.claim, holder.claim.uid
    if holder.ended:
        return f"device {device} is held by claim {claim} ({uid}) until what it left there is undone; it is tried again"
    return f"device {device} is held by claim {claim} ({uid}) until that claim's pod has ended"


def _compatible(wanted: AllocatedDevice, held: AllocatedDevice) -> bool:
    """Whether two claims may hold one device: as shares of it, or one of them by admin access."""
    return held.admin_access or (wanted.share_id is not None and held.share_id is not None)
