"""Whether several requests can have different devices: a matching of devices to requests."""

from __future__ import annotations

from collections.abc import Sequence


def can_differ(demands: Sequence[tuple[int, int]]) -> bool:
    """Whether each of (count, mask of places) can be given so many places of its mask, no place given twice."""
    by_mask: dict[int, int] = {}
    for count, mask in demands:
        by_mask[mask] = by_mask.get(mask, 0) + count
    if any(mask.bit_count() < count for mask, count in by_mask.items()):
        return False
    if _apart(by_mask):
        return True
    owners: dict[int, int] = {}
    return all(_augment(mask, owners) for mask, count in by_mask.items() for _ in range(count))


def _apart(masks: dict[int, int]) -> bool:
    seen = 0
    for mask in masks:
        if seen & mask:
            return False
        seen |= mask
    return True


def _augment(mask: int, owners: dict[int, int]) -> bool:
    """Give one more place of the mask, others making way. `owners`: the mask that each given place was given to."""
    came_from: dict[int, int | None] = {}
    frontier: list[tuple[int, int | None]] = [(mask, None)]
    seen = 0
    while frontier:
        wanted, via = frontier.pop()
        new = wanted & ~seen
        seen |= new
        while new:
            place = new & -new
            new ^= place
            came_from[place] = via
            if place not in owners:
                _move(place, mask, owners, came_from)
                return True
            frontier.append((owners[place], place))
    return False


def _move(place: int, mask: int, owners: dict[int, int], came_from: dict[int, int | None]) -> None:
    """Hand places over along the way that was found: whoever owned the one before gets this one."""
    before = came_from[place]
    while before is not None:
        owners[place] = owners[before]
        place, before = before, came_from[before]
    owners[place] = mask
