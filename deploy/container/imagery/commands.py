"""Running the programs that the build needs, and what it says when one fails."""

from __future__ import annotations

import os
import subprocess
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

_BOUND_SECONDS = 900


class BuildError(Exception):
    """The image cannot be built; the message says why, and what to do."""


def run(command: Sequence[str | Path], directory: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program to its end; returns what it prints. Raises BuildError. `env` is added to this process's."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(  # noqa: S603 - no shell is asked
            words,
            cwd=directory,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=_BOUND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{words[0]} cannot be run: {error}") from None
    if done.returncode:
        said = textwrap.shorten(done.stderr.strip() or done.stdout.strip(), 1500)
        raise BuildError(f"{words[0]} ended with {done.returncode}: {said}")
    return done.stdout
