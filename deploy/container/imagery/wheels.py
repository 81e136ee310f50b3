"""The distributions in the image: drakit's members, built from the checkout, and what they need, as it is locked."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import zipfile
from collections.abc import Iterable, Sequence
from email.parser import HeaderParser
from pathlib import Path

from attrs import frozen

from imagery.commands import BuildError, run
from imagery.debian import PYTHON
from imagery.layers import EPOCH
from imagery.platforms import Platform

MEMBERS = ("core", "plugins/neuron", "plugins/efa", "plugins/mock")
SITE = f"usr/local/lib/python{PYTHON}/dist-packages"
"""Where Debian's Python looks for what did not come with Debian."""
COMMAND = "usr/bin/drakit"
_LAUNCHER = f"""\
#!/usr/bin/python{PYTHON}
import sys

from drakit.cli import main

sys.exit(main())
"""
_NEWEST_GLIBC = 41
"""The minor version of the suite's C library: wheels may ask for that much."""


@frozen
class Wheel:
    """One wheel."""

    name: str
    version: str
    licence: str
    sha256: str
    path: Path

    @classmethod
    def read(cls, path: Path) -> Wheel:
        """What a file says of itself."""
        with zipfile.ZipFile(path) as archive:
            (metadata,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
            headers = HeaderParser().parsestr(archive.read(metadata).decode())
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return cls(headers["Name"], headers["Version"], headers.get("License-Expression", ""), digest, path)


def runtime_requirements(checkout: Path, platform: Platform) -> str:
    """Of requirements.lock what the members need to run on a platform: a requirements file with hashes.

    Raises BuildError, also where the lock does not have all of it.
    """
    lock = checkout / "requirements.lock"
    projects = [str(checkout / member / "pyproject.toml") for member in MEMBERS]
    options = [
        f"--python-version={PYTHON}",
        f"--python-platform={platform.machine}-manylinux_2_40",
        "--no-header",
        "--no-annotate",
        "--quiet",
        *(f"--no-emit-package={_project_name(checkout / member)}" for member in MEMBERS),
    ]
    said = run([sys.executable, "-m", "uv", "pip", "compile", *projects, f"--constraint={lock}", *options])
    locked = {block.split(maxsplit=1)[0]: block for block in re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8"))}
    needed = said.split()
    if missing := [name for name in needed if "--hash=" not in locked.get(name, "")]:
        raise BuildError(f"requirements.lock does not pin {', '.join(missing)}; run `make lock`")
    return "\n".join(locked[name].strip() for name in sorted(needed)) + "\n"


def download(requirements: str, platform: Platform, directory: Path) -> None:
    """Fetch the wheels for a platform; pip checks the hashes. Nothing of them is run. Raises BuildError."""
    asked = directory / "requirements.txt"
    asked.write_text(requirements)
    tags = [f"manylinux_2_{minor}_{platform.machine}" for minor in range(5, _NEWEST_GLIBC + 1)]
    tags.append(f"manylinux2014_{platform.machine}")
    options = [
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--require-hashes",
        "--no-deps",
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={PYTHON}",
        *(f"--platform={tag}" for tag in tags),
    ]
    run([*_pip(), "download", *options, f"--requirement={asked}", f"--dest={directory}"])


def build_members(checkout: Path, directory: Path) -> None:
    """Build the wheels of the members into a directory. Raises BuildError."""
    for member in MEMBERS:
        command = [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={directory}"]
        run(command, checkout / member, {"SOURCE_DATE_EPOCH": str(EPOCH)})


def read_wheels(directory: Path) -> list[Wheel]:
    """The wheels in a directory, by name."""
    return sorted((Wheel.read(path) for path in directory.glob("*.whl")), key=lambda wheel: wheel.name.lower())


def lay_wheels(root: Path, wheels: Iterable[Wheel]) -> None:
    """Unpack wheels where the image's Python finds them. Raises BuildError."""
    site = root / SITE
    site.mkdir(parents=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel.path) as archive:
            names = archive.namelist()
            if scattered := [name for name in names if ".data/" in name.partition("/")[0] + "/"]:
                raise BuildError(f"{wheel.path.name} has files for elsewhere than beside its modules: {scattered[0]}")
            archive.extractall(site)
        for path in site.glob(f"{wheel.path.name.split('-')[0]}-*.dist-info"):
            (path / "INSTALLER").write_text("drakit image\n")


def lay_command(root: Path) -> None:
    """Write the program `drakit`. Started by the kernel: the image has no shell."""
    target = root / COMMAND
    target.parent.mkdir(parents=True)
    target.write_text(_LAUNCHER)
    target.chmod(0o755)


def _project_name(member: Path) -> str:
    text = (member / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^name = "(.+)"$', text, re.MULTILINE)
    assert found, f"{member} has no name"
    return found[1]


def _pip() -> Sequence[str]:
    """The pip of this environment, or else that of the Python it was made with."""
    for python in (sys.executable, getattr(sys, "_base_executable", sys.executable), shutil.which("python3")):
        try:
            run([str(python), "-m", "pip", "--version"])
        except BuildError:
            continue
        return [str(python), "-m", "pip"]
    raise BuildError("no pip is there to fetch wheels with; on Debian: apt-get install python3-pip")
