"""Where one mock driver's devices come from: its settings, and the profile they point at."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen
from drakit import PluginContext
from drakit.errors import ConfigError

from drakit_mock.filestamp import Stamp, stamp_of
from drakit_mock.fleet import Fleet, build_fleet
from drakit_mock.profile import DEFAULT_PROFILE, MockProfile, locate_profile, read_profile


@frozen(kw_only=True)
class MockOptions:
    """Settings of one mock driver: `profile` is the name of a shipped profile or a path, `inline` a profile itself.

    With neither, it is the shipped `generic-gpu`. `state` is the directory of injected faults and of side effects, as
    the agent sees it; by default one below its root. With `side_effects` every preparation leaves a mark there, for as
    long as it lasts, and the core records each intent as it does for a driver that changes hardware.
    """

    profile: str | None = None
    inline: MockProfile | None = None
    state: Path | None = None
    side_effects: bool = False

    def __attrs_post_init__(self) -> None:
        if self.profile is not None and self.inline is not None:
            raise ConfigError("has both profile and inline; give one")


class FleetSource:
    """The fleet of a driver's settings, on the node of a context.

    Raises ConfigError, at construction as well, for a profile that is wrong.
    """

    def __init__(self, options: MockOptions, context: PluginContext) -> None:
        self._given: Path | MockProfile = options.inline or locate_profile(options.profile or DEFAULT_PROFILE)
        self._context = context
        self._stamp = self._current_stamp()
        self._profile = self._read()
        self.fleet = self._build(self._profile)

    def refresh(self) -> bool:
        """Build the fleet again if the profile's file is another one now, or the node's functions are; says whether."""
        stamp = self._current_stamp()
        same = stamp == self._stamp
        if same and not any(device_set.functions for device_set in self._profile.devices):
            return False
        profile = self._profile if same else self._read()
        fleet = self._build(profile)
        if same and fleet == self.fleet:
            return False
        self._stamp, self._profile, self.fleet = stamp, profile, fleet
        return True

    def _read(self) -> MockProfile:
        return self._given if isinstance(self._given, MockProfile) else read_profile(self._given)

    def _build(self, profile: MockProfile) -> Fleet:
        where = "inline profile" if isinstance(self._given, MockProfile) else str(self._given)
        return build_fleet(profile, where, self._context)

    def _current_stamp(self) -> Stamp:
        return None if isinstance(self._given, MockProfile) else stamp_of(self._given)
