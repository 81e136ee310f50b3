"""What the journal holds: one entry per claim, and each of its lines.

A line is a checksum and a JSON record: the newest entry of a claim, or its release. Records of other releases are read
leniently: unknown fields are ignored, missing ones have defaults. What of a newer one cannot be read at all counts as
damaged. Unknown fields are lost once the file is written anew.
"""

from __future__ import annotations

import enum
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any

from attrs import field, frozen

from drakit.decoding import structure_lenient, unstructure
from drakit.model import AllocatedDevice, ClaimRef, DeviceRef, PreparedDevice
from drakit.model.converters import frozen_mapping, frozen_tuple

SCHEMA = 1
"""Stands in every record, and grows when records come to mean something else."""

_NO_VALUES: Mapping[str, AbstractSet[str]] = MappingProxyType({})


class Phase(enum.StrEnum):
    """How far a claim has come."""

    INTENT = "intent"
    """`prepare` may have been asked, and nothing of it is in use; it must be undone before it is asked again."""
    COMMITTED = "committed"
    """Prepared, and perhaps in use by containers."""
    ADOPTED = "adopted"
    """Prepared by a driver of this name before us: its devices are held, and none of what was prepared is ours."""
    QUARANTINED = "quarantined"
    """Its record was damaged: until the next boot its devices and its CDI file stay, and only Unprepare is served."""

    @classmethod
    def _missing_(cls, value: object) -> Phase | None:
        """A phase of a later drakit, whatever it means: the devices stay held, which is all that is safe to do."""
        return cls.QUARANTINED if isinstance(value, str) else None


@frozen(kw_only=True)
class Entry:
    """One claim in the journal. `devices` are without decoded configuration: that is decoded anew when it is used."""

    claim: ClaimRef
    phase: Phase = field(default=Phase.COMMITTED, converter=Phase)
    digest: str = ""
    boot_id: str = ""
    devices: tuple[AllocatedDevice, ...] = field(default=(), converter=frozen_tuple)
    prepared: tuple[PreparedDevice, ...] = field(default=(), converter=frozen_tuple)
    metadata: Mapping[str, Any] = field(factory=dict, converter=frozen_mapping)
    """By request, what containers are told of their devices; empty where they are told nothing."""
    side_effects: bool = False
    """Whether the backend that was asked changes more than CDI files: what it changed must be undone by one."""
    ended: bool = False
    """Of an intent: it was prepared, and its pod has ended while there was no backend to undo it."""

    @property
    def in_containers(self) -> tuple[PreparedDevice, ...]:
        """What containers may have of it."""
        return () if self.ended else self.prepared


def allocation_digest(devices: Sequence[AllocatedDevice]) -> str:
    """A short name for one allocation: the same devices, shares and configuration have the same."""
    digest = hashlib.sha256()
    for device in devices:
        consumed = sorted((name, str(value)) for name, value in device.consumed.items())
        opaque = [(config.source, dict(config.parameters)) for config in device.opaque]
        identity = (device.request, str(device.device), device.share_id, device.admin_access, consumed, opaque)
        digest.update(json.dumps(identity, sort_keys=True).encode())
    return digest.hexdigest()[:10]


class Environment:
    """What prepared claims set variables to, by namespace: a container has claims of its own namespace only."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], dict[str, set[str]]] = {}

    def values(self, namespace: str, variable: str) -> Mapping[str, AbstractSet[str]]:
        """The values that a variable has, and the claims that set it so by uid."""
        return self._values.get((namespace, variable), _NO_VALUES)

    def add(self, entry: Entry) -> None:
        """Take in what a claim sets. It may set one variable to several values, for containers of their own."""
        for device in entry.in_containers:
            for variable, value in device.edits.env.items():
                values = self._values.setdefault((entry.claim.namespace, variable), {})
                values.setdefault(value, set()).add(entry.claim.uid)

    def remove(self, entry: Entry) -> None:
        """Forget what a claim sets."""
        for device in entry.in_containers:
            for variable, value in device.edits.env.items():
                key = (entry.claim.namespace, variable)
                claims = self._values.get(key, {}).get(value, set())
                claims.discard(entry.claim.uid)
                if not claims and key in self._values:
                    self._values[key].pop(value, None)
                    if not self._values[key]:
                        del self._values[key]


class Entries:
    """The entries by uid, who holds each device, and what they set in containers."""

    def __init__(self) -> None:
        self.by_uid: dict[str, Entry] = {}
        self.environment = Environment()
        self.holders: dict[DeviceRef, set[str]] = {}
        self.released: set[str] = set()
        """The claims that were here and ended, for whoever meets an old record of one."""

    def apply(self, uid: str, entry: Entry | None) -> None:
        """Give a claim its new entry, or none. It is never without one in between: other threads may be looking."""
        before = self.by_uid.get(uid)
        if before is not None:
            self.environment.remove(before)
            for device in before.devices:
                self.holders[device.device].discard(uid)
        if entry is None:
            if before is not None:
                del self.by_uid[uid]
                self.released.add(uid)
            return
        self.released.discard(uid)
        self.by_uid[uid] = entry
        self.environment.add(entry)
        for device in entry.devices:
            self.holders.setdefault(device.device, set()).add(uid)

    def replay(self, line: bytes) -> int | None:
        """Apply one line of the journal; returns the schema it was written with, None if it is damaged."""
        try:
            if not is_sound(line):
                return None
            record = json.loads(line[9:])
            schema = record.get("schema", SCHEMA)
            if type(schema) is not int:
                return None
            if "release" in record:
                self.apply(record["release"], None)
            elif "entry" in record:
                entry = structure_lenient(Entry, record["entry"])
                self.apply(entry.claim.uid, entry)
        except Exception:  # whatever the line holds: it costs its claim, never the node
            return None
        return schema


def entry_line(entry: Entry) -> bytes:
    """The line that makes this the claim's entry."""
    return _line({"schema": SCHEMA, "entry": unstructure(entry)})


def release_line(uid: str) -> bytes:
    """The line that ends a claim."""
    return _line({"schema": SCHEMA, "release": uid})


def is_sound(line: bytes) -> bool:
    """Whether a line, with or without its newline, is as it was written."""
    try:
        return int(line[:8], 16) == zlib.crc32(line[9:].removesuffix(b"\n"))
    except ValueError:
        return False


def _line(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)
