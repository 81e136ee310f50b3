"""Pinning what Debian's archive has now: debian.lock."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from imagery.commands import BuildError, run
from imagery.debian import PACKAGES, SUITE, Package, archives
from imagery.platforms import PLATFORMS

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_HEADER = f"""\
# The packages of Debian {SUITE} and its security updates in the image, by `make image-lock`.
# architecture, name, version, hash, path in the archive
"""


def renew(lock: Path) -> None:
    """Write a lock with the newest version of every package. apt checks the archive's signatures. Raises BuildError."""
    with tempfile.TemporaryDirectory() as work:
        packages = _newest(Path(work))
    lines = sorted(package.line for package in packages)
    lock.write_text(_HEADER + "\n".join(lines) + "\n", encoding="utf-8")


def _newest(work: Path) -> list[Package]:
    for directory in ("lists/partial", "cache"):
        (work / directory).mkdir(parents=True)
    places = archives()
    suites = {"debian": SUITE, "debian-security": f"{SUITE}-security"}
    architectures = ",".join(PLATFORMS)
    (work / "sources.list").write_text(
        "".join(
            f"deb [arch={architectures} target=Packages signed-by={_KEYRING}] {places[name]} {suite} main\n"
            for name, suite in suites.items()
        )
    )
    options = [
        f"Dir::Etc::sourcelist={work}/sources.list",
        "Dir::Etc::sourceparts=-",
        f"Dir::State::lists={work}/lists",
        f"Dir::Cache={work}/cache",
        "Dir::State::status=/dev/null",
        f"APT::Architectures={architectures}",
        "APT::Sandbox::User=root",
        "Acquire::Languages=none",
        "Acquire::Retries=3",
    ]
    apt = ["apt-get", "--quiet=2", *(word for option in options for word in ("-o", option))]
    run([*apt, "update"])
    packages = []
    for architecture in PLATFORMS:
        itself = ["-o", f"APT::Architecture={architecture}"]  # packages for all architectures are found by it
        said = run([*apt, *itself, "download", "--print-uris", *PACKAGES]).splitlines()
        packages += [_package(line, architecture, places) for line in said if line.startswith("'")]
    return packages


def _package(line: str, architecture: str, places: Mapping[str, str]) -> Package:
    """From a line as apt prints it: 'URI' file size SHA256:hash."""
    uri, file, _, checksum = line.split()
    if not checksum.startswith("SHA256:"):
        raise BuildError(f"apt says no SHA-256 of {file}: {line}")
    name, version, _ = file.split("_")
    for archive, place in places.items():
        if uri.strip("'").startswith(f"{place}/"):
            path = uri.strip("'").removeprefix(f"{place}/")
            return Package(architecture, name, unquote(version), checksum.removeprefix("SHA256:"), f"{archive}/{path}")
    raise BuildError(f"apt takes {file} from an archive that was not asked for: {uri}")
