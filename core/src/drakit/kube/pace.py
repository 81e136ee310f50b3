"""When the next request may be made: after failures, after writes, and after repairs of what others did."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from attrs import frozen

MAX_RETRY_AFTER = 300.0


@frozen(kw_only=True)
class Timing:
    """Every time span of publishing, in seconds. Tests make them short; nothing else needs to."""

    settle: float = 0.05
    """After a write, changes are collected at least this long before the next."""
    verify: float = 600.0
    """About how often slices are listed again; between, the watch tells of every change."""
    first_backoff: float = 0.2
    most_backoff: float = 30.0
    refused: float = 300.0
    """How long slices that the server called invalid rest, unless something else is wanted."""


class Backoff:
    """Exponential with full jitter: a node's agents, and a cluster's nodes, do not come back all at once.

    `first` and `most` are in seconds; `draw` is `random.uniform`, or what a test puts in its place.
    """

    def __init__(self, first: float, most: float, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._first = first
        self._most = most
        self._draw = draw
        self._tries = 0

    def next(self, retry_after: float | None = None) -> float:
        """The seconds to wait, never less than what the server asked for (up to five minutes)."""
        ceiling = min(self._most, self._first * 2 ** min(self._tries, 30))
        self._tries += 1
        return max(self._draw(self._first / 10, ceiling), min(retry_after or 0.0, MAX_RETRY_AFTER))

    def reset(self) -> None:
        """Begin anew: it worked."""
        self._tries = 0


class Pace:
    """Spaces the rounds of a publisher.

    The first change is written at once; those that follow it are collected. What others changed is repaired at once
    too, but ever later if it is changed again and again: two drivers of one name would else fight without end.
    """

    def __init__(self, timing: Timing, clock: Callable[[], float] = time.monotonic) -> None:
        self._timing = timing
        self._clock = clock
        self._failures = Backoff(timing.first_backoff, timing.most_backoff)
        self._repairs = Backoff(timing.settle, timing.most_backoff)
        self._repaired_at = clock()
        self._not_before = 0.0

    def delay(self) -> float:
        """The seconds until the next round may begin."""
        return max(0.0, self._not_before - self._clock())

    def failed(self, retry_after: float | None) -> None:
        """The last round came to an end halfway."""
        self._not_before = self._clock() + self._failures.next(retry_after)

    def wrote(self) -> None:
        """The last round wrote what was newly wanted."""
        self._failures.reset()
        self._not_before = self._clock() + self._timing.settle

    def repaired(self) -> None:
        """The last round wrote again what others had changed."""
        self._failures.reset()
        now = self._clock()
        if now - self._repaired_at > 2 * self._timing.most_backoff:
            self._repairs.reset()
        self._repaired_at = now
        self._not_before = now + max(self._timing.settle, self._repairs.next())

    def found_all_well(self) -> None:
        """The last round had nothing to write."""
        self._failures.reset()
