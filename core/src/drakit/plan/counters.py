"""What is left of the counters that devices of one pool share (KEP-4815)."""

from __future__ import annotations

from collections.abc import Iterable

from drakit.plan.contents import Draw
from drakit.plan.pools import NodePool


class CounterLedger:
    """The counters of one pool. `taken` is what devices that are allocated already draw."""

    def __init__(self, pool: NodePool, taken: Iterable[Draw]) -> None:
        self._left = dict(pool.counters)
        for counter, amount in taken:
            if counter in self._left:
                self._left[counter] -= amount
        self._overdrawn = sum(left < 0 for left in self._left.values())

    def take(self, draws: Iterable[Draw]) -> bool:
        """Take what a device draws; False, and nothing changed, if there is too little of any counter of the pool."""
        self._change(draws, -1)
        if self._overdrawn:
            self._change(draws, 1)
            return False
        return True

    def give(self, draws: Iterable[Draw]) -> None:
        """Give back what a device drew."""
        self._change(draws, 1)

    def left(self) -> tuple[int, ...]:
        """What is left of each counter, in an order that stays."""
        return tuple(self._left.values())

    def _change(self, draws: Iterable[Draw], sign: int) -> None:
        for counter, amount in draws:
            left = self._left.get(counter)
            if left is None:  # of another pool of the same name: see Bug.POOLS_SHARE_COUNTERS
                continue
            self._left[counter] = after = left + sign * amount
            self._overdrawn += (after < 0) - (left < 0)
