"""Where what was downloaded and built is kept from run to run."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_directory() -> Path:
    """`drakit-cluster` in the user's cache directory. May be removed at any time when no test runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "drakit-cluster"


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The directory of this name in the cache; `make` fills it if it is not there.

    Of several processes one makes it, and the others wait. A directory that could not be filled is not kept.
    """
    directory = cache_directory()
    target = directory / name
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=directory))
            try:
                make(partial)
                partial.chmod(0o755)
                partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return target
