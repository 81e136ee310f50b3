"""The kernel's log, where this process may read it, and the hardware errors it tells of.

A container without the device, or without CAP_SYSLOG where the kernel restricts its log, may not; nothing is lost
then but what only the log says. Format of a record: the kernel's Documentation/ABI/testing/dev-kmsg. Lines of the
aws-neuronx kernel module: its sources; of the Neuron runtime, which has the module print them: AWS's troubleshooting
guide.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from io import FileIO
from types import MappingProxyType
from typing import Self

from attrs import frozen
from drakit import PluginContext
from drakit.errors import describe

from drakit_neuron.sysfs import Unreadable

KMSG = "/dev/kmsg"

ERRORS: Mapping[str, str] = MappingProxyType(
    {
        "SRAM_UNCORRECTABLE_ERROR": "an error of the memory on the chip that lost data",
        "NC_UNCORRECTABLE_ERROR": "an error of a core that lost data",
        "HBM_UNCORRECTABLE_ERROR": "an error of the device's memory that lost data",
        "DMA_ERROR": "a DMA engine that aborted",
    }
)
"""The hardware errors that the runtime has logged. It logs HANG_ON_COLLECTIVES too, where another worker may fail."""

_ERROR = re.compile(rf"\bNEURON_HW_ERR=({'|'.join(ERRORS)})\b(.*)", re.ASCII | re.DOTALL)
_FIELD = re.compile(r"\b([a-z-]+)=(\S+)", re.ASCII)
_MODULE_STARTED = "Neuron Driver Started with Version"
_DEVICE_STARTED = re.compile(r"\*\* BDF: \S+ => nd\[(\d{1,4})\]", re.ASCII)
_NUMBER = re.compile(r"\d{1,4}", re.ASCII)

_RECORD_BYTES = 8192
"""One read is one record; the kernel refuses a buffer that a record does not fit into, and none is longer."""
_MAX_READS = 50_000
"""How many records are read at once: more than any log holds, unless it grows as fast as it is read."""


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
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def read(self) -> list[Record]:
        """What is new since the last time, oldest first; what was overwritten meanwhile is skipped.

        Raises Unreadable.
        """
        records: list[Record] = []
        for _ in range(_MAX_READS):
            raw = self._read_one()
            if not raw:
                break
            *lines, self._rest = (self._rest + raw).split(b"\n")
            records += [record for line in lines if (record := parse_record(line)) is not None]
        return records

    def close(self) -> None:
        """Release the descriptor. Idempotent."""
        self._file.close()

    def _read_one(self) -> bytes | None:
        """The bytes of one record, its newline among them; none where there is no more for now."""
        while True:
            try:
                return self._file.read(_RECORD_BYTES)
            except BrokenPipeError:  # records were overwritten before they were read: the next read goes on after them
                continue
            except OSError as error:
                raise _unreadable(error) from None


@frozen(kw_only=True)
class HardwareError:
    """The last line of one kind about one device. `device` and `serial` are as the line has them, if it does."""

    kind: str
    sequence: int
    device: int | None = None
    serial: str = ""
    action: str = ""


class HardwareErrors:
    """The hardware errors in the kernel's log since the module, or the device, was started.

    Lines that the kernel has overwritten before they were read are not known. `problem` says why the log cannot be
    read, "" where it can.
    """

    def __init__(self, context: PluginContext) -> None:
        """Opens nothing yet."""
        self._context = context
        self._log: KernelLog | None = None
        self._errors: dict[tuple[str, int | None, str], HardwareError] = {}
        self.problem = ""

    def read(self) -> Collection[HardwareError]:
        """Read on; returns every error that stands, in no order. Never raises."""
        try:
            if self._log is None:
                self._log = KernelLog(self._context)
            self.take(self._log.read())
            self.problem = ""
        except Unreadable as error:
            self.problem = str(error)
            self.close()
        return self._errors.values()

    def take(self, records: Iterable[Record]) -> None:
        """Take up what the log says next."""
        for record in records:
            if _MODULE_STARTED in record.text:
                self._errors.clear()
            elif (started := _DEVICE_STARTED.search(record.text)) is not None:
                self._errors = {key: one for key, one in self._errors.items() if one.device != int(started[1])}
            elif (error := parse_error(record)) is not None:
                self._errors[error.kind, error.device, error.serial] = error

    def close(self) -> None:
        """Release the log; what it said so far stands. Idempotent."""
        if self._log is not None:
            self._log.close()
            self._log = None


def parse_error(record: Record) -> HardwareError | None:
    """The hardware error that a line tells of, as `NEURON_HW_ERR=<kind> … nd-id=0 … serial-num=19fc… action=…`."""
    match = _ERROR.search(record.text)
    if match is None:
        return None
    fields = dict(_FIELD.findall(match[2]))
    number = fields.get("nd-id", "")
    return HardwareError(
        kind=match[1],
        sequence=record.sequence,
        device=int(number) if _NUMBER.fullmatch(number) else None,
        serial=fields.get("serial-num", "").lower(),
        action=fields.get("action", ""),
    )


def parse_record(line: bytes) -> Record | None:
    """The record in a line `priority,sequence,time,flags[,...];text`; None for what is none.

    Such are the lines after the first, a dictionary for tools.
    """
    prefix, separator, text = line.partition(b";")
    fields = prefix.split(b",")
    if not separator or len(fields) < 3 or not fields[1].isdigit():
        return None
    return Record(int(fields[1]), text.decode(errors="replace"))


def _unreadable(error: OSError) -> Unreadable:
    return Unreadable(f"cannot read {KMSG} ({error.strerror or describe(error)})")
