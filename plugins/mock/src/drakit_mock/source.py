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
        self._given: Path | MockProfile = options.inline or locate_profile(options.profile or DEFAULT_PROFILE)
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
        if isinstance(self._given, MockProfile):
            return build_fleet(self._given, "inline profile")
        return build_fleet(read_profile(self._given), str(self._given))

    def _file_version(self) -> FileVersion:
        """What changes with the file; None for an inline profile, and for a file that reading will say is missing."""
        if isinstance(self._given, MockProfile):
            return None
        try:
            status = self._given.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size
