"""Waiting for what a cluster comes to in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from realkube.api import Refused
from realkube.errors import ClusterFailure

T = TypeVar("T")
BOUND_SECONDS = 90.0
_PAUSE_SECONDS = 0.1


def until(
    what: str, look: Callable[[], T | None], *, seconds: float = BOUND_SECONDS, seen: Callable[[], object] = lambda: ""
) -> T:
    """Look until there is something other than nothing, and return it.

    A refused or failed call counts as nothing. Raises ClusterFailure after the bound, with what `seen` then says.
    """
    limit = time.monotonic() + seconds
    last: object = ""
    while time.monotonic() < limit:
        try:
            if found := look():
                return found
        except (Refused, OSError) as error:
            last = error
        time.sleep(_PAUSE_SECONDS)
    raise ClusterFailure("\n".join(filter(None, [f"waited {seconds:g} s for {what}", f"{last}", f"{seen()}"])))
