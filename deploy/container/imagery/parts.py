"""What an image is made of: three layers, of which an upgrade of drakit changes the smallest alone."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import frozen

from imagery.base import lay_base, python
from imagery.bytecode import compile_all
from imagery.cache import kept, key_of
from imagery.debian import Package, pinned
from imagery.layers import Layer, read_layer, write_layer
from imagery.platforms import Platform, native
from imagery.wheels import (
    MEMBERS,
    Wheel,
    build_members,
    download,
    lay_command,
    lay_wheels,
    read_wheels,
    runtime_requirements,
)

LAYERS = ("base", "dependencies", "drakit")
"""What the layers are called, the lowest first."""


@frozen
class Parts:
    """The contents of an image, and its layers."""

    packages: Sequence[Package]
    wheels: Sequence[Wheel]
    layers: Sequence[Layer]


@frozen
class Workshop:
    """Makes parts: of a checkout, with a lock of Debian packages, and with what a cache directory has of them."""

    checkout: Path
    lock: Path
    cache: Path

    def parts(self, platform: Platform) -> Parts:
        """The parts of the image of one architecture. Raises BuildError."""
        packages = pinned(self.lock, platform.name)
        with ThreadPoolExecutor() as pool:  # a layer is mostly waiting, for programs and downloads
            base = pool.submit(self._base_layer, packages)
            ours = pool.submit(self._drakit_layer)
            dependencies = self._dependencies(platform)
            theirs = self._layer("dependencies", _hashes(dependencies), lambda root: lay_wheels(root, dependencies))
            members, top = ours.result()
            return Parts(packages, [*dependencies, *members], [base.result(), theirs, top])

    def _base_layer(self, packages: Sequence[Package]) -> Layer:
        base = self._base(packages)
        return self._layer("base", (package.line for package in packages), lambda root: _copy(base, root))

    def _drakit_layer(self) -> tuple[list[Wheel], Layer]:
        members = self._members()
        return members, self._layer("drakit", _hashes(members), lambda root: _lay_drakit(root, members))

    def _base(self, packages: Sequence[Package]) -> Path:
        """The files of a base layer, without byte code."""
        key = key_of(*(package.line for package in packages))
        return kept(self.cache, f"base-{key}", lambda root: lay_base(root, packages, self.cache / "packages"))

    def _dependencies(self, platform: Platform) -> list[Wheel]:
        """The wheels of what drakit needs. What it needs is asked once for each state of the projects and the lock."""
        projects = [self.checkout / member / "pyproject.toml" for member in (".", *MEMBERS)]
        asked = [path.read_text(encoding="utf-8") for path in (self.checkout / "requirements.lock", *projects)]
        key = key_of(platform.name, *asked)

        def fill(directory: Path) -> None:
            download(runtime_requirements(self.checkout, platform), platform, directory)

        return read_wheels(kept(self.cache, f"wheels-{key}", fill))

    def _members(self) -> list[Wheel]:
        """Drakit's own wheels, kept by what is in them."""
        with tempfile.TemporaryDirectory(prefix="drakit-wheels-") as work:
            build_members(self.checkout, Path(work))
            key = key_of(*_hashes(read_wheels(Path(work))))
            return read_wheels(kept(self.cache, f"members-{key}", lambda root: _copy(Path(work), root)))

    def _layer(self, name: str, contents: Iterable[str], lay: Callable[[Path], None]) -> Layer:
        """A layer by its name and contents, of the files that `lay` puts into a directory."""

        def make(directory: Path) -> None:
            with tempfile.TemporaryDirectory(prefix="drakit-layer-") as work:
                root = Path(work)
                lay(root)
                interpreter = self._base(pinned(self.lock, native().name))
                compile_all(root, interpreter, native())
                write_layer(root, directory / f"{name}.tar.gz", *python(interpreter, native()))

        return read_layer(kept(self.cache, f"layer-{key_of(name, *contents)}", make) / f"{name}.tar.gz")


def _lay_drakit(root: Path, members: Sequence[Wheel]) -> None:
    lay_wheels(root, members)
    lay_command(root)


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def _hashes(wheels: Iterable[Wheel]) -> list[str]:
    return [f"{wheel.path.name} {wheel.sha256}" for wheel in wheels]
