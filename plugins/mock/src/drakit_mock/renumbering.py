"""Device numbers of a faked node, dealt out anew: what a reload of the kernel's modules does to them.

Devices of one class that hang below several PCI functions change names among one another, as `uverbs0` and `uverbs1`
do. Majors that the kernel assigns as it likes become others. Nothing is taken away, and nothing else changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen
from drakit.errors import ConfigError

from drakit_mock.numbers import DYNAMIC_MAJORS, device_nodes, exchange_spares, number_files
from drakit_mock.tree import VANISH, FakedTree


@frozen
class _Member:
    """One device of a class: its link there, and the directory this leads to."""

    link: Path
    directory: Path


def renumber(tree: FakedTree) -> list[str]:
    """Deal names and majors out anew; returns what has changed, in words.

    Raises ConfigError for a tree from which something has vanished: its number would be another's when it comes back.
    """
    vanished = [fault.address for fault in tree.faults() if fault.kind == VANISH]
    if vanished:
        raise ConfigError(f"{vanished[0]} has vanished; bring it back before anything is renumbered")
    said = [line for members in _classes(tree.root) for line in _rotate(tree.root, members)]
    majors = exchange_spares(tree.root) or _assign_majors(tree.root)
    return said + [f"major {before} is now {after}" for before, after in majors.items()]


def _classes(root: Path) -> Iterator[Sequence[_Member]]:
    """The classes whose devices have numbers, and hang below PCI functions, each one below its own."""
    for directory in sorted(root.glob("sys/class/*")):
        links = sorted(link for link in directory.iterdir() if link.is_symlink())
        members = [_Member(link, Path(os.path.realpath(link))) for link in links]
        numbered = [member for member in members if (member.directory / "dev").is_file()]
        below_pci = [one for one in numbered if _is_below_pci(root, one.directory)]
        if len({member.directory.parent for member in below_pci}) == len(below_pci) > 1:
            yield below_pci


def _is_below_pci(root: Path, directory: Path) -> bool:
    devices = root / "sys/devices"
    return directory.is_relative_to(devices) and directory.relative_to(devices).parts[0].startswith("pci")


def _rotate(root: Path, members: Sequence[_Member]) -> Iterator[str]:
    """Give each device the name and number of the next, in the order of their links."""
    numbers = {member.directory.name: (member.directory / "dev").read_bytes() for member in members}
    names = [member.directory.name for member in members]
    for member in members:
        member.link.unlink()
    for member, name in zip(members, [*names[1:], names[0]], strict=True):
        directory = member.directory.with_name(name)
        os.rename(member.directory, directory)
        (directory / "dev").write_bytes(numbers[name])
        link = member.link.with_name(name)
        link.symlink_to(os.path.relpath(directory, link.parent))
        yield f"{member.directory.parent.relative_to(root)}: {member.directory.name} is now {name}"


def _assign_majors(root: Path) -> Mapping[int, int]:
    """Give what has a dynamic major another one, that nothing in the tree has; returns them, before and after."""
    files = {path: _parsed(path) for path in number_files(root)}
    used = {major for major, _ in files.values()}
    free = (major for major in DYNAMIC_MAJORS if major not in used)
    majors = {major: next(free) for major in sorted(used) if major in DYNAMIC_MAJORS}
    for path, (major, minor) in files.items():
        if major in majors:
            path.write_text(f"{majors[major]}:{minor}\n", encoding="ascii")
    # Where nodes are faked by regular files there is nothing to change.
    for path in device_nodes(root):
        status = path.stat()
        if (major := os.major(status.st_rdev)) in majors:
            path.unlink()
            os.mknod(path, status.st_mode, os.makedev(majors[major], os.minor(status.st_rdev)))
    return majors


def _parsed(path: Path) -> tuple[int, int]:
    major, _, minor = path.read_text(encoding="ascii").strip().partition(":")
    return int(major), int(minor)
