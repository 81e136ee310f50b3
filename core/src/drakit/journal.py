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
import errno
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
"""Stands in every record, and grows when records come to mean something else."""
FILE_NAME = "drakit.journal"

_COMPACT_AT_LEAST = 1000
_NONE = -1
"""No descriptor, and no inode."""


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


class _Claims:
    """The entries by uid, and who holds each device."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.holders: dict[DeviceRef, set[str]] = {}

    def apply(self, uid: str, entry: Entry | None) -> None:
        """Give a claim its new entry, or none. It is never without one in between: other threads may be looking."""
        before = self.entries.get(uid)
        for device in before.devices if before else ():
            self.holders[device.device].discard(uid)
        if entry is None:
            self.entries.pop(uid, None)
            return
        self.entries[uid] = entry
        for device in entry.devices:
            self.holders.setdefault(device.device, set()).add(uid)


class Journal:
    """The journal of one driver. Not thread-safe, but for what `entries` says."""

    def __init__(
        self,
        path: Path,
        *,
        sync: Callable[[int], None] = os.fdatasync,
        warn: Callable[[str], None] = lambda _message: None,
    ) -> None:
        """Open or create the journal; read it inside `locked`. Raises JournalError if it cannot be opened.

        `warn` is told, on the thread that works on the journal, what befell the file from outside.
        """
        self.path = path
        self._aside = Path(f"{path}.damaged")
        self._sync = sync
        self._warn = warn
        self._claims = _Claims()
        self._staged: list[tuple[str, Entry | None, bytes]] = []
        self._offset = 0
        self._lines = 0
        self._inode = _NONE
        self._in_doubt = False
        self._damaged = False
        self._newest_schema = SCHEMA
        self.syncs = 0
        self._lock = self._file = _NONE
        try:
            self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._file = self._open()
        except OSError as error:
            self.close()
            raise JournalError(f"journal {path} cannot be opened: {error.strerror}") from error

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Every claim in the journal, by uid.

        A live view. Of it, other threads than the one that works on the journal may use `get`, and
        `list(entries.values())` for a snapshot, each of which is one step; what changes meanwhile breaks any loop.
        """
        return MappingProxyType(self._claims.entries)

    @property
    def damaged(self) -> bool:
        """Whether damaged lines were set aside, and nobody has yet looked for what they held."""
        return self._damaged

    def damage_is_settled(self) -> None:
        """Keep the damaged lines for the curious only: what they held is accounted for."""
        try:
            os.rename(self._aside, f"{self._aside}.settled")
        except FileNotFoundError:
            pass  # another agent was faster
        except OSError as error:
            self._warn(f"{self._aside} cannot be renamed, and is looked at again: {error.strerror}")
            return
        self._damaged = False

    def holders(self, device: DeviceRef) -> AbstractSet[str]:
        """The uids of the claims that hold a device."""
        return self._claims.holders.get(device, frozenset())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the journal against other agents, with what they appended read. Waits for the lock.

        Raises JournalError where it cannot be read; what is in memory is then as it was.
        """
        self._take(fcntl.LOCK_EX)
        try:
            yield
        finally:
            self._give_back()

    def glance(self) -> bool:
        """Read what is there, unless another agent is at work on it; returns whether that could be. Raises as `locked`."""
        if not self._take(fcntl.LOCK_EX | fcntl.LOCK_NB):
            return False
        self._give_back()
        return True

    def put(self, entry: Entry) -> None:
        """Stage a claim's new entry."""
        self._stage(entry.claim.uid, entry, {"schema": SCHEMA, "entry": unstructure(entry)})

    def release(self, uid: str) -> None:
        """Stage the end of a claim; it need not be there."""
        if uid in self._claims.entries:
            self._stage(uid, None, {"schema": SCHEMA, "release": uid})

    def commit(self) -> None:
        """Make everything staged durable, with one sync; nothing to do if nothing is staged.

        Raises JournalError if neither appending nor writing anew succeeds; what was staged is then undone. Should the
        file be in doubt after that, no commit succeeds before it has been written anew.
        """
        if not self._staged and not self._in_doubt:
            return
        try:
            self._write()
        except OSError as error:
            self._undo()
            raise JournalError(
                f"journal {self.path} cannot be written: {error.strerror}; nothing was changed"
            ) from error
        self._staged.clear()

    def close(self) -> None:
        """Close the files, which gives back the lock too. Nothing staged is written. May be called again.

        From then on every use is a JournalError, also the commit of a batch that was under way; `entries` stay.
        """
        for descriptor in (self._file, self._lock):
            if descriptor != _NONE:
                os.close(descriptor)
        self._file = self._lock = _NONE

    def _take(self, how: int) -> bool:
        """Take the lock and read what is new; False if the lock is another's, and `how` says not to wait."""
        if self._lock == _NONE:
            raise JournalError(f"journal {self.path} was closed")
        try:
            fcntl.flock(self._lock, how)
        except BlockingIOError:
            return False
        except OSError as error:
            raise JournalError(f"journal {self.path} cannot be locked: {error.strerror}") from error
        try:
            self._refresh()
        except BaseException as error:
            self._give_back()
            if isinstance(error, OSError):
                raise JournalError(f"journal {self.path} cannot be read: {error.strerror}: {error.filename}") from error
            raise
        return True

    def _give_back(self) -> None:
        if self._lock != _NONE:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _stage(self, uid: str, entry: Entry | None, record: Mapping[str, Any]) -> None:
        self._staged.append((uid, self._claims.entries.get(uid), _line(record)))
        self._claims.apply(uid, entry)

    def _undo(self) -> None:
        """Forget what was staged, and cut off what of it reached the file: read again, it would count."""
        for uid, before, _ in reversed(self._staged):
            self._claims.apply(uid, before)
        self._staged.clear()
        try:
            os.ftruncate(self._file, self._offset)
        except OSError:
            self._in_doubt = True

    def _write(self) -> None:
        """Append what is staged, or write the file anew where it is in doubt or mostly history."""
        if self._file == _NONE:
            raise OSError(errno.EBADF, "it was closed")
        if self._in_doubt:
            self._rewrite()
        elif not self._wasteful() or not self._compact():
            self._append(b"".join(line for _, _, line in self._staged))

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
        return self._lines > _COMPACT_AT_LEAST + 2 * len(self._claims.entries)

    def _compact(self) -> bool:
        """Write the file anew to be rid of its history; False if there is no room for a second file now."""
        try:
            self._rewrite()
        except OSError:
            if self._in_doubt:
                raise  # the new file is in place already
            return False
        return True

    def _rewrite(self) -> None:
        """Replace the file by one that holds just the entries."""
        entries = self._claims.entries.values()
        content = b"".join(_line({"schema": SCHEMA, "entry": unstructure(entry)}) for entry in entries)
        self._replace(content)
        self._in_doubt = True
        self._reopen()
        self._inode = os.fstat(self._file).st_ino
        self._offset, self._lines = len(content), len(entries)
        _sync_directory(self.path.parent)
        self._in_doubt = False
        self.syncs += 1

    def _replace(self, content: bytes) -> None:
        temporary = f"{self.path}.tmp"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, self.path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # on a full disk, it would keep even an append from its room
            raise

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _reopen(self) -> None:
        file = self._open()
        os.close(self._file)
        self._file = file

    def _refresh(self) -> None:
        """Read what was appended, or everything if another agent has put another file there."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            there = None
        if self._inode == _NONE or (there is not None and there.st_ino != self._inode):
            self._reload()
        elif there is None or there.st_size < self._offset:
            self._make_up_for("removed" if there is None else "cut short")
        elif there.st_size > self._offset and self._read(self._claims):
            self._rewrite()

    def _reload(self) -> None:
        """Read a file from its beginning. What is known stays until all of it was read."""
        found = _Claims()
        self._reopen()
        self._offset = self._lines = 0
        damaged = self._read(found)
        self._damaged = damaged or self._aside.exists()
        self._claims = found
        self._inode = os.fstat(self._file).st_ino
        if damaged:
            self._rewrite()

    def _make_up_for(self, what: str) -> None:
        """Write a file anew that somebody else spoiled: agents only append to it, or replace it by a whole one."""
        if os.fstat(self._file).st_size > self._offset:
            self._read(self._claims)  # another agent may have appended before the file was removed
        self._warn(
            f"journal {self.path} was {what} while in use; it is written anew with the "
            f"{len(self._claims.entries)} claims that this agent knows of"
        )
        self._rewrite()

    def _read(self, claims: _Claims) -> bool:
        """Replay what the file has from the offset on; returns whether damaged lines were set aside."""
        tail = self._mended(os.pread(self._file, os.fstat(self._file).st_size - self._offset, self._offset))
        schema = self._newest_schema
        damaged = [line for line in tail.splitlines() if not self._replay(line, claims)]
        if self._newest_schema > schema:
            self._warn(
                f"journal {self.path} has records of a newer drakit (schema {self._newest_schema}, this one writes "
                f"{SCHEMA}): what is not known here is passed over"
            )
        if damaged:
            self._set_aside(damaged)
        self._offset += len(tail)
        return bool(damaged)

    def _mended(self, tail: bytes) -> bytes:
        """The tail in whole lines. A torn end is cut off the file; a line that only lacks its newline gets it."""
        end = tail.rfind(b"\n") + 1
        if end == len(tail):
            return tail
        # Only a writer that died can leave this: whoever writes holds the lock.
        if _is_sound(tail[end:]):
            os.write(self._file, b"\n")
            return tail + b"\n"
        os.ftruncate(self._file, self._offset + end)
        return tail[:end]

    def _set_aside(self, damaged: Sequence[bytes]) -> None:
        descriptor = os.open(self._aside, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "ab") as file:
            file.write(b"\n".join(damaged) + b"\n")
        self._damaged = True

    def _replay(self, line: bytes, claims: _Claims) -> bool:
        """Apply one line; False if it is damaged."""
        try:
            if not _is_sound(line):
                return False
            record = json.loads(line[9:])
            schema = record.get("schema", SCHEMA)
            if type(schema) is not int:
                return False
            if "release" in record:
                claims.apply(record["release"], None)
            elif "entry" in record:
                entry = structure_lenient(Entry, record["entry"])
                claims.apply(entry.claim.uid, entry)
        except Exception:  # whatever the line holds: it costs its claim, never the node
            return False
        self._newest_schema = max(self._newest_schema, schema)
        self._lines += 1
        return True


def _is_sound(line: bytes) -> bool:
    """Whether a line, with or without its newline, is the one that was written."""
    try:
        return int(line[:8], 16) == zlib.crc32(line[9:])
    except ValueError:
        return False


def _line(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
