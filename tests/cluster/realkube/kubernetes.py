"""kube-apiserver, kube-controller-manager, kube-scheduler and kubelet: built from the published Go modules.

One directory in ../harness for each minor release names the modules, one main.go is for all of them.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from attrs import frozen

from realkube.cache import cached
from realkube.errors import Lacking
from realkube.golang import Toolchain, found, toolchain

HARNESS = Path(__file__).parents[1] / "harness"
BINARY = "k8s-harness"
_TAGS = "selinux,notest,grpcnotrace"  # as upstream builds its releases


@frozen
class Kubernetes:
    """The components of one release, in one binary."""

    release: str
    binary: Path

    @property
    def minor(self) -> tuple[int, int]:
        """Such as (1, 36)."""
        major, minor, _ = self.release.split(".")
        return int(major), int(minor)

    def command(self, component: str, **flags: object) -> list[str]:
        """The command line of one component."""
        given = {name.replace("_", "-"): _flag(value) for name, value in flags.items()}
        return [str(self.binary), component, *(f"--{name}={value}" for name, value in given.items())]


def minors() -> list[str]:
    """The minor releases there are modules for, the newest first."""
    names = [path.parent.name for path in HARNESS.glob("[0-9]*/go.mod")]
    return sorted(names, key=lambda minor: [int(part) for part in minor.split(".")], reverse=True)


def kubernetes(minor: str) -> Kubernetes:
    """The components of a minor release, from the cache or built, which takes minutes. Raises Lacking."""
    if minor not in minors():
        raise Lacking(f"there are no modules for Kubernetes {minor}; there are some for {', '.join(minors())}")
    modules = HARNESS / minor
    wanted = (modules / "go.mod").read_text()
    release = found(r"k8s\.io/kubernetes v(\S+)", wanted)
    go = toolchain("Kubernetes", wanted)
    sources = [HARNESS / "main.go", modules / "go.mod", modules / "go.sum"]
    key = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources) + f"{go.version} {_TAGS}".encode())
    directory = cached(
        f"kubernetes-{release}-{key.hexdigest()[:12]}", lambda target: _build(go, release, sources, target)
    )
    return Kubernetes(release, directory / BINARY)


def _build(go: Toolchain, release: str, sources: list[Path], target: Path) -> None:
    sys.stderr.write(f"building Kubernetes {release} from its Go modules; this takes some minutes\n")
    for source in sources:
        shutil.copy(source, target)
    package = "k8s.io/component-base/version"
    major, minor, _ = release.split(".")
    stamps = {"gitVersion": f"v{release}", "gitMajor": major, "gitMinor": minor}
    go.build(target, BINARY, ".", {f"{package}.{name}": value for name, value in stamps.items()}, _TAGS)


def _flag(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
