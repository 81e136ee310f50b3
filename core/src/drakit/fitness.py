"""Which devices of a driver are fit for claims: its book of faults as the operator has it, and what refusals add."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from drakit.context import read_boot_id
from drakit.entries import Entry, Phase
from drakit.errors import DeviceUnfit
from drakit.faults import FaultBook, TaintPolicy
from drakit.faults.record import FILE_NAME, FaultFile
from drakit.faults.taints import default_key
from drakit.host import Instance
from drakit.model import ClaimAllocation, DeviceRef
from drakit.settings import Settings

Entries = Callable[[], Iterable[Entry] | None]
"""What is journalled of a driver; None while it is not known who holds its devices."""


def fault_book(
    instance: Instance, settings: Settings, directory: Path, entries: Entries, log: logging.Logger
) -> FaultBook:
    """The book of one backend, whose driver has this directory. Touches nothing yet."""
    return FaultBook(
        FaultFile(directory / FILE_NAME, instance.name, read_boot_id(settings.root)),
        policy=taint_policy(instance, settings),
        steady_seconds=settings.fault_steady_seconds,
        log=log,
        held_by_another=lambda device, uid: _held_by_another(entries(), device, uid),
    )


def taint_policy(instance: Instance, settings: Settings) -> TaintPolicy | None:
    """What the operator has configured for the faults of a backend; None for no taints."""
    default = instance.declarations.driver_name
    for backend in settings.backends:
        if backend.plugin == instance.plugin and (backend.driver or default) == instance.name:
            given = backend.taints
            return TaintPolicy(given.key or default_key(instance.name), given.effect) if given is not None else None
    return None


def remember_refusal(book: FaultBook, error: DeviceUnfit, allocation: ClaimAllocation) -> None:
    """Take up that a claim was refused devices of it, as the backend has named them, or all of them."""
    devices = [device.device for device in allocation.devices]
    named = [device for device in devices if device.name in error.devices]
    book.refuse(named or devices, error.fault, str(error), allocation.claim.uid)


def _held_by_another(entries: Iterable[Entry] | None, device: DeviceRef, uid: str) -> bool:
    """Whether a claim but the one with this uid has a device, or may have it."""
    if entries is None:
        return True
    return any(
        entry.claim.uid != uid
        and entry.phase is not Phase.INTENT
        and any(held.device == device for held in entry.devices)
        for entry in entries
    )
