"""The packages of Debian that the image begins with, as debian.lock pins them: fetched, checked and unpacked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from imagery.commands import BuildError, run

SUITE = "trixie"
PYTHON = "3.13"
"""The Python of that suite."""
PACKAGES = (
    "base-files",  # /usr/lib/os-release, by which scanners know the distribution, and the texts of licences
    "ca-certificates",
    "gcc-14-base",  # the licence of libgcc and libstdc++
    "libbz2-1.0",
    "libc6",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    f"libpython{PYTHON}-minimal",
    f"libpython{PYTHON}-stdlib",
    "libsqlite3-0",
    "libssl3t64",
    "libstdc++6",  # gRPC and protobuf are C++
    "libuuid1",
    "libzstd1",  # OpenSSL compresses with it
    f"python{PYTHON}-minimal",
    "zlib1g",
)
"""Chosen one by one and not by dependencies, which would bring a shell, Perl, and an installer of packages."""
ARCHIVE_VARIABLE = "DEBIAN_ARCHIVE"
_RENEW = (
    "`make image-lock` pins what it has now; or name an archive that keeps old versions in DEBIAN_ARCHIVE"
    " (docs/image.md, Pins)"
)


class Gone(BuildError):
    """The archive no longer has a pinned version."""


@frozen
class Package:
    """One pinned package of one architecture. `path` begins with the name of the archive: see `archives`."""

    architecture: str
    name: str
    version: str
    sha256: str
    path: str

    @property
    def line(self) -> str:
        """As it stands in the lock."""
        return f"{self.architecture} {self.name} {self.version} sha256:{self.sha256} {self.path}"


def read_lock(lock: Path) -> list[Package]:
    """Every package in a lock. Raises BuildError."""
    packages = []
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), 1):
        if line and not line.startswith("#"):
            words = line.replace(" sha256:", " ").split()
            if len(words) != 5:
                raise BuildError(f"{lock}:{number}: not a pinned package; `make image-lock` writes the file anew")
            packages.append(Package(*words))
    return packages


def pinned(lock: Path, architecture: str) -> list[Package]:
    """The packages of an architecture, all that the image needs. Raises BuildError."""
    packages = [package for package in read_lock(lock) if package.architecture == architecture]
    if sorted(package.name for package in packages) != sorted(PACKAGES):
        raise BuildError(f"{lock} does not pin the packages of the image for {architecture}; run `make image-lock`")
    return packages


def fetch(packages: Sequence[Package], directory: Path) -> dict[str, Path]:
    """Each package's file, by name, in a directory that may have some already. Raises BuildError, of it Gone."""
    directory.mkdir(parents=True, exist_ok=True)
    files = {package.name: directory / f"{package.sha256}.deb" for package in packages}
    lacking = [package for package in packages if not files[package.name].is_file()]
    if lacking:
        places = archives()
        words: list[str | Path] = []
        for package in lacking:
            archive, _, path = package.path.partition("/")
            words += [f"{places[archive]}/{path}", f"{files[package.name]}.{os.getpid()}", f"SHA256:{package.sha256}"]
        _download(words)
        for package in lacking:  # apt-helper has checked them
            target = files[package.name]
            Path(f"{target}.{os.getpid()}").replace(target)
    return files


def archives() -> Mapping[str, str]:
    """The URL of each archive that a lock may name: DEBIAN_ARCHIVE, or this machine's apt's. Raises BuildError."""
    if archive := os.environ.get(ARCHIVE_VARIABLE):
        return _both({"Debian": archive})
    listed = run(["apt-get", "indextargets", "--format", "$(LABEL) $(CREATED_BY) $(REPO_URI)"])
    found: dict[str, str] = {}
    for label, made_by, uri in (line.split(maxsplit=2) for line in listed.splitlines() if len(line.split()) == 3):
        if made_by == "Packages":
            found.setdefault(label, uri)
    if "Debian" not in found:
        raise BuildError(
            "this machine's apt knows no Debian archive; run `apt-get update` on a Debian machine, name an archive in"
            f" {ARCHIVE_VARIABLE}, or build with deploy/container/Containerfile"
        )
    return _both(found)


def unpack(files: Iterable[Path], root: Path) -> None:
    """Lay the contents of package files over each other, and note each for scanners as a package that is there."""
    status = root / "var/lib/dpkg/status.d"
    for file in files:
        run(["dpkg-deb", "--extract", file, root])
        status.mkdir(parents=True, exist_ok=True)
        control = run(["dpkg-deb", "--field", file])
        name = control.partition("Package: ")[2].split()[0]
        (status / name).write_text(control, encoding="utf-8")


def _both(found: Mapping[str, str]) -> Mapping[str, str]:
    """Mirrors and snapshots have the archive of security updates beside the other."""
    archive = found["Debian"].rstrip("/")
    beside = re.sub(r"/debian(?=/|$)", "/debian-security", archive)
    return {"debian": archive, "debian-security": found.get("Debian-Security", beside).rstrip("/")}


def _download(words: Sequence[str | Path]) -> None:
    try:
        run(["/usr/lib/apt/apt-helper", "-o", "Acquire::Retries=3", "download-file", *words])
    except BuildError as error:
        if "404" in str(error):
            raise Gone(f"Debian's archive no longer has what debian.lock pins: {error}. {_RENEW}") from None
        raise
