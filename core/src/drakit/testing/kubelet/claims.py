"""The kubelet's memory of prepared claims."""

from __future__ import annotations

from attrs import frozen

from drakit.model import ClaimRef, DeviceHandle
from drakit.testing.kubelet.rules import Prepared, check_repeat


@frozen
class _Entry:
    """The last answer for a claim, and the devices that the runtime is told of."""

    claim: ClaimRef
    answer: Prepared
    devices: tuple[DeviceHandle, ...]


class ClaimCache:
    """What the drivers answered, by driver and claim uid."""

    def __init__(self, *, appends_on_repeat: bool) -> None:
        self._appends_on_repeat = appends_on_repeat
        self._entries: dict[tuple[str, str], _Entry] = {}

    def prepared(self, driver: str, claim: ClaimRef, answer: Prepared) -> None:
        """Take an answer; one with an error leaves what is known. Raises RuleBroken if a repeat answers differently."""
        if answer.error:
            return
        before = self._entries.get((driver, claim.uid))
        kept = before.devices if before is not None and self._appends_on_repeat else ()
        self._entries[driver, claim.uid] = _Entry(claim, answer, kept + answer.devices)
        if before is not None:
            check_repeat(driver, claim.uid, before.answer, answer)

    def unprepared(self, driver: str, uid: str) -> None:
        """The driver has undone its part of the claim."""
        self._entries.pop((driver, uid), None)

    def forget(self, uid: str) -> None:
        """Lose the claim, for all drivers."""
        self._entries = {key: entry for key, entry in self._entries.items() if key[1] != uid}

    def in_pods(self) -> list[tuple[ClaimRef, tuple[DeviceHandle, ...]]]:
        """What pods use: each driver's part of each claim."""
        return [(entry.claim, entry.answer.devices) for entry in self._entries.values()]

    def cdi_ids(self, uid: str, request: str | None) -> tuple[str, ...]:
        """The CDI ids for the claim, or for one request of it, each once."""
        devices = [device for key, entry in self._entries.items() if key[1] == uid for device in entry.devices]
        wanted = [device for device in devices if request is None or device.request in (request, "")]
        return tuple(dict.fromkeys(cdi_id for device in wanted for cdi_id in device.cdi_ids))
