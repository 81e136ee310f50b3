"""What was downloaded and made, kept from build to build under the hash of what it was made from."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def default_directory() -> Path:
    """`drakit-image` in the user's cache directory. May be removed at any time when no build runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "drakit-image"


def key_of(*parts: str) -> str:
    """One short name for what something is made from, and for the code that makes it."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part.encode()).digest())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:20]


def kept(cache: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The directory of this name in the cache; `make` fills it if it is not there. Of several builds one does."""
    target = cache / name
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache))
            try:
                make(partial)
                partial.chmod(0o755)
                partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return target
