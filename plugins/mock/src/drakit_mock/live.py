"""A faked node as the root of an agent on a real node: replaced as a whole, with device nodes that reach no driver.

The root is a link to a tree beside it, so that a running agent, and the container runtime that follows the paths in CDI
files, see one tree or the other and never half of each.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from pathlib import Path

from attrs import frozen
from drakit.errors import ConfigError
from drakit.testing import NodeLayout, lay_out, read_layout

from drakit_mock.locking import locked
from drakit_mock.numbers import give_idle_numbers, is_idle, stand_ins

RECORD = ".drakit-live.json"
"""Below the tree's root: what was laid out, before anything was broken in it."""
_BOOT_ID = "proc/sys/kernel/random/boot_id"
_VERSION = 1
"""Of what is made of a layout here: another one has every tree made anew."""


@frozen
class LiveTree:
    """What an agent finds at a root.

    `kept`: the tree was there already, with whatever was injected into it. `before`: the type of the tree whose place
    it took, if any. `stand_ins`: files where device nodes belong, as where making them is not allowed.
    """

    layout: NodeLayout
    kept: bool
    before: str | None
    stand_ins: tuple[str, ...]


def lay_out_live(node_type: str, root: Path, machine: Path = Path("/")) -> LiveTree:
    """Have a root lead to a faked node of a type. A tree that is as it would be laid out now stays as it is.

    The tree's boot id is that of the `machine`. A layout in which a plugin fails takes nobody's place: see its
    problems. Several at a time wait for one another. Raises ConfigError as `lay_out` does, and for a root that is no
    such link.
    """
    root = Path(os.path.realpath(root.parent), root.name)
    try:
        if root.exists() and not root.is_symlink():
            raise ConfigError(f"{root} was not laid out to be live; give another directory, or remove this one first")
        root.parent.mkdir(parents=True, exist_ok=True)
        with locked(root.parent):
            return _laid_out(node_type, root, machine)
    except OSError as error:
        raise ConfigError(f"cannot lay out a faked node at {root}: {error}") from error


def _laid_out(node_type: str, root: Path, machine: Path) -> LiveTree:
    current = Path(os.path.realpath(root))
    _remove_others(root, current)
    fresh = Path(tempfile.mkdtemp(prefix=_prefix(root), dir=root.parent))
    try:
        fresh.chmod(0o755)
        laid = lay_out(node_type, fresh)
        if laid.problems:
            return LiveTree(laid, kept=False, before=None, stand_ins=())
        digest = _digest(fresh)
        before = _type_of(current)
        kept = before is not None and _is_current(current, digest, machine)
        if not kept:
            give_idle_numbers(fresh, machine)
            (fresh / RECORD).write_text(f"{json.dumps({'layout': digest})}\n", encoding="utf-8")
        tree = current if kept else fresh
        _take_boot_id(tree, machine)
        if not kept:
            _lead(root, tree)
            _remove_others(root, tree)
        return LiveTree(read_layout(root), kept, None if kept else before, tuple(stand_ins(tree)))
    finally:
        if Path(os.path.realpath(root)) != fresh:
            shutil.rmtree(fresh, ignore_errors=True)


def _prefix(root: Path) -> str:
    return f".{root.name}-"


def _is_current(tree: Path, digest: str, machine: Path) -> bool:
    """Whether a tree is what would be laid out now, under numbers that are still nobody's."""
    try:
        recorded = json.loads((tree / RECORD).read_bytes())
    except (OSError, ValueError):
        return False
    return bool(recorded == {"layout": digest}) and is_idle(tree, machine)


def _type_of(tree: Path) -> str | None:
    try:
        return read_layout(tree).node_type
    except ConfigError:
        return None


def _lead(root: Path, tree: Path) -> None:
    beside = root.with_name(f"{_prefix(root)}link")
    beside.unlink(missing_ok=True)
    beside.symlink_to(tree.name)
    os.replace(beside, root)


def _remove_others(root: Path, current: Path) -> None:
    """Remove trees that had the place before, and what an interruption left."""
    for path in root.parent.glob(f"{_prefix(root)}*"):
        if path.is_symlink():
            path.unlink()
        elif path != current:
            shutil.rmtree(path)


def _take_boot_id(tree: Path, machine: Path) -> None:
    """A reboot of the machine is one of the faked node. Written beside and renamed: agents read it."""
    boot_id = (machine / _BOOT_ID).read_text(encoding="ascii")
    path = tree / _BOOT_ID
    if path.read_text(encoding="ascii") != boot_id:
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(boot_id, encoding="ascii")
        os.replace(beside, path)


def _digest(tree: Path) -> str:
    """Of everything that a layout writes, but for the boot id, which is another in each."""
    digest = hashlib.sha256(str(_VERSION).encode())
    for path in sorted(tree.rglob("*")):
        name = str(path.relative_to(tree))
        if name != _BOOT_ID:
            digest.update(repr((name, *_content(path))).encode())
    return digest.hexdigest()


def _content(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return ("link", os.readlink(path))
    if stat.S_ISREG(status.st_mode):
        return (status.st_mode, path.read_bytes())
    return (status.st_mode, status.st_rdev)
