"""Faults of a faked node's tree: hardware of real plugins that vanishes, comes back, breaks and is renumbered.

What is taken out of the tree is moved, not copied, into a directory of the tree itself, and from there back to where it
was: the same files, links and device nodes. Each operation can be repeated after an interruption.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from drakit import PciFunction
from drakit.errors import ConfigError
from drakit.testing import read_layout

from drakit_mock.told import ToldFaults

ASIDE = ".drakit-aside"
"""Below the tree's root: what has vanished, by PCI address, and what files tell of."""
VANISH = "vanish"


@frozen
class TreeFault:
    """One fault of the tree. `kind` is `vanish` or a word of the plugin's, as often as it was injected."""

    address: str
    device: str
    kind: str


class FakedTree:
    """A tree that was laid out by drakit. Raises ConfigError, at construction too, for what cannot be done with it."""

    def __init__(self, root: Path) -> None:
        layout = read_layout(root)
        self.root = layout.root
        self._functions = {function.address: function for own in layout.functions.values() for function in own}
        self._aside = self.root / ASIDE
        self._told = ToldFaults(self.root, self._aside)

    def names(self) -> list[str]:
        """Everything a function can be called by."""
        known = self._functions.values()
        return [*(one.published_as for one in known if one.published_as), *(one.address for one in known)]

    def find(self, name: str) -> PciFunction | None:
        """The function with this address, or whose device has this name."""
        return next((one for one in self._functions.values() if name in (one.address, one.published_as)), None)

    def faults(self) -> list[TreeFault]:
        """What is wrong with the tree now."""
        return [
            TreeFault(one.address, one.published_as or "", word)
            for one in self._functions.values()
            for word in ([VANISH] if self._place(one).exists() else []) + self._told.words(one)
        ]

    def vanish(self, function: PciFunction) -> None:
        """Take away everything the tree has of a function. Does nothing to one that has vanished."""
        place = self._place(function)
        if not place.exists():
            paths = [str(path.relative_to(self.root)) for path in self._belongings(function)]
            _write(place / "paths.json", paths)
        for path in _read(place / "paths.json"):
            if os.path.lexists(self.root / path):
                _move(self.root / path, place / "tree" / path)

    def bring_back(self, function: PciFunction) -> None:
        """Put a function that has vanished where it was. Does nothing to any other."""
        place = self._place(function)
        if not place.exists():
            return
        paths = [path for path in reversed(_read(place / "paths.json")) if os.path.lexists(place / "tree" / path)]
        for path in paths:
            if os.path.lexists(self.root / path):
                raise ConfigError(
                    f"{function.address} cannot come back: {self.root / path} is there again; if the node was laid out "
                    f"anew, remove {place}"
                )
        for path in paths:
            _move(place / "tree" / path, self.root / path)
        _forget(place)
        self._told.settle()

    def tell(self, function: PciFunction, word: str) -> None:
        """Have files tell of a fault that its plugin has a word for: a number goes up again each time."""
        name = function.published_as or function.address
        if word not in function.faults:
            raise ConfigError(
                f"{name} cannot be {word!r}: nothing in its files tells of that; it can {_words(function)}"
            )
        if self._place(function).exists():
            raise ConfigError(f"{name} has vanished; bring it back first")
        self._told.add(function, word)

    def reset(self, function: PciFunction) -> None:
        """Have its files tell of no fault, as after a reset of the device. Does nothing to one that has none."""
        self._told.end(function)

    def mend(self, function: PciFunction) -> None:
        """Undo whatever was done to a function, but renumbering."""
        self.bring_back(function)
        self.reset(function)

    def mend_all(self) -> list[TreeFault]:
        """Mend everything; returns what was wrong."""
        faults = self.faults()
        for fault in faults:
            self.mend(self._functions[fault.address])
        return faults

    def functions(self) -> Sequence[PciFunction]:
        """All that was laid out."""
        return tuple(self._functions.values())

    def belongings(self, directories: Sequence[Path]) -> list[Path]:
        """What goes with directories, in the order in which it goes: links into them, device nodes, themselves."""
        return [*_links_into(self.root / "sys", directories), *self._nodes(directories), *directories]

    def _place(self, function: PciFunction) -> Path:
        return self._aside / VANISH / function.address

    def _belongings(self, function: PciFunction) -> list[Path]:
        """All that is of a function."""
        link = self.root / "sys/bus/pci/devices" / function.address
        own = [Path(os.path.realpath(link)), *(self.root / companion for companion in function.companions)]
        return self.belongings([directory for directory in own if directory.is_dir()])

    def _nodes(self, directories: Sequence[Path]) -> Iterator[Path]:
        """The device nodes of these directories: the kernel calls them as it calls what has their number in `dev`."""
        names = {path.parent.name for directory in directories for path in directory.rglob("dev")}
        for parent, _, files in os.walk(self.root / "dev"):
            yield from (Path(parent, name) for name in sorted(files) if name in names)


def _links_into(sysfs: Path, directories: Sequence[Path]) -> Iterator[Path]:
    """The links elsewhere in sysfs that lead to one of these directories, or into it."""
    for parent, subdirectories, files in os.walk(sysfs):
        place = Path(parent)
        if any(place.is_relative_to(directory) for directory in directories):
            subdirectories.clear()
            continue
        for name in sorted((*subdirectories, *files)):
            path = place / name
            if path.is_symlink():
                target = Path(os.path.normpath(place / os.readlink(path)))
                if any(target.is_relative_to(directory) for directory in directories):
                    yield path


def _words(function: PciFunction) -> str:
    return f"be {', '.join(function.faults)}, and vanish" if function.faults else "only vanish"


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(path, target)


def _forget(place: Path) -> None:
    """Remove a record, and the directories above it if it was their last."""
    shutil.rmtree(place)
    for directory in (place.parent, place.parent.parent):
        if not any(directory.iterdir()):
            directory.rmdir()


def _write(path: Path, value: Sequence[str]) -> None:
    """Write a record into a new directory, which is there only with it."""
    begun = path.parent.with_name(f".{path.parent.name}")
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir(parents=True)
    (begun / path.name).write_text(json.dumps(value, indent=1), encoding="utf-8")
    os.rename(begun, path.parent)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); lay the node out anew in an empty directory") from None
