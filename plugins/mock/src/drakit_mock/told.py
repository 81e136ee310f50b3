"""What the files of a faked tree tell of: faults that were injected, and what the files held before.

A record of both is kept in the tree, and replaced as a whole. The files follow from it: each holds what it held before,
changed by every fault in turn. So each step can be repeated after an interruption, and faults of several functions that
show in one file do not get into each other's way.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen
from drakit import PciFunction
from drakit.errors import ConfigError

_INCREMENT = "+"


@frozen
class _Told:
    """One injection: whose it is, its word, and what it does to files."""

    address: str
    word: str
    files: dict[str, str]


@frozen
class _Record:
    """Everything that is told of, in the order it was injected, and what the files held before the first."""

    told: tuple[_Told, ...] = ()
    before: dict[str, str] = field(factory=dict)


class ToldFaults:
    """The faults that the files of one tree tell of."""

    def __init__(self, root: Path, aside: Path) -> None:
        """`aside` is the directory of the record. Raises ConfigError for a record that cannot be read."""
        self._root = root
        self._path = aside / "told.json"
        self._record = _read(self._path)

    def words(self, function: PciFunction) -> list[str]:
        """What a function's files tell of, as often as it was injected."""
        return [one.word for one in self._record.told if one.address == function.address]

    def add(self, function: PciFunction, word: str) -> None:
        """Inject a fault that the function has a word for."""
        files = dict(function.faults[word])
        texts = {path: (self._root / path).read_text(encoding="utf-8") for path in files}
        told = _Told(function.address, word, files)
        self._keep(_Record((*self._record.told, told), {**texts, **self._record.before}))
        self.settle()

    def end(self, function: PciFunction) -> None:
        """Have the function's files tell of nothing; those of others, which show it too, of theirs alone."""
        rest = tuple(one for one in self._record.told if one.address != function.address)
        self._record = _Record(rest, self._record.before)
        self.settle()

    def settle(self) -> None:
        """Make every file what it should be. One that is not there, with its function that vanished, waits for that."""
        told, waiting = self._record.told, {path for one in self._record.told for path in one.files}
        for path, text in self._record.before.items():
            for one in told:
                text = _changed(text, one.files.get(path))  # noqa: PLW2901 - each fault changes what the last made
            if (self._root / path).exists():
                _overwrite(self._root / path, text)
            else:
                waiting.add(path)
        self._keep(_Record(told, {path: text for path, text in self._record.before.items() if path in waiting}))

    def _keep(self, record: _Record) -> None:
        """Put the record in the place of the last; an empty one leaves no file, and no empty directory."""
        self._record = record
        if record.before:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside = self._path.with_name(f".{self._path.name}.new")
            beside.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
            os.replace(beside, self._path)
        elif self._path.exists():
            self._path.unlink()
            if not any(self._path.parent.iterdir()):
                self._path.parent.rmdir()


def _changed(text: str, change: str | None) -> str:
    if change is None:
        return text
    if not change.startswith(_INCREMENT):
        return change
    return f"{int(text) + int(change)}\n"


def _overwrite(path: Path, text: str) -> None:
    """Write in place, as the kernel's files change: readers see what was, or what is, perhaps with blanks after it."""
    mode = path.stat().st_mode
    path.chmod(mode | 0o200)
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode().ljust(os.fstat(descriptor).st_size))
        os.ftruncate(descriptor, len(text.encode()))
    finally:
        os.close(descriptor)
        path.chmod(mode)


def _read(path: Path) -> _Record:
    try:
        record: Any = json.loads(path.read_bytes())
        return _Record(tuple(_Told(**one) for one in record["told"]), dict(record["before"]))
    except FileNotFoundError:
        return _Record()
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); lay the node out anew in an empty directory") from None
