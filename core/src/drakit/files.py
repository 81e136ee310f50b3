"""What containers find of a claim's devices: its CDI file, and the files that describe them. Used by one thread."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from drakit.cdi import CdiDirectory
from drakit.entries import Entry, Phase
from drakit.jobs import Answer
from drakit.journal import Journal
from drakit.metadata import MetadataDirectory
from drakit.model import ClaimRef, DeviceHandle
from drakit.recovery import in_words, only_warned, remove_strays


@frozen
class ClaimFiles:
    """The files of one driver's claims, made from what is journalled of them."""

    cdi: CdiDirectory
    metadata: MetadataDirectory
    warn: Callable[[str], None]

    def ensure(self, entry: Entry, *, anew: bool = False) -> None:
        """Make the claim's files be there; `anew` where none can be. Raises ClaimError."""
        self.metadata.ensure(entry)  # first: a container with a mount of nothing does not start
        write = self.cdi.write if anew else self.cdi.ensure
        with in_words(f"the CDI file of claim {entry.claim} cannot be written on this node"):
            write(entry.claim, entry.digest, entry.prepared)

    def remove(self, claim: ClaimRef, entry: Entry | None) -> None:
        """Remove what there is of a claim. Raises ClaimError where its CDI file stays; others only cost a warning."""
        with in_words(f"the CDI file of claim {entry.claim if entry else claim.uid} cannot be removed on this node"):
            self.cdi.remove(claim.uid)
        self.remove_descriptions(claim, entry)

    def remove_descriptions(self, claim: ClaimRef, entry: Entry | None) -> None:
        """Remove the files that describe the devices of a claim."""
        with only_warned(self.warn, f"claim {claim}: its metadata files cannot be removed yet"):
            self.metadata.remove(claim.uid, entry)

    def remove_strays(self, journal: Journal) -> None:
        """Remove the files of every claim that is not journalled, as a crash leaves them."""
        remove_strays(journal, self.cdi, self.warn)
        with only_warned(self.warn, "metadata files that a crash left cannot be removed"):
            self.metadata.remove_strays(journal.entries)

    def put_right(self, uid: str, entry: Entry | None) -> None:
        """Make the files of a claim agree with its entry, whatever was tried before."""
        with only_warned(self.warn, f"claim {uid}: its CDI file could not be put right"):
            if entry is None or entry.phase in (Phase.INTENT, Phase.ADOPTED):
                self.cdi.remove(uid)
                self.metadata.remove(uid, entry)
            elif entry.phase is Phase.COMMITTED:
                self.ensure(entry)

    def handles(self, entry: Entry) -> Answer:
        """What the kubelet is told of the claim's devices: the same for as long as it is prepared."""
        ids = self.cdi.device_ids(entry.claim.uid, entry.digest, entry.prepared)
        return tuple(
            DeviceHandle(device.base_request, device.device, cdi_ids, device.share_id)
            for device, cdi_ids in zip(entry.devices, ids, strict=True)
        )
