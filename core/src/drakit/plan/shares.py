"""How much of each shared device is taken while a search goes on (KEP-5075)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drakit.model import Quantity
from drakit.plan.allocated import Consumed
from drakit.plan.candidates import Candidate

_EMPTY: Consumed = {}


class Shares:
    """By the place of a device: what is used of its capacity, and whether a share of it is held at all."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = candidates
        self._used: dict[int, dict[str, int]] = {}
        self._held: dict[int, int] = {}

    def used(self, place: int) -> Consumed:
        """What is used of the device, in billionths, by claims that are allocated and by this search."""
        return self._used.get(place) or self._candidates[place].consumed or _EMPTY

    def begun(self, place: int) -> bool:
        """Whether someone holds a share: the device's counters are taken then."""
        candidate = self._candidates[place]
        return bool(self._held.get(place)) or candidate.consumed is not None or candidate.shared_already

    def begun_here(self, place: int) -> bool:
        """Whether this search holds a share."""
        return bool(self._held.get(place))

    def add(self, place: int, consumed: Mapping[str, Quantity]) -> None:
        """A share more."""
        self._held[place] = self._held.get(place, 0) + 1
        self._change(place, consumed, 1)

    def remove(self, place: int, consumed: Mapping[str, Quantity]) -> None:
        """A share less."""
        self._held[place] -= 1
        self._change(place, consumed, -1)

    def known(self) -> object:
        """All that it remembers."""
        return frozenset((place, *sorted(used.items())) for place, used in self._used.items() if self._held[place])

    def _change(self, place: int, consumed: Mapping[str, Quantity], sign: int) -> None:
        used = self._used.setdefault(place, dict(self._candidates[place].consumed or _EMPTY))
        for name, amount in consumed.items():
            used[name] = used.get(name, 0) + sign * amount.nanos


class SharesForgetting(Shares):
    """Shares, with Bug.SHARED_KEEP_COUNTERS: what of a device is held is told by its capacity alone.

    A share without capacity is held for good once it was tried, one that consumes nothing is not held once another is
    given back, and those of claims count only with their capacity.
    """

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        super().__init__(candidates)
        self._tried: dict[int, dict[str, int]] = {}

    def begun(self, place: int) -> bool:
        """See Shares."""
        return place in self._tried or self._candidates[place].consumed is not None

    def add(self, place: int, consumed: Mapping[str, Quantity]) -> None:
        """See Shares."""
        super().add(place, consumed)
        tried = self._tried.setdefault(place, {})
        for name, amount in consumed.items():
            tried[name] = tried.get(name, 0) + amount.nanos

    def remove(self, place: int, consumed: Mapping[str, Quantity]) -> None:
        """See Shares."""
        super().remove(place, consumed)
        if not consumed or place not in self._tried:
            return
        tried = self._tried[place]
        for name, amount in consumed.items():
            tried[name] = tried.get(name, 0) - amount.nanos
        if not any(tried.values()):
            del self._tried[place]
