"""Marks that preparations leave on the node, for backends that are told to have side effects.

One directory for each claim, one file for each device, with the device's name in the cluster. A mark that outlives its
claim is what a driver would leak.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from drakit import ClaimRef, DeviceRef


class Effects:
    """The marks of one driver. Both methods are idempotent, and raise OSError where the file system does."""

    def __init__(self, state: Path, driver: str) -> None:
        self._directory = state / "effects" / driver

    def leave(self, claim: ClaimRef, devices: Iterable[DeviceRef]) -> None:
        """Mark the devices as prepared for a claim."""
        place = self._directory / claim.uid
        place.mkdir(parents=True, exist_ok=True)
        for ref in devices:
            (place / ref.name).write_text(f"{ref}\n", encoding="utf-8")

    def remove(self, claim: ClaimRef) -> None:
        """Take away what was left for a claim."""
        place = self._directory / claim.uid
        if place.exists():
            shutil.rmtree(place)
