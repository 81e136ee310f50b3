"""Byte code beside every module, so that a start compiles nothing, on a file system that it could not write to."""

from __future__ import annotations

from pathlib import Path

from imagery.base import python
from imagery.commands import run
from imagery.platforms import Platform


def compile_all(root: Path, base: Path, native: Platform) -> None:
    """Compile what lies below a directory with the Python of a base layer that this machine can run.

    Byte code is the same for every architecture. It holds no times, and is not compared with its source at start.
    """
    command, env = python(base, native)
    options = ["-q", "--invalidation-mode=unchecked-hash", "-s", str(root), "-p", "/"]
    run([*command, "-m", "compileall", *options, str(root / "usr")], env=env)
