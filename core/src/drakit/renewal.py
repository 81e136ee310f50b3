"""Edits of prepared claims made anew, as the backend sees them now: at a start, and where numbers may differ.

What stays is what the kubelet was told, devices and CDI ids; where the backend cannot say, so does what is journalled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from attrs import frozen

from drakit.backend import Hooks
from drakit.entries import Entry, Phase
from drakit.errors import ClaimError, describe
from drakit.files import ClaimFiles
from drakit.holds import HeldDevices
from drakit.journal import Journal
from drakit.model import ClaimAllocation
from drakit.recovery import only_warned
from drakit.subject import about

_PASSES = 2
"""How often all edits are made anew at a time: once more where numbers changed, or a hook noticed, meanwhile."""


@frozen
class Renewal:
    """The renewal of one driver's prepared claims. Used by the thread that works on them.

    `renumbered` is set, by any thread, when device numbers of what is prepared may differ.
    """

    journal: Journal
    hooks: Hooks
    files: ClaimFiles
    renumbered: threading.Event
    warn: Callable[[str], None]

    def committed(self) -> list[Entry]:
        """What is prepared."""
        return [entry for entry in self.journal.entries.values() if entry.phase is Phase.COMMITTED]

    def renumber(self) -> bool:
        """Make edits anew where device numbers may differ; returns whether that was done.

        A claim answered after this finds no other claim's file with a number that is its own now.
        """
        if not self.renumbered.is_set():
            return False
        for _ in range(_PASSES):
            self.renumbered.clear()
            self.all()
            if not self.renumbered.is_set():
                break
        return True

    def all(self) -> None:
        """Ask the backend about each prepared claim: edits and files become what it says now."""
        for entry in self.committed() if self.hooks.backend is not None else ():
            with about(claim=entry.claim), only_warned(self.warn, f"claim {entry.claim}"):
                current = self.one(entry)
                if current != entry:
                    self.journal.put(current)
                self.files.ensure(current)

    def one(self, entry: Entry, *, refuse: bool = False) -> Entry:
        """The entry as the backend sees it now; as journalled where it cannot say. `refuse`: pass on a ClaimError."""
        if self.hooks.backend is None:
            return entry
        metadata = self.files.metadata
        try:
            allocation = self.hooks.decoded(ClaimAllocation(entry.claim, entry.devices), strict=False)
            with HeldDevices(self.journal, metadata.unmounted) as held:
                prepared = self.hooks.prepare_again(allocation, entry.prepared, held)
            current = metadata.renewed(entry, prepared)
        except Exception as error:
            if refuse and isinstance(error, ClaimError):
                raise
            self.warn(f"claim {entry.claim}: kept as it was prepared, for now: {describe(error)}")
            return entry
        if self.files.handles(current) == self.files.handles(entry):
            return current
        self.warn(f"claim {entry.claim}: kept as it was prepared: the plugin now edits other devices of it, or fewer")
        return entry
