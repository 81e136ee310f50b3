"""What can be asked of the claims engine: each a value, done in the order it was asked for."""

from __future__ import annotations

from attrs import field, frozen

from drakit.model import ClaimAllocation, ClaimRef, DeviceHandle


@frozen
class Prepare:
    """Prepare a claim as it was allocated. Answered with the claim's handles.

    `together` are the uids of all claims of the kubelet's call, which are of one pod.
    """

    allocation: ClaimAllocation
    together: frozenset[str] = frozenset()

    @property
    def claim(self) -> ClaimRef:
        """The claim."""
        return self.allocation.claim


@frozen
class Repeat:
    """Answer for a claim already prepared, from the journal alone: the API server could not be asked."""

    claim: ClaimRef


@frozen
class Unprepare:
    """Undo a preparation. Only the uid counts. Answered with nothing."""

    claim: ClaimRef


@frozen
class RollBack:
    """Undo what is left of a claim that is gone, if nothing but its existence spoke for it: see `unconfirmed`.

    Does nothing to a claim that was prepared, or asked for again, in this boot: its containers may still run. Does
    nothing without a backend either: what is left waits for it.
    """

    claim: ClaimRef


@frozen
class Adopt:
    """Hold the devices of a claim that a driver of this name prepared before us, as the kubelet's pods show.

    Does nothing where the claim is journalled already, or was unprepared since this agent started.
    """

    allocation: ClaimAllocation

    @property
    def claim(self) -> ClaimRef:
        """The claim."""
        return self.allocation.claim


@frozen
class Reclaim:
    """Undo a claim of this boot that is gone and that no pod of the kubelet names: whoever asks has made sure of both.

    Does nothing unless the backend says of each of its devices that it is not in use.
    """

    claim: ClaimRef


@frozen
class Restore:
    """Make the CDI files agree with the journal, and both with how the hardware is numbered, as at start.

    It does not count as use of a claim: one of an earlier boot stays of that boot.
    """

    claim: ClaimRef = field(init=False, default=ClaimRef("", "", "every prepared claim"))


@frozen
class Renumber:
    """Have edits of prepared claims made anew if device numbers may differ since that was last done.

    So does any other job, before it is done: this one is for when there is none.
    """

    claim: ClaimRef = field(init=False, default=ClaimRef("", "", "every prepared claim"))


Job = Prepare | Repeat | Unprepare | RollBack | Adopt | Reclaim | Restore | Renumber
Answer = tuple[DeviceHandle, ...]
