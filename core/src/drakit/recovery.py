"""What a crash, or damage to the journal, leaves in the CDI directory: adopted where it holds devices, else removed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from attrs import evolve

from drakit.cdi import CdiDirectory
from drakit.entries import Entry, Phase
from drakit.errors import ClaimError, describe
from drakit.journal import Journal
from drakit.model import AllocatedDevice
from drakit.subject import about


def adopt_damaged(journal: Journal, cdi: CdiDirectory, boot_id: str, warn: Callable[[str], None]) -> None:
    """Hold the devices of claims whose records were damaged, as far as intents or CDI files name them. May be repeated.

    Where there is a file, containers of this boot may use it.
    A claim with a CDI file that is not committed may have lost its commit: in doubt containers use the file.
    Called under the journal's lock, before anything is prepared. Raises ClaimError where the files cannot be read,
    JournalError where the holds cannot be recorded; either way the damage is still to be settled.
    """
    with in_words("the CDI directory cannot be read, and only its files tell which devices damaged records held"):
        files = list(cdi.files())
    for file in files:
        uid = file.claim.uid
        known = journal.entries.get(uid)
        if known is None:
            devices = tuple(AllocatedDevice("", device) for device in file.devices)
            known = Entry(claim=file.claim, phase=Phase.INTENT, devices=devices)
        if known.phase in (Phase.INTENT, Phase.ADOPTED):
            with about(claim=known.claim):
                warn(f"claim {known.claim} ({uid}): its record was damaged or lost; it holds its devices until it ends")
            journal.put(evolve(known, phase=Phase.QUARANTINED, boot_id=boot_id))
    journal.commit()
    journal.damage_is_settled()


def remove_strays(journal: Journal, cdi: CdiDirectory, warn: Callable[[str], None]) -> None:
    """Remove what only a crash before commit explains. What damage explains was quarantined."""
    with only_warned(warn, "unfinished CDI files cannot be removed"):
        cdi.remove_unfinished()
    with only_warned(warn, "the CDI directory cannot be looked through for what a crash left"):
        for file in list(cdi.files()):
            uid = file.claim.uid
            entry = journal.entries.get(uid)
            if entry is None or entry.phase in (Phase.INTENT, Phase.ADOPTED):
                with about(claim=file.claim), only_warned(warn, f"claim {uid}: its CDI file cannot be removed"):
                    cdi.remove(uid)


@contextlib.contextmanager
def only_warned(warn: Callable[[str], None], what: str) -> Iterator[None]:
    """One claim that cannot be put right, of whatever it dies, must not keep the others from it."""
    try:
        yield
    except Exception as error:
        warn(f"{what}: {describe(error)}")


@contextlib.contextmanager
def in_words(what: str) -> Iterator[None]:
    """Say of an OSError in the CDI directory what it kept from being done, to whoever waits for the claim."""
    try:
        yield
    except OSError as error:
        raise ClaimError(
            f"{what}: {error.strerror}; free space in the CDI directory, or mend its permissions"
        ) from error
