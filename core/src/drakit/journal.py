"""What is prepared on this node: one append-only file per driver, the truth after any crash.

Each line is a checksum and a JSON record, the newest record of a claim wins. `put` and `release` change the entries in
memory and stage a line; `commit` makes everything staged durable with one write and one sync. Two agents of a rolling
update share the file: whoever works on it holds the lock and has read what the other appended.

A torn last line was never acknowledged, and is dropped. A damaged line elsewhere costs its own claim: it is set aside
in a file beside the journal, and counted. A failed write or sync leaves the file in doubt, so it is written anew from
memory. Records of other releases are read leniently: unknown fields are ignored, missing ones have defaults.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import field, frozen

from drakit.decoding import structure_lenient, unstructure
from drakit.errors import JournalError
from drakit.model import AllocatedDevice, ClaimRef, DeviceRef, PreparedDevice
from drakit.model.converters import frozen_tuple

SCHEMA = 1
FILE_NAME = "drakit.journal"

_COMPACT_AT_LEAST = 1000


class Phase(enum.StrEnum):
    """How far a claim has come."""

    INTENT = "intent"
    """`prepare` may have been asked; it must be undone before it is asked again."""
    COMMITTED = "committed"
    """Prepared, and perhaps in use by containers."""
    QUARANTINED = "quarantined"
    """Its record was damaged: its devices stay held, its CDI file stays, only Unprepare is served."""


@frozen(kw_only=True)
class Entry:
    """One claim in the journal. `devices` are without decoded configuration: that is decoded anew when it is used."""

    claim: ClaimRef
    phase: Phase = field(default=Phase.COMMITTED, converter=Phase)
    digest: str = ""
    boot_id: str = ""
    devices: tuple[AllocatedDevice, ...] = field(default=(), converter=frozen_tuple)
    prepared: tuple[PreparedDevice, ...] = field(default=(), converter=frozen_tuple)


def allocation_digest(devices: Sequence[AllocatedDevice]) -> str:
    """A short name for one allocation: the same devices, shares and configuration have the same."""
    digest = hashlib.sha256()
    for device in devices:
        consumed = sorted((name, str(value)) for name, value in device.consumed.items())
        opaque = [(config.source, dict(config.parameters)) for config in device.opaque]
        identity = (device.request, str(device.device), device.share_id, device.admin_access, consumed, opaque)
        digest.update(json.dumps(identity, sort_keys=True).encode())
    return digest.hexdigest()[:10]


class Journal:
    """The journal of one driver. Not thread-safe, but `entries` may be read from any thread."""

    def __init__(self, path: Path, *, sync: Callable[[int], None] = os.fdatasync) -> None:
        """Open or create the journal; read it inside `locked`. Raises JournalError if it cannot be opened."""
        self.path = path
        self._aside = Path(f"{path}.damaged")
        self._sync = sync
        self._entries: dict[str, Entry] = {}
        self._holders: dict[DeviceRef, set[str]] = {}
        self._staged: list[tuple[str, Entry | None, bytes]] = []
        self._offset = 0
        self._lines = 0
        self._inode = -1
        self._in_doubt = False
        self.syncs = 0
        try:
            self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._file = self._open()
        except OSError as error:
            raise JournalError(f"journal {path} cannot be opened: {error.strerror}") from error

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Every claim in the journal, by uid."""
        return MappingProxyType(self._entries)

    @property
    def damaged(self) -> bool:
        """Whether damaged lines were set aside, and nobody has yet looked for what they held."""
        return self._aside.exists()

    def damage_is_settled(self) -> None:
        """Keep the damaged lines for the curious only: what they held is accounted for."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(self._aside, f"{self._aside}.settled")

    def holders(self, device: DeviceRef) -> AbstractSet[str]:
        """The uids of the claims that hold a device."""
        return self._holders.get(device, frozenset())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the journal against other agents, with what they appended read. Waits for the lock."""
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            self._refresh()
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def glance(self) -> bool:
        """Read what is there, unless another agent is at work on it; returns whether it could be read."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            self._refresh()
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        return True

    def put(self, entry: Entry) -> None:
        """Stage a claim's new entry."""
        self._stage(entry.claim.uid, entry, {"schema": SCHEMA, "entry": unstructure(entry)})

    def release(self, uid: str) -> None:
        """Stage the end of a claim; it need not be there."""
        if uid in self._entries:
            self._stage(uid, None, {"schema": SCHEMA, "release": uid})

    def commit(self) -> None:
        """Make everything staged durable, with one sync; nothing to do if nothing is staged.

        Raises JournalError if neither appending nor writing anew succeeds; what was staged is then undone. Should the
        file be in doubt after that, no commit succeeds before it has been written anew.
        """
        if not self._staged and not self._in_doubt:
            return
        lines = b"".join(line for _, _, line in self._staged)
        try:
            if self._in_doubt or self._wasteful():
                self._rewrite()
            else:
                self._append(lines)
        except OSError as error:
            self._undo()
            raise JournalError(
                f"journal {self.path} cannot be written: {error.strerror}; nothing was changed"
            ) from error
        self._staged.clear()

    def close(self) -> None:
        """Close the files. Nothing staged is written."""
        os.close(self._file)
        os.close(self._lock)

    def _stage(self, uid: str, entry: Entry | None, record: Mapping[str, Any]) -> None:
        self._staged.append((uid, self._entries.get(uid), _line(record)))
        self._apply(uid, entry)

    def _apply(self, uid: str, entry: Entry | None) -> None:
        before = self._entries.pop(uid, None)
        for device in before.devices if before else ():
            self._holders[device.device].discard(uid)
        if entry is not None:
            self._entries[uid] = entry
            for device in entry.devices:
                self._holders.setdefault(device.device, set()).add(uid)

    def _undo(self) -> None:
        """Forget what was staged, and cut off what of it reached the file: read again, it would count."""
        for uid, before, _ in reversed(self._staged):
            self._apply(uid, before)
        self._staged.clear()
        try:
            os.ftruncate(self._file, self._offset)
        except OSError:
            self._in_doubt = True

    def _append(self, lines: bytes) -> None:
        try:
            written = os.write(self._file, lines)
            if written == len(lines):
                self._sync(self._file)
                self.syncs += 1
                self._offset += written
                self._lines += len(self._staged)
                return
        except OSError:
            pass  # the disk may have room again for less, and the state of the file is unknown now
        self._rewrite()

    def _wasteful(self) -> bool:
        return self._lines > _COMPACT_AT_LEAST + 2 * len(self._entries)

    def _rewrite(self) -> None:
        """Replace the file by one that holds just the entries."""
        temporary = f"{self.path}.tmp"
        content = b"".join(_line({"schema": SCHEMA, "entry": unstructure(e)}) for e in self._entries.values())
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, self.path)
        self._in_doubt = True
        self._reopen()
        self._offset, self._lines = len(content), len(self._entries)
        _sync_directory(self.path.parent)
        self._in_doubt = False
        self.syncs += 1

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _reopen(self) -> None:
        file = self._open()
        os.close(self._file)
        self._file = file
        self._inode = os.fstat(file).st_ino

    def _refresh(self) -> None:
        """Read what was appended, or everything if the file is another one now."""
        try:
            on_disk = os.stat(self.path)
        except FileNotFoundError:
            on_disk = None
        if on_disk is None or on_disk.st_ino != self._inode or on_disk.st_size < self._offset:
            self._reopen()
            self._entries.clear()
            self._holders.clear()
            self._offset = self._lines = 0
        if self._offset < os.fstat(self._file).st_size:
            self._read()

    def _read(self) -> None:
        tail = os.pread(self._file, os.fstat(self._file).st_size - self._offset, self._offset)
        complete = tail.rfind(b"\n") + 1
        if complete < len(tail):
            # Only a writer that died can leave this: whoever writes holds the lock.
            os.ftruncate(self._file, self._offset + complete)
        damaged = [line for line in tail[:complete].splitlines() if not self._replay(line)]
        if damaged:
            with open(self._aside, "ab") as file:
                file.write(b"\n".join(damaged) + b"\n")
        self._offset += complete
        if damaged:
            self._rewrite()

    def _replay(self, line: bytes) -> bool:
        """Apply one line; False if it is damaged."""
        try:
            if int(line[:8], 16) != zlib.crc32(line[9:]):
                return False
            record = json.loads(line[9:])
            if "release" in record:
                self._apply(record["release"], None)
            elif "entry" in record:
                entry = structure_lenient(Entry, record["entry"])
                self._apply(entry.claim.uid, entry)
        except Exception:  # whatever the line holds: it costs its claim, never the node
            return False
        self._lines += 1
        return True


def _line(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
