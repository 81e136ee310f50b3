"""The lowest layer: a C library, OpenSSL, Python, certificates, and nothing that is not needed to run Python."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from imagery.debian import PYTHON, Package, fetch, unpack
from imagery.platforms import Platform

USER = 65532
"""Who runs commands in the image unless told otherwise. The agent is told otherwise: see docs/image.md."""
_LIBRARY = f"usr/lib/python{PYTHON}"
_LEFT_OUT = (
    "boot",
    "home",
    "etc",
    "media",
    "mnt",
    "opt",
    "sbin",
    "srv",
    "usr/games",
    "usr/include",
    "usr/lib/*/gconv",  # character sets other than Unicode's, for iconv
    "usr/lib/binfmt.d",
    "usr/lib/tmpfiles.d",
    "usr/lib/valgrind",
    "usr/sbin",
    "usr/share/[!cd]*",  # manuals, translations, and what else only people at a terminal look at
    "usr/share/debconf",
    "usr/share/dict",
    "usr/share/doc-base",
    "usr/share/doc/*/[!c]*",
    "usr/share/doc/*/changelog*",
    "usr/src",
    "var/[!l]*",
    "var/lib/[!d]*",
    "var/local",
    "var/lock",
    f"{_LIBRARY}/LICENSE.txt",  # a link to what is not there; the licence is in usr/share/doc
    f"{_LIBRARY}/config-*",
    f"{_LIBRARY}/lib-dynload/_curses*",  # these need packages that are not there: terminals and Berkeley DB
    f"{_LIBRARY}/lib-dynload/_dbm*",
    f"{_LIBRARY}/lib-dynload/_test*",
    f"{_LIBRARY}/lib-dynload/readline*",
    f"{_LIBRARY}/lib-dynload/xxlimited*",
    f"{_LIBRARY}/pydoc_data",
    f"{_LIBRARY}/sitecustomize.*",
    f"{_LIBRARY}/test",
)
_MOUNT_POINTS = ("dev", "etc", "proc", "run", "sys", "tmp")
_FILES = {
    "etc/group": f"root:x:0:\nnonroot:x:{USER}:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "etc/passwd": f"root:x:0:0:root:/root:\nnonroot:x:{USER}:{USER}:nonroot:/:\n",
}


def lay_base(root: Path, packages: Sequence[Package], downloads: Path) -> None:
    """Fill a directory with the layer's files, but for byte code. Raises BuildError."""
    unpack(fetch(packages, downloads).values(), root)
    _write_certificates(root)
    for path in [path for pattern in _LEFT_OUT for path in root.glob(pattern)]:  # before any link leads nowhere
        _remove(path)
    for path in (root / "usr/bin").iterdir():
        if path.name != f"python{PYTHON}":
            _remove(path)
    (root / "usr/bin/python3").symlink_to(f"python{PYTHON}")
    for name in _MOUNT_POINTS:
        (root / name).mkdir(exist_ok=True)
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    for name, text in _FILES.items():
        (root / name).write_text(text)
    bundle = root / "usr/share/ca-certificates.crt"
    (root / "etc/ssl/certs").mkdir(parents=True)
    bundle.rename(root / "etc/ssl/certs/ca-certificates.crt")
    _remove_empty(root / "usr")
    _remove_empty(root / "var")


def python(root: Path, platform: Platform) -> tuple[list[str], dict[str, str]]:
    """Command and variables that run the Python of a base layer of this machine's kind, outside of any container."""
    command = [str(root / platform.loader), "--library-path", str(root / "usr/lib" / platform.triplet)]
    return [*command, str(root / f"usr/bin/python{PYTHON}"), "-sB"], {"PYTHONHOME": str(root / "usr"), "PYTHONPATH": ""}


def _write_certificates(root: Path) -> None:
    """All certificates of the package in one file, as Debian's own tool makes it. They themselves are left out."""
    certificates = root / "usr/share/ca-certificates"
    texts = [path.read_text(encoding="utf-8").strip() for path in sorted(certificates.rglob("*.crt"))]
    certificates.with_suffix(".crt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    shutil.rmtree(certificates)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)  # it may have gone by another link to its directory


def _remove_empty(directory: Path) -> None:
    for path in sorted(directory.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()
