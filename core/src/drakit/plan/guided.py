"""The search with what it can know beforehand: it skips branches that hold no solution, and only those.

The answer is the first solution in a fixed order, so skipping what holds none leaves it the same. Places are bits of an
integer, so that sets of devices are combined at once.

- Devices that no request can tell apart are one class: where one of them fails, so do the others.
- A value of a matchAttribute is only tried while every request under it has enough devices with it, and all together.
- The requests that are left must be able to have different devices (a matching of devices to requests).
- A state that failed once is not tried again, whichever devices of a class were taken on the way to it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from attrs import frozen

from drakit.model import Quantity
from drakit.plan.constraints import Match, Value
from drakit.plan.matching import can_differ
from drakit.plan.reasons import usable
from drakit.plan.requests import ConstraintSpec
from drakit.plan.search import MAX_STEPS, Search
from drakit.plan.task import Bound, Slot, Task


def bits(mask: int) -> Iterator[int]:
    """The places in a mask, in order."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def mask_of(places: Iterable[int]) -> int:
    """A mask of places."""
    mask = 0
    for place in places:
        mask |= 1 << place
    return mask


@frozen(eq=False)
class Group:
    """One matchAttribute of a claim: the devices with each value, and the requests that are sure to be under it."""

    claim: int
    number: int
    places: dict[Value, int]
    members: tuple[int, ...]


class Guided(Search):
    """One run over a task for a version without bugs, in which no way ends in an error: see `shortcuts`."""

    def __init__(self, task: Task, budget: int = MAX_STEPS) -> None:
        super().__init__(task, budget)
        self._domains = {bound: _domain(task, bound) for slot in task.slots for bound in slot.options}
        self._groups = tuple(_groups(task))
        self._groups_of = {
            bound: tuple(g for g in self._groups if g.claim == slot.claim and g.number in bound.option.constraints)
            for slot in task.slots
            for bound in slot.options
        }
        self._untouched = (1 << len(task.candidates)) - 1
        self._common_ground = any(one.offer.shared for one in task.candidates)
        self._repeats = self._common_ground and not task.profile.combinations
        self._admin = any(bound.option.request.admin_access for bound in self._domains)
        self._number_of = {bound: number for number, slot in enumerate(task.slots) for bound in slot.options}
        self._viable: dict[tuple[int, Group], int] = {}
        self._failed: set[Hashable] = set()
        self._marks: dict[int, Hashable] = {}

    @cached_property
    def _classes(self) -> tuple[int, ...]:
        return _classes(self._task, self._domains)

    @cached_property
    def _class_of(self) -> dict[int, int]:
        return {place: mask for mask in self._classes for place in bits(mask)}

    def _take(self, claim: int, bound: Bound, place: int) -> bool:
        taken = super()._take(claim, bound, place)
        if taken:
            self._untouched &= ~(1 << place)
        return taken

    def _give_back(self) -> None:
        place = self.chosen[-1].place
        super()._give_back()
        if not self._holders[place] and not self._shares.begun_here(place):
            self._untouched |= 1 << place

    def _places(self, bound: Bound, taken: int, start: int) -> Iterable[int]:
        if bound.everything is not None:
            return super()._places(bound, taken, start)
        return self._one_of_each_class(bound, start if self._task.profile.combinations else 0)

    def _one_of_each_class(self, bound: Bound, start: int) -> Iterator[int]:
        left = self._possible(bound, self._number_of[bound]) >> start << start
        while left:
            low = left & -left
            place = low.bit_length() - 1
            left ^= low
            yield place
            if low & self._untouched:
                left &= ~(self._class_of[place] & self._untouched)

    def _possible(self, bound: Bound, begun: int) -> int:
        """The devices a request could be given, as far as that was known when the request `begun` began."""
        found = self._domains[bound]
        if not (self._admin or self._common_ground):
            found &= self._untouched
        for group in self._groups_of[bound]:
            common = self._common(group)
            if common is not None:
                found &= _either(group.places[value] for value in common)
            else:
                found &= self._viable.get((begun, group), -1)
        return found

    def _common(self, group: Group) -> frozenset[Value] | None:
        state = self._states[group.claim][group.number]
        return state.common if isinstance(state, Match) else None

    def _worthwhile(self, number: int) -> bool:
        if not number and not self._could_be(number):
            return False  # before anything else is computed
        mark = self._marks[number] = self._mark(number)
        return mark not in self._failed and (not number or self._could_be(number))

    def _vain(self, number: int) -> None:
        self._failed.add(self._marks[number])

    def _mark(self, number: int) -> Hashable:
        """All that the requests from here on depend on, devices of one class counted rather than named."""
        claim = self._task.slots[number].claim
        touched: Hashable = None
        if self._admin:
            touched = tuple((place, *sorted(who)) for place, who in enumerate(self._holders) if who)
        return (
            number,
            self._counts[claim],
            tuple((mask & self._untouched).bit_count() for mask in self._classes),
            tuple(state.known() for state in self._states[claim]),
            tuple((key, ledger.left()) for key, ledger in self._ledgers.items()),
            self._shares.known() if self._common_ground else None,
            touched,
        )

    def _could_be(self, number: int) -> bool:
        slots = self._task.slots
        for group in self._groups:
            if group.members and group.members[-1] >= number:
                self._viable[number, group] = self._viable_places(group, number)
        demands = []
        for slot in slots[number:]:
            possible = [self._possible(bound, number) for bound in slot.options]
            counts = [mask.bit_count() for mask in possible]
            least = [max(self._different(bound), 1) for bound in slot.options]
            if all(count < enough for count, enough in zip(counts, least, strict=True)):
                return False
            if len(slot.options) == 1 and self._exclusive(slot):
                demands.append((slot.options[0].needed, possible[0]))
        return can_differ(demands)

    def _different(self, bound: Bound) -> int:
        """How many different devices a request takes: in permutations, one of them can be a shared one many times."""
        return min(bound.needed, 1) if self._repeats else bound.needed

    def _exclusive(self, slot: Slot) -> bool:
        """Whether a device it is given is given to no other request."""
        return not self._common_ground and not slot.options[0].option.request.admin_access

    def _viable_places(self, group: Group, number: int) -> int:
        """The devices with a value that enough devices have for the group's requests from here on."""
        common = self._common(group)
        values = group.places if common is None else common
        ahead = [self._task.slots[member].options[0] for member in group.members if member >= number]
        free = -1 if self._admin or self._common_ground else self._untouched
        found = 0
        for value in values:
            places = group.places[value]
            together, needed, enough = 0, 0, True
            for bound in ahead:
                own = self._domains[bound] & places & free
                together |= own
                needed += bound.needed
                if own.bit_count() < self._different(bound):
                    enough = False
                    break
            # The requests of one claim never share a device that is not shared, whatever their access.
            if enough and (self._common_ground or together.bit_count() >= needed):
                found |= places
        return found


def _domain(task: Task, bound: Bound) -> int:
    everything = None if bound.everything is None else set(bound.everything)
    return mask_of(
        place
        for place in range(len(task.candidates))
        if (everything is None or place in everything) and usable(task, bound, place)
    )


def _classes(task: Task, domains: dict[Bound, int]) -> tuple[int, ...]:
    alike: dict[Hashable, int] = {}
    specs = [one for claim in task.ask.claims for one in claim.constraints]
    for place in range(len(task.candidates)):
        mark = _likeness(task, domains, specs, place)
        alike[mark] = alike.get(mark, 0) | 1 << place
    return tuple(alike.values())


def _likeness(task: Task, domains: dict[Bound, int], specs: Sequence[ConstraintSpec], place: int) -> Hashable:
    candidate = task.candidates[place]
    offer = candidate.offer
    return (
        candidate.in_use,
        tuple(bool(mask >> place & 1) for mask in domains.values()),
        tuple(bound.everything is not None and place in bound.everything for bound in domains),
        tuple(spec.values(candidate) for spec in specs),
        (id(candidate.pool), offer.draws) if offer.draws else None,
        _sharing(task, domains, place) if offer.shared else None,
    )


def _sharing(task: Task, domains: dict[Bound, int], place: int) -> Hashable:
    candidate = task.candidates[place]
    offer = candidate.offer
    consumed = [bound.option.consumes(offer) for bound in domains]
    return (
        candidate.shared_already,
        tuple(sorted((candidate.consumed or {}).items())),
        _amounts(offer.device.capacity),
        tuple(None if one is None else _amounts(one) for one in consumed),
    )


def _amounts(quantities: Mapping[str, Quantity]) -> Hashable:
    return tuple(sorted((name, amount.nanos) for name, amount in quantities.items()))


def _groups(task: Task) -> Iterator[Group]:
    for index, claim in enumerate(task.ask.claims):
        for number, constraint in enumerate(claim.constraints):
            if constraint.spec.match_attribute is None:
                continue
            places: dict[Value, int] = {}
            for place, candidate in enumerate(task.candidates):
                for value in constraint.values(candidate):
                    places[value] = places.get(value, 0) | 1 << place
            members = (
                at
                for at, slot in enumerate(task.slots)
                if slot.claim == index and len(slot.options) == 1 and number in slot.options[0].option.constraints
            )
            yield Group(index, number, places, tuple(members))


def _either(masks: Iterable[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found
