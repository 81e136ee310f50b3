"""Kernel modules of a faked node, loaded anew: their files are others, every counter begins again.

What a module shows goes away and is laid out once more, by the plugins themselves: the same names, as new directories.
Device nodes stay, with their numbers: making one is a privilege that whoever rehearses need not have.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from drakit.errors import ConfigError
from drakit.testing import lay_out, read_layout

from drakit_mock.numbers import settle_numbers
from drakit_mock.tree import ASIDE, VANISH, FakedTree

_UNLOADED = f"{ASIDE}/unloaded"


def reload_modules(tree: FakedTree) -> list[str]:
    """Load every kernel module of the tree anew; returns which, in words. Faults that files told of have ended.

    Raises ConfigError for a tree without modules, or from which something has vanished: it would be there again.
    """
    modules = sorted({function.module for function in tree.functions() if function.module})
    if not modules:
        raise ConfigError(f"nothing on {tree.root} says which kernel module it is of; there is nothing to load anew")
    vanished = [fault.address for fault in tree.faults() if fault.kind == VANISH]
    if vanished:
        raise ConfigError(f"{vanished[0]} has vanished; bring it back before modules are loaded anew")
    tree.mend_all()
    aside = tree.root / _UNLOADED
    shutil.rmtree(aside, ignore_errors=True)  # of a reload that was interrupted: what it took away is laid out anew
    aside.mkdir(parents=True)
    for path in _shown(tree, modules):
        _unload(tree.root, path, aside)
    laid = lay_out(read_layout(tree.root).node_type, tree.root)
    settle_numbers(tree.root)
    shutil.rmtree(aside)  # kept until now, so that what is new is another file
    aside.parent.rmdir()
    if laid.problems:
        raise laid.problems[0]
    return [f"{module} was loaded anew" for module in modules]


def _shown(tree: FakedTree, modules: list[str]) -> list[Path]:
    companions = {path for function in tree.functions() if function.module for path in function.companions}
    directories = [tree.root / path for path in sorted(companions)]
    directories += [tree.root / "sys/module" / module for module in modules]
    shown = tree.belongings([path for path in directories if path.is_dir()])
    return [path for path in shown if not path.is_relative_to(tree.root / "dev")]


def _unload(root: Path, path: Path, aside: Path) -> None:
    target = aside / path.relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)
