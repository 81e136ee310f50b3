"""Counting what happens, cheap enough for the path of every claim: plain numbers, no locks, no I/O.

One thread adds to a tally, any thread may read it: a reader may see a call that is counted and whose seconds are not
yet. What is counted is made into metrics only when somebody asks (see `vitals`).
"""

from __future__ import annotations

from bisect import bisect_left

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 45.0)
"""Upper bounds of the buckets, in seconds: from a hook that only reads memory to the kubelet's patience."""


class Durations:
    """How long things of one kind took."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        """By bucket, not cumulative; the last is for what took longer than every bound."""
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


class Calls:
    """Calls of one kind: how many ended how, and how long they took. `results` are all the ways there are."""

    __slots__ = ("durations", "results")

    def __init__(self, *results: str) -> None:
        self.results = dict.fromkeys(results, 0)
        self.durations = Durations()

    def add(self, result: str, seconds: float) -> None:
        """Count one."""
        self.results[result] += 1
        self.durations.add(seconds)
