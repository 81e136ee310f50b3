"""The kernel's log, where this process may read it.

A container without the device, or without CAP_SYSLOG where the kernel restricts its log, may not; nothing is lost
then but what only the log says. Format of a record: the kernel's Documentation/ABI/testing/dev-kmsg.
"""

from __future__ import annotations

import os
from io import FileIO

from attrs import frozen
from drakit import PluginContext
from drakit.errors import describe

from drakit_neuron.sysfs import Unreadable

KMSG = "/dev/kmsg"

_RECORD_BYTES = 8192
"""One read is one record; the kernel refuses a buffer that a record does not fit into, and none is longer."""


@frozen
class Record:
    """One line of the kernel's log. `sequence` counts all of this boot."""

    sequence: int
    text: str


def read_records(context: PluginContext) -> list[Record]:
    """All that the log holds now, oldest first. Raises Unreadable."""
    with KernelLog(context) as kernel_log:
        return kernel_log.read()


class KernelLog:
    """The kernel's log, held open: each `read` goes on where the last ended."""

    def __init__(self, context: PluginContext) -> None:
        """Raises Unreadable where the log may not be opened. Reading begins with the oldest record."""
        try:
            self._file: FileIO = context.open_device(KMSG, os.O_RDONLY)
        except OSError as error:
            raise _unreadable(error) from None

    def __enter__(self) -> KernelLog:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def read(self) -> list[Record]:
        """What is new since the last time, oldest first; what was overwritten meanwhile is skipped.

        Raises Unreadable.
        """
        records = []
        while (raw := self._read_one()) is not None:
            if (record := parse_record(raw)) is not None:
                records.append(record)
        return records

    def close(self) -> None:
        """Release the descriptor. Idempotent."""
        self._file.close()

    def _read_one(self) -> bytes | None:
        """The bytes of one record; None where there is no more for now."""
        while True:
            try:
                return self._file.read(_RECORD_BYTES) or None  # FileIO says None where a read would block
            except BrokenPipeError:  # records were overwritten before they were read: the next read goes on after them
                continue
            except OSError as error:
                raise _unreadable(error) from None


def parse_record(raw: bytes) -> Record | None:
    """The record that one read gave; None for what is not one: `priority,sequence,time,flags[,...];text`, then more.

    Lines after the first are a dictionary that tools read.
    """
    prefix, separator, rest = raw.partition(b";")
    fields = prefix.split(b",")
    if not separator or len(fields) < 3 or not fields[1].isdigit():
        return None
    return Record(int(fields[1]), rest.split(b"\n", 1)[0].decode(errors="replace"))


def _unreadable(error: OSError) -> Unreadable:
    return Unreadable(f"cannot read {KMSG} ({error.strerror or describe(error)})")
