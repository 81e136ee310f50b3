"""What is prepared on this node: one append-only file per driver, the truth after any crash.

Each line is a checksum and a JSON record, the newest record of a claim wins. `put` and `release` change the entries in
memory and stage a line; `commit` makes everything staged durable with one write and one sync. Two agents of a rolling
update share the file: whoever works on it holds the lock and has read what the other appended.

A torn last line was never acknowledged, and is dropped. A damaged line elsewhere costs its own claim: it is set aside
in a file beside the journal, and `damaged` says so. A failed write or sync leaves the file in doubt, so it is written
anew from memory; so is a file that somebody removed or cut short while it was in use.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import MappingProxyType

from drakit.entries import SCHEMA, Entries, Entry, Phase, allocation_digest, entry_line, is_sound, release_line
from drakit.errors import JournalError, describe
from drakit.model import DeviceRef

__all__ = ["FILE_NAME", "Entry", "Journal", "Phase", "allocation_digest"]

FILE_NAME = "drakit.journal"

_COMPACT_AT_LEAST = 1000
_MARK_BYTES = 64
_NONE = -1
"""No descriptor, and no inode."""


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
        self._entries = Entries()
        self._staged: list[tuple[str, Entry | None, bytes]] = []
        self._offset = 0
        self._mark = b""
        """The last bytes before the offset: they tell a file that grew from one that was cut short and grew again."""
        self._lines = 0
        self._inode = _NONE
        self._in_doubt = False
        self._damaged = self._is_new = False
        self._newest_schema = SCHEMA
        self.syncs = 0
        self.written_bytes = 0
        self._lock = self._file = _NONE
        try:
            self._is_new = not path.exists()
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
        return MappingProxyType(self._entries.by_uid)

    @property
    def damaged(self) -> bool:
        """Whether damaged lines were set aside, or there was no file, and nobody has yet looked for what was held."""
        return self._damaged

    def damage_is_settled(self) -> None:
        """Keep the damaged lines for the curious only: what they held is accounted for."""
        try:
            os.rename(self._aside, f"{self._aside}.settled")
        except FileNotFoundError:
            pass  # another agent was faster, or there was no file
        except OSError as error:
            self._warn(f"{self._aside} cannot be renamed, and is looked at again: {error.strerror}")
            return
        self._damaged = self._is_new = False

    def holders(self, device: DeviceRef) -> AbstractSet[str]:
        """The uids of the claims that hold a device."""
        return self._entries.holders.get(device, frozenset())

    def values(self, namespace: str, variable: str) -> Mapping[str, AbstractSet[str]]:
        """What prepared claims of a namespace set an environment variable to: the uids of the claims by value."""
        return self._entries.environment.values(namespace, variable)

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
        """Read what is there, unless another agent is at work on it; returns whether it could be read.

        Raises JournalError, as `locked` does.
        """
        if not self._take(fcntl.LOCK_EX | fcntl.LOCK_NB):
            return False
        self._give_back()
        return True

    def put(self, entry: Entry) -> None:
        """Stage a claim's new entry."""
        self._stage(entry.claim.uid, entry, entry_line(entry))

    def release(self, uid: str) -> None:
        """Stage the end of a claim; it need not be there."""
        if uid in self._entries.by_uid:
            self._stage(uid, None, release_line(uid))

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
                raise JournalError(f"journal {self.path} cannot be read or mended: {describe(error)}") from error
            raise
        return True

    def _give_back(self) -> None:
        if self._lock != _NONE:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _stage(self, uid: str, entry: Entry | None, line: bytes) -> None:
        self._staged.append((uid, self._entries.by_uid.get(uid), line))
        self._entries.apply(uid, entry)

    def _undo(self) -> None:
        """Forget what was staged, and cut off what of it reached the file: read again, it would count."""
        for uid, before, _ in reversed(self._staged):
            self._entries.apply(uid, before)
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
                self._mark = lines[-_MARK_BYTES:]
                self.written_bytes += written
                self._lines += len(self._staged)
                return
        except OSError:
            pass  # the disk may have room again for less, and the state of the file is unknown now
        self._rewrite()

    def _wasteful(self) -> bool:
        return self._lines > _COMPACT_AT_LEAST + 2 * len(self._entries.by_uid)

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
        entries = self._entries.by_uid.values()
        content = b"".join(map(entry_line, entries))
        self._replace(content)
        self._in_doubt = True
        self._reopen()
        self._inode = os.fstat(self._file).st_ino
        self._offset, self._mark, self._lines = len(content), content[-_MARK_BYTES:], len(entries)
        self._entries.released.clear()
        self.written_bytes += len(content)
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
        elif there is None:
            self._make_up_for("removed")
        elif there.st_size < self._offset or (there.st_size > self._offset and not self._is_marked()):
            self._take_over()
            self._make_up_for("cut short")
        elif there.st_size > self._offset and self._read(self._entries):
            self._rewrite()

    def _reload(self) -> None:
        """Read a file from its beginning. What is known stays until all of it was read."""
        found = Entries()
        self._reopen()
        self._offset = self._lines = 0
        self._mark = b""
        damaged = self._read(found)
        self._damaged = damaged or self._is_new or self._aside.exists()
        self._entries = found
        self._inode = os.fstat(self._file).st_ino
        if damaged:
            self._rewrite()

    def _is_marked(self) -> bool:
        """Whether the file still has, before the offset, what it had when it was read."""
        return os.pread(self._file, len(self._mark), self._offset - len(self._mark)) == self._mark

    def _take_over(self) -> None:
        """Take what another agent appended to a file that was cut short: the claims that were never seen here."""
        found = Entries()
        for line in os.pread(self._file, os.fstat(self._file).st_size, 0).splitlines():
            found.replay(line)  # what of the old file is left is known; a line that was cut tells nothing
        for uid, entry in found.by_uid.items():
            if uid not in self._entries.by_uid and uid not in self._entries.released:
                self._entries.apply(uid, entry)
        self._offset = os.fstat(self._file).st_size

    def _make_up_for(self, what: str) -> None:
        """Write a file anew that somebody else spoiled: agents only append to it, or replace it by a whole one."""
        if os.fstat(self._file).st_size > self._offset:
            self._read(self._entries)  # another agent may have appended before the file was removed
        self._warn(
            f"journal {self.path} was {what} while in use; it is written anew with the "
            f"{len(self._entries.by_uid)} claims that this agent knows of"
        )
        self._rewrite()

    def _read(self, entries: Entries) -> bool:
        """Replay what the file has from the offset on; returns whether damaged lines were set aside."""
        tail = self._mended(os.pread(self._file, os.fstat(self._file).st_size - self._offset, self._offset))
        lines = tail.splitlines()
        schemas = [entries.replay(line) for line in lines]
        damaged = [line for line, schema in zip(lines, schemas, strict=True) if schema is None]
        if damaged:
            self._set_aside(damaged)
        self._warn_of_newer(max((schema for schema in schemas if schema is not None), default=SCHEMA))
        self._offset += len(tail)
        self._mark = (self._mark + tail)[-_MARK_BYTES:]
        self._lines += len(lines)
        return bool(damaged)

    def _warn_of_newer(self, schema: int) -> None:
        if schema > self._newest_schema:
            self._newest_schema = schema
            self._warn(
                f"journal {self.path} has records of a newer drakit (schema {schema}, this one has {SCHEMA}): what is "
                f"not known here is passed over"
            )

    def _mended(self, tail: bytes) -> bytes:
        """The tail in whole lines. A torn end is cut off the file; a line that only lacks its newline gets it."""
        end = tail.rfind(b"\n") + 1
        if end == len(tail):
            return tail
        # Only a writer that died can leave this: whoever writes holds the lock.
        if is_sound(tail[end:]):
            os.write(self._file, b"\n")
            return tail + b"\n"
        os.ftruncate(self._file, self._offset + end)
        return tail[:end]

    def _set_aside(self, damaged: Sequence[bytes]) -> None:
        self._warn(
            f"journal {self.path}: {len(damaged)} damaged lines are set aside beside it; claims that they were of "
            f"keep their devices until their pods end, as far as CDI files still name them"
        )
        descriptor = os.open(self._aside, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "ab") as file:
            file.write(b"\n".join(damaged) + b"\n")
        self._damaged = True


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
