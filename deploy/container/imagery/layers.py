"""Directories as layers: the same files give the same bytes, whoever owns them and whenever they were written."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from imagery.commands import run

EPOCH = 315532800
"""The time of every file, the first of 1980: the earliest that a zip file can say."""
_COMPRESS = """
import gzip, shutil, sys
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
    with gzip.GzipFile("", "wb", 6, target, mtime=0) as written:
        shutil.copyfileobj(source, written, 1 << 20)
"""
_WORLD_WRITABLE = ("tmp",)


@frozen
class Layer:
    """A layer's file. `diff` is the digest of what is in it, uncompressed, `digest` that of the file."""

    path: Path
    digest: str
    diff: str
    size: int
    uncompressed: int


def write_layer(root: Path, target: Path, python: Sequence[str], env: Mapping[str, str]) -> None:
    """Pack a directory. It is compressed by the image's own Python, since other zlibs give other bytes."""
    plain = target.with_suffix("")
    with tarfile.open(plain, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in _walk(root):
            _add(archive, path, path.relative_to(root).as_posix())
    run([*python, "-c", _COMPRESS, plain, target], env=env)
    target.with_suffix(".diff").write_text(f"{_digest(plain)} {plain.stat().st_size}\n")
    plain.unlink()


def read_layer(path: Path) -> Layer:
    """A layer that was packed."""
    diff, uncompressed = path.with_suffix(".diff").read_text().split()
    return Layer(path, _digest(path), diff, path.stat().st_size, int(uncompressed))


def unpack_layer(layer: Layer, target: Path) -> None:
    """The directory that a layer was made of."""
    with tarfile.open(layer.path) as archive:
        archive.extractall(target, filter="fully_trusted")  # noqa: S202 - it was made here


def _walk(root: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(root):
        names.sort()
        links = [name for name in names if (Path(directory) / name).is_symlink()]
        for name in sorted([*files, *links]):
            yield Path(directory) / name
        for name in names:
            if name not in links:
                yield Path(directory) / name


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime = EPOCH
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, os.readlink(path), 0o777
        archive.addfile(entry)
    elif stat.S_ISDIR(status.st_mode):
        entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name in _WORLD_WRITABLE else 0o755
        archive.addfile(entry)
    else:
        entry.size, entry.mode = status.st_size, 0o755 if status.st_mode & 0o111 else 0o644
        with path.open("rb") as file:
            archive.addfile(entry, file)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
