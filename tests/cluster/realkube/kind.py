"""The real kind, built from its published Go module: it makes no cluster here, but says what it would make."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from realkube.cache import cached
from realkube.golang import Toolchain, found, toolchain

_MODULE = Path(__file__).parents[1] / "harness" / "kind"
_PACKAGE = "sigs.k8s.io/kind"


def kind() -> Path:
    """The kind that ../harness/kind names, from the cache or built, which takes a minute. Raises Lacking."""
    module = (_MODULE / "go.mod").read_text()
    version = found(rf"{_PACKAGE} v(\S+)", module)
    go = toolchain("kind", module)
    sources = [_MODULE / "go.mod", _MODULE / "go.sum"]
    key = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources) + go.version.encode())
    directory = cached(f"kind-{version}-{key.hexdigest()[:12]}", lambda target: _build(go, version, sources, target))
    return directory / "kind"


def _build(go: Toolchain, version: str, sources: list[Path], target: Path) -> None:
    sys.stderr.write(f"building kind {version} from its Go module\n")
    for source in sources:
        shutil.copy(source, target)
    go.build(target, "kind", _PACKAGE, {})
