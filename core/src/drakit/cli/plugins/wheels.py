"""Putting plugins into a directory from wheels that are at hand: nothing is asked of an index, nothing is built."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import installer
from attrs import frozen
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile
from packaging.requirements import Requirement
from packaging.tags import Tag, sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from drakit.decoding import read_text
from drakit.errors import ConfigError, describe
from drakit.loading import GROUP

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_MARK = ".drakit-plugins"
"""In a directory that is emptied before it is filled; and of copies while they are looked at."""


@frozen
class Pin:
    """One line of a requirements file: this version of a distribution, as one of these files."""

    name: str
    version: Version
    hashes: frozenset[str]


@frozen
class Wheel:
    """A wheel, by its file's name."""

    path: Path
    name: str
    version: Version
    tags: frozenset[Tag]

    @property
    def rank(self) -> int | None:
        """How well it suits this Python, 0 being best; None if it does not."""
        return next((rank for rank, tag in enumerate(sys_tags()) if tag in self.tags), None)


@frozen
class Installed:
    """A distribution that was installed, and the plugins it offers."""

    name: str
    version: str
    plugins: Sequence[str]


def read_pins(path: Path) -> list[Pin]:
    """The lines of a requirements file that are for this Python. Raises ConfigError for one that is no pin."""
    text = re.sub(r"\\\r?\n", " ", read_text(path))
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines()]
    return [pin for line in lines if line and (pin := _pin(line, path))]


def _pin(line: str, path: Path) -> Pin | None:
    hashes = frozenset(_HASH.findall(line))
    try:
        requirement = Requirement(_HASH.sub("", line).strip())
        (only,) = requirement.specifier
        version = Version(only.version)
    except ValueError:  # InvalidRequirement and InvalidVersion are such too
        only = None
    if only is None or only.operator != "==" or not hashes:
        raise ConfigError(f"{path}: {line!r} is not of the form name==version --hash=sha256:..., and no other is taken")
    if requirement.marker and not requirement.marker.evaluate():
        return None
    return Pin(canonicalize_name(requirement.name), version, hashes)


def wheels_in(directory: Path) -> list[Wheel]:
    """The wheels of a directory. Raises ConfigError where it cannot be read, or has a file that is none by its name."""
    if not directory.is_dir():
        raise ConfigError(f"{directory} is not a directory of wheels")
    return [_wheel(path) for path in sorted(directory.glob("*.whl"))]


def _wheel(path: Path) -> Wheel:
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename as error:
        raise ConfigError(f"{path}: {error}") from None
    return Wheel(path, name, version, frozenset(tags))


class Installation:
    """Installs into a directory that is its own: what was there is gone, and after a failure nothing is there.

    What is installed already beside it is not installed again, and not replaced.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        beside = [one for one in metadata.distributions() if Path(str(one.locate_file(""))) != target]
        self._there = _versions(reversed(beside))  # the first on the path counts

    def pinned(self, pins: Iterable[Pin], wheels: Sequence[Wheel]) -> list[Installed]:
        """Install what is pinned, each as a file with one of its hashes. Raises ConfigError."""
        with self._afresh() as copies:
            wanted = [pin for pin in pins if not self._has(pin.name, pin.version)]
            return self._unpack([_matching(pin, wheels, copies) for pin in wanted])

    def all(self, wheels: Sequence[Wheel]) -> list[Installed]:
        """Install every distribution there is a wheel of. Raises ConfigError."""
        with self._afresh() as copies:
            by_name: dict[str, list[Wheel]] = {}
            for wheel in wheels:
                by_name.setdefault(wheel.name, []).append(wheel)
            chosen = [_only(name, found) for name, found in by_name.items()]
            wanted = [wheel for wheel in chosen if not self._has(wheel.name, wheel.version)]
            return self._unpack([_copy(wheel, copies) for wheel in wanted])

    @contextlib.contextmanager
    def _afresh(self) -> Iterator[Path]:
        """An empty target, with a place for copies, which are what is looked at and unpacked: wheels may change."""
        copies = self._target / _MARK
        try:
            if self._target.exists() and not copies.exists() and any(self._target.iterdir()):
                raise ConfigError(f"{self._target} has what was not put there by this command; give an empty directory")
            copies.mkdir(parents=True, exist_ok=True)
            self._empty()
        except OSError as error:
            raise ConfigError(f"cannot install into {self._target}: {describe(error)}") from None
        try:
            yield copies
        except BaseException:
            self._empty()
            raise
        for path in copies.iterdir():
            path.unlink()

    def _empty(self) -> None:
        """Leave nothing but the mark."""
        for path in [*self._target.iterdir(), *(self._target / _MARK).iterdir()]:
            if path.is_dir() and not path.is_symlink():
                if path.name != _MARK:
                    shutil.rmtree(path)
            else:
                path.unlink()

    def _has(self, name: str, version: Version) -> bool:
        there = self._there.get(name)
        if there not in (None, version):
            raise ConfigError(
                f"{name} {version} cannot be installed: {name} {there} is here already, for drakit or another plugin; "
                f"give wheels that were made for it, or leave {name} out"
            )
        return there is not None

    def _unpack(self, wheels: Iterable[Wheel]) -> list[Installed]:
        schemes = {"purelib": "", "platlib": "", "scripts": "bin", "headers": "include", "data": "data"}
        places = {scheme: str(self._target / below) for scheme, below in schemes.items()}
        destination = SchemeDictionaryDestination(places, interpreter=sys.executable, script_kind="posix")
        for wheel in wheels:
            try:
                with WheelFile.open(wheel.path) as source:
                    source.validate_record()
                    installer.install(source, destination, {"INSTALLER": b"drakit\n"})
            except Exception as error:  # whatever a wheel may hold
                raise ConfigError(
                    f"{wheel.path.name} is not a wheel that can be installed: {describe(error)}"
                ) from None
        found = sorted(metadata.distributions(path=[str(self._target)]), key=lambda one: one.name)
        self._require_all(found)
        if not any(_plugins(one) for one in found):
            raise ConfigError(f"there is no plugin among the {len(found)} distributions that would be installed")
        return [Installed(one.name, one.version, _plugins(one)) for one in found]

    def _require_all(self, found: Sequence[metadata.Distribution]) -> None:
        """Raise ConfigError where something needs what is not there."""
        there = self._there | _versions(found)
        unmet = [f"{one.name} needs {need}" for one in found for need in _unmet(one, there)]
        if unmet:
            raise ConfigError(f"{'; '.join(unmet)}: add wheels of that, for it is not here")


def _matching(pin: Pin, wheels: Sequence[Wheel], copies: Path) -> Wheel:
    """A copy of the wheel that a pin names and that suits this Python best. Raises ConfigError."""
    named = [wheel for wheel in wheels if (wheel.name, wheel.version) == (pin.name, pin.version)]
    suiting = sorted((wheel for wheel in named if wheel.rank is not None), key=lambda wheel: wheel.rank or 0)
    for wheel in suiting:
        copy = _copy(wheel, copies)
        if hashlib.sha256(copy.path.read_bytes()).hexdigest() in pin.hashes:
            return copy
    what = f"{pin.name} {pin.version}"
    if suiting:
        raise ConfigError(
            f"{what}: {suiting[0].path.name} has none of the hashes that are required; it is not that file"
        )
    if named:
        raise ConfigError(f"{what}: {named[0].path.name} is not for this Python, {sys.version.split()[0]}")
    there = ", ".join(wheel.path.name for wheel in wheels) or "none"
    raise ConfigError(f"{what}: there is no wheel of it; there are {there}")


def _only(name: str, wheels: Sequence[Wheel]) -> Wheel:
    """The wheel of a distribution that suits this Python. Raises ConfigError."""
    suiting = sorted((wheel for wheel in wheels if wheel.rank is not None), key=lambda wheel: wheel.rank or 0)
    if not suiting:
        raise ConfigError(f"{wheels[0].path.name} is not for this Python, {sys.version.split()[0]}")
    if versions := {wheel.version for wheel in suiting} - {suiting[0].version}:
        raise ConfigError(
            f"there are wheels of {name} {suiting[0].version} and {', '.join(map(str, versions))}: have one version"
        )
    return suiting[0]


def _copy(wheel: Wheel, copies: Path) -> Wheel:
    path = Path(shutil.copyfile(wheel.path, copies / wheel.path.name))
    return Wheel(path, wheel.name, wheel.version, wheel.tags)


def _versions(distributions: Iterable[metadata.Distribution]) -> dict[str, Version]:
    found: dict[str, Version] = {}
    for one in distributions:
        with contextlib.suppress(InvalidVersion):
            found[canonicalize_name(one.name)] = Version(one.version)
    return found


def _unmet(distribution: metadata.Distribution, there: Mapping[str, Version]) -> Iterator[str]:
    for text in distribution.requires or ():
        need = Requirement(text)
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        version = there.get(canonicalize_name(need.name))
        if version is None or not need.specifier.contains(version, prereleases=True):
            yield f"{need.name}{need.specifier}"


def _plugins(distribution: metadata.Distribution) -> list[str]:
    return sorted(entry.name for entry in distribution.entry_points if entry.group == GROUP)
