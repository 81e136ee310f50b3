"""Clearing faults from outside of the agent: an operator has looked, and says that a device is well again."""

from __future__ import annotations

from collections.abc import Sequence

from drakit.errors import ConfigError
from drakit.faults.record import FaultFile, Memories
from drakit.model import DeviceRef

LOCK_SECONDS = 5.0
"""How long an agent may be at work on the file meanwhile."""


def clear(file: FaultFile, devices: Sequence[str], fault: str = "") -> list[tuple[DeviceRef, str]]:
    """Clear the faults of devices, given as `name` or `pool/name`, or of all of them; returns what was cleared.

    With `fault`, only those of this name. What counts have come to is no fault any more; an agent that runs takes that
    up with its next health round. Raises ConfigError, and clears nothing, where a device has no such fault;
    FaultsUnreadable, FaultsLocked or OSError where the file cannot be used.
    """
    with file.locked(LOCK_SECONDS):
        memories = dict(file.read())
        found: list[tuple[DeviceRef, str]] = []
        for ref in _named(memories, devices, file.driver) if devices else sorted(memories):
            names = frozenset(name for name in memories[ref].faults if fault in ("", name))
            if devices and not names:
                what = f"fault {fault!r}" if fault else "faults"
                raise ConfigError(f"device {ref} has no {what} to be cleared; nothing was; see `drakit device list`")
            if names:
                memories[ref] = memories[ref].cleared(names)
                found += [(ref, name) for name in sorted(names)]
        if found:
            file.write(memories)
    return found


def _named(memories: Memories, devices: Sequence[str], driver: str) -> list[DeviceRef]:
    found: dict[DeviceRef, None] = {}
    for device in devices:
        refs = [ref for ref in sorted(memories) if device in (ref.name, f"{ref.pool}/{ref.name}")]
        if not refs:
            known = ", ".join(ref.name for ref in sorted(memories)) or "none"
            raise ConfigError(
                f"nothing is remembered of a device {device!r} of driver {driver}; nothing was cleared; devices of "
                f"which something is: {known}"
            )
        if len(refs) > 1:
            pools = ", ".join(f"{ref.pool}/{ref.name}" for ref in refs)
            raise ConfigError(f"there are several devices {device!r} of driver {driver}; give one of {pools}")
        found[refs[0]] = None
    return list(found)
