"""Where one mock driver's devices come from: its settings, and the profile they point at."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen
from drakit.errors import ConfigError

from drakit_mock.fleet import Fleet, build_fleet
from drakit_mock.profile import DEFAULT_PROFILE, MockProfile, locate_profile, read_profile

FileVersion = tuple[int, int, int] | None


@frozen(kw_only=True)
class MockOptions:
    """Settings of one mock driver: `profile` is the name of a shipped profile or a path, `inline` a profile itself.

    With neither, it is the shipped `generic-gpu`.
    """

    profile: str | None = None
    inline: MockProfile | None = None

    def __attrs_post_init__(self) -> None:
        if self.profile is not None and self.inline is not None:
            raise ConfigError("has both profile and inline; give one")


class FleetSource:
    """The fleet of a driver's settings. Raises ConfigError, at construction as well, for a profile that is wrong."""

    def __init__(self, options: MockOptions) -> None:
        self._inline = options.inline
        self._path = Path() if self._inline else locate_profile(options.profile or DEFAULT_PROFILE)
        self._version = self._file_version()
        self.fleet = self._build()

    def refresh(self) -> bool:
        """Build the fleet again if the profile's file is another one now; says whether it was."""
        version = self._file_version()
        if version == self._version:
            return False
        self.fleet = self._build()
        self._version = version
        return True

    def _build(self) -> Fleet:
        if self._inline is not None:
            return build_fleet(self._inline, "inline profile")
        return build_fleet(read_profile(self._path), str(self._path))

    def _file_version(self) -> FileVersion:
        try:
            status = self._path.stat()
        except OSError:
            return None  # reading it says why
        return status.st_mtime_ns, status.st_ino, status.st_size
