"""etcd, containerd, runc, CNI plugins and busybox: taken from Debian's packages, unpacked and not installed.

The machine's apt says where its Debian archive is; beside it nothing of the machine's configuration is used, and
nothing is changed. The suites are named, so that a run next year gets what a run today gets.
"""

from __future__ import annotations

import hashlib
import subprocess
import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from realkube.cache import cached
from realkube.errors import Lacking

PACKAGES = {
    "etcd-server": "trixie",
    "containerd": "trixie",
    "containernetworking-plugins": "trixie",
    "busybox-static": "trixie",
    "runc": "bookworm",  # later ones want a C library that bookworm does not have
}
"""Package -> the suite it is taken from."""
KUBECTL = {"kubernetes-client": "trixie"}
"""What tests of scripts for people take besides."""
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_BOUND_SECONDS = 600


@frozen
class Debian:
    """A directory with the unpacked packages."""

    root: Path

    @property
    def path(self) -> str:
        """For PATH."""
        return f"{self.root}/usr/bin:{self.root}/usr/sbin"

    @property
    def plugins(self) -> Path:
        """The directory of CNI plugins."""
        return self.root / "usr/lib/cni"

    @property
    def versions(self) -> dict[str, str]:
        """The version of each package."""
        lines = (self.root / "versions").read_text().splitlines()
        return dict(line.split(" ", 1) for line in lines)


def debian(packages: Mapping[str, str] = PACKAGES) -> Debian:
    """The packages, from the cache or from the archive. Raises Lacking."""
    wanted = [f"{package}/{suite}" for package, suite in sorted(packages.items())]
    key = hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:12]
    return Debian(cached(f"debian-{key}", lambda root: _fetch(root, wanted)))


def _fetch(root: Path, wanted: Sequence[str]) -> None:
    work = root / ".apt"
    downloads = work / "downloads"
    for directory in (work / "lists/partial", work / "cache", downloads):
        directory.mkdir(parents=True)
    (work / "sources.list").write_text(_sources({one.partition("/")[2] for one in wanted}))
    options = [
        f"Dir::Etc::sourcelist={work}/sources.list",
        "Dir::Etc::sourceparts=-",
        f"Dir::State::lists={work}/lists",
        f"Dir::Cache={work}/cache",
        "Dir::State::status=/dev/null",
        "APT::Sandbox::User=root",
        "Acquire::Languages=none",
        "Acquire::Retries=3",
    ]
    apt = ["apt-get", "--quiet=2", *(word for option in options for word in ("-o", option))]
    _run([*apt, "update"], work)
    _run([*apt, "download", *wanted], downloads)
    versions = []
    for archive in sorted(downloads.glob("*.deb")):
        versions.append(_run(["dpkg-deb", "--show", "--showformat=${Package} ${Version}", str(archive)], work))
        _run(["dpkg-deb", "--extract", str(archive), str(root)], work)
    (root / "versions").write_text("\n".join(versions) + "\n")
    _run(["rm", "-r", str(work)], root)


def _sources(suites: Collection[str]) -> str:
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL) $(CREATED_BY)"]
    listed = [line.split() for line in _run(asked, Path("/")).splitlines()]
    archive = next((uri for uri, *rest in listed if rest == ["Debian", "Packages"]), None)
    if archive is None:
        raise Lacking("this machine's apt knows no Debian archive; run `apt-get update`, or use a Debian machine")
    lines = (f"deb [target=Packages signed-by={_KEYRING}] {archive} {suite} main\n" for suite in sorted(suites))
    return "".join(lines)


def _run(command: list[str], directory: Path) -> str:
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=_BOUND_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Lacking(f"Debian packages cannot be had: {error}") from None
    if done.returncode:
        said = textwrap.shorten(done.stderr, 500)
        raise Lacking(f"Debian packages cannot be had: {command[0]} ended with {done.returncode}: {said}")
    return done.stdout
