"""Where what was downloaded and built is kept from run to run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from imagery.cache import kept


def cache_directory() -> Path:
    """`drakit-cluster` in the user's cache directory. May be removed at any time when no test runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "drakit-cluster"


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The directory of this name in the cache; `make` fills it if it is not there.

    Of several processes one makes it, and the others wait. A directory that could not be filled is not kept.
    """
    return kept(cache_directory(), name, make)
