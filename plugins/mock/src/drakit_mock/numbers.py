"""Device numbers of a faked tree: what its files say of its device nodes, and numbers that no driver has.

A number that a faked node hands to containers must not be that of real hardware which happens to be in the machine. The
kernel leaves some majors to experiments and never assigns them: whoever opens such a node is told that there is no such
device.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from drakit.errors import ConfigError

DYNAMIC_MAJORS = (*range(234, 255), *range(384, 512))
"""The majors from which the kernel takes one where a driver asks for any. Source: its list of allocated devices."""
_EXPERIMENTAL_MAJORS = (*range(120, 128), *range(60, 64))
"""The majors for local and experimental use that the kernel does not assign either. Source: likewise."""
_SPARE = ".drakit-spare"
"""Below the tree's root: a second device node for each whose major the kernel chooses, to be exchanged with it."""


def device_nodes(root: Path) -> list[Path]:
    """The character devices in the tree's /dev."""
    return [path for path in sorted((root / "dev").rglob("*")) if path.is_char_device() and not path.is_symlink()]


def stand_ins(root: Path) -> list[str]:
    """What is a regular file where a device node belongs, as where the process may make none."""
    files = (path for path in sorted((root / "dev").rglob("*")) if path.is_file() and not path.is_symlink())
    named = {path.parent.name for path in number_files(root)}
    return [f"/{path.relative_to(root)}" for path in files if path.name in named]


def number_files(root: Path) -> Iterator[Path]:
    """The files in which sysfs says the number of a device."""
    return (path for path in sorted((root / "sys/devices").rglob("dev")) if path.is_file())


def settle_numbers(root: Path) -> None:
    """Have sysfs say the numbers that the device nodes have."""
    nodes = {path.name: _number(path) for path in device_nodes(root)}
    for path in number_files(root):
        text = nodes.get(path.parent.name)
        if text and path.read_text(encoding="ascii") != text:
            path.write_text(text, encoding="ascii")


def give_idle_numbers(root: Path, machine: Path) -> None:
    """Give every device node a number of no driver, and those with a major of the kernel's choice a spare one too.

    Raises ConfigError where the machine has drivers under all such majors.
    """
    nodes = device_nodes(root)
    taken = _taken_majors(machine)
    free = (major for major in _EXPERIMENTAL_MAJORS if major not in taken)
    try:
        for major in sorted({os.major(path.stat().st_rdev) for path in nodes}):
            own = [path for path in nodes if os.major(path.stat().st_rdev) == major]
            idle = next(free)
            spare = next(free) if major in DYNAMIC_MAJORS else None
            for path in own:
                if spare is not None:
                    _make_node(_spare_of(root, path), path, spare)
                _make_node(path, path, idle)
    except StopIteration:
        raise ConfigError(
            "this machine has drivers under every device number that the kernel leaves to experiments (/proc/devices); "
            "unload one of their modules, or fake the node on another machine"
        ) from None
    settle_numbers(root)


def is_idle(root: Path, machine: Path) -> bool:
    """Whether no driver of the machine has come to have one of the tree's numbers."""
    paths = [*device_nodes(root), *_spares(root).values()]
    return _taken_majors(machine).isdisjoint(os.major(path.stat().st_rdev) for path in paths)


def exchange_spares(root: Path) -> Mapping[int, int]:
    """Exchange device nodes with their spares, which needs no privilege; returns the majors, before and after."""
    majors: dict[int, int] = {}
    for node, spare in _spares(root).items():
        majors[os.major(node.stat().st_rdev)] = os.major(spare.stat().st_rdev)
        beside = spare.with_name(f".{spare.name}.old")
        beside.unlink(missing_ok=True)
        os.link(node, beside)
        os.rename(spare, node)
        os.rename(beside, spare)
    if majors:
        settle_numbers(root)
    return majors


def _spares(root: Path) -> dict[Path, Path]:
    """Spare device nodes, by the path that they are for."""
    base = root / _SPARE
    spares = (path for path in sorted(base.rglob("*")) if path.is_char_device() and not path.name.startswith("."))
    return {root / path.relative_to(base): path for path in spares}


def _spare_of(root: Path, node: Path) -> Path:
    return root / _SPARE / node.relative_to(root)


def _make_node(path: Path, like: Path, major: int) -> None:
    status = like.stat()
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    os.mknod(beside, status.st_mode, os.makedev(major, os.minor(status.st_rdev)))
    beside.chmod(stat.S_IMODE(status.st_mode))  # whatever the umask is
    os.replace(beside, path)


def _number(path: Path) -> str:
    number = path.stat().st_rdev
    return f"{os.major(number)}:{os.minor(number)}\n"


def _taken_majors(machine: Path) -> set[int]:
    """The majors of character devices that the machine's drivers have."""
    characters = (machine / "proc/devices").read_text(encoding="ascii").partition("Block devices:")[0]
    return {int(words[0]) for line in characters.splitlines() if (words := line.split()) and words[0].isdecimal()}
