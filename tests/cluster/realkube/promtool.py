"""Prometheus' own promtool, of Debian's package: what reads rules and queries as Prometheus does."""

from __future__ import annotations

import subprocess
from pathlib import Path

from attrs import frozen

from realkube.debian import debian

PACKAGES = {"prometheus": "bookworm"}
_BOUND_SECONDS = 60


@frozen
class Promtool:
    """The program."""

    binary: Path

    def run(self, *arguments: object) -> tuple[int, str]:
        """Run a command: its exit code, and all it says."""
        command = [str(self.binary), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BOUND_SECONDS, check=False)
        return done.returncode, done.stdout + done.stderr


def promtool() -> Promtool:
    """The program, from the cache or from Debian's archive, which takes some seconds. Raises Lacking."""
    return Promtool(debian(PACKAGES).root / "usr/bin/promtool")
