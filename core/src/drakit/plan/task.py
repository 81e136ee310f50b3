"""A pod's claims made ready for a search: requests in order, their alternatives, and what each may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from drakit.plan.candidates import SELECTED, Candidate, Verdicts, verdict_or_none
from drakit.plan.claims import AllocationMode, DeviceClaim, DeviceClass, ExactRequest, claim_name, read_claim
from drakit.plan.constraints import DistinctConstraint, MatchConstraint, track, values_of
from drakit.plan.errors import InvalidDocument, NotSupported, Unallocatable
from drakit.plan.pools import UnusablePool

MAX_RESULTS = 32
"""The most devices one claim can be given."""

Tracked = MatchConstraint | DistinctConstraint


@frozen(eq=False)
class Option:
    """One alternative of a request. `everything` is the fixed list of a request for all devices, by place."""

    label: str
    request: ExactRequest
    verdicts: Verdicts
    needed: int
    everything: tuple[int, ...] | None
    constraints: tuple[Tracked, ...]
    tolerated: tuple[bool, ...]


@frozen(eq=False)
class Wanted:
    """One request of one claim. `reserve` is the least number of devices that the claim's later requests need."""

    claim: int
    options: tuple[Option, ...]
    reserve: int = 0


@frozen(eq=False)
class Claimed:
    """One claim, decoded, with the state of its constraints."""

    name: str
    spec: DeviceClaim
    constraints: tuple[Tracked, ...]


@frozen(eq=False)
class Task:
    """All that is to be met together on one node."""

    candidates: tuple[Candidate, ...]
    claims: tuple[Claimed, ...]
    requests: tuple[Wanted, ...]


def prepare(
    documents: Sequence[Mapping[str, Any]],
    found: tuple[Candidate, ...],
    classes: Mapping[str, DeviceClass],
    unusable: Sequence[UnusablePool],
) -> Task:
    """Decode the claims and check what can be checked before a search. Raises PlanError."""
    builder = _Builder(found, classes, unusable)
    claims: list[Claimed] = []
    requests: list[Wanted] = []
    for index, document in enumerate(documents):
        spec = read_claim(document)
        claim = Claimed(claim_name(document), spec, tuple(track(constraint) for constraint in spec.constraints))
        wanted = [builder.wanted(index, claim, place) for place in range(len(spec.requests))]
        claims.append(claim)
        requests += _with_reserves(claim, wanted)
    return Task(found, tuple(claims), tuple(requests))


def _with_reserves(claim: Claimed, wanted: Sequence[Wanted]) -> list[Wanted]:
    found: list[Wanted] = []
    reserve = 0
    for request in reversed(wanted):
        found.insert(0, evolve(request, reserve=reserve))
        reserve += min(option.needed for option in request.options)
    if reserve > MAX_RESULTS:
        raise Unallocatable(
            f"claim {claim.name}: asks for {reserve} devices; one claim can have at most {MAX_RESULTS}, so split it"
        )
    return found


@frozen(eq=False)
class _Builder:
    candidates: tuple[Candidate, ...]
    classes: Mapping[str, DeviceClass]
    unusable: Sequence[UnusablePool]

    def wanted(self, index: int, claim: Claimed, place: int) -> Wanted:
        request = claim.spec.requests[place]
        where = f"claim {claim.name}: spec.devices.requests[{place}]"
        options = tuple(
            self._option(claim, label, alternative, f"{where}.{_step(request.exactly, number)}")
            for number, (label, alternative) in enumerate(request.alternatives)
        )
        return Wanted(index, options)

    def _option(self, claim: Claimed, label: str, request: ExactRequest, where: str) -> Option:
        device_class = self.classes.get(request.device_class_name)
        if device_class is None:
            known = ", ".join(sorted(self.classes)) or "none"
            raise InvalidDocument(
                f"{where}.deviceClassName: there is no DeviceClass {request.device_class_name!r}; there are: {known}"
            )
        if request.capacity.requests:
            raise NotSupported(f"{where}.capacity", "consumable capacity")
        verdicts = Verdicts(where, request, device_class, self.candidates)
        everything = self._everything(where, verdicts) if request.allocation_mode is AllocationMode.ALL else None
        return Option(
            label,
            request,
            verdicts,
            request.count if everything is None else len(everything),
            everything,
            tuple(constraint for constraint in claim.constraints if constraint.spec.covers(label)),
            tuple(request.tolerates(candidate.device.taints) for candidate in self.candidates),
        )

    def _everything(self, where: str, verdicts: Verdicts) -> tuple[int, ...]:
        for pool in self.unusable:
            raise Unallocatable(f"{where}: asks for all devices, but pool {pool.driver}/{pool.name}: {pool.reason}")
        return tuple(place for place in range(len(self.candidates)) if verdicts[place] == SELECTED)


def _step(exactly: ExactRequest | None, number: int) -> str:
    return "exactly" if exactly is not None else f"firstAvailable[{number}]"


def usable_places(task: Task, option: Option) -> tuple[list[int], bool]:
    """The devices an option could be given at best, and whether that can be relied on.

    It cannot where a selector fails on a device, or matches one that the search would have to refuse.
    """
    places, sound = [], True
    for place, candidate in enumerate(task.candidates):
        verdict = verdict_or_none(option.verdicts, place)
        sound = sound and verdict is not None and not (candidate.shared and verdict == SELECTED)
        free = option.request.admin_access or not candidate.in_use
        if verdict == SELECTED and free and option.tolerated[place]:
            places.append(place)
    return places, sound


def values_at(task: Task, place: int, attribute: str) -> frozenset[tuple[type, object]]:
    """The values that the device at a place has of an attribute."""
    candidate = task.candidates[place]
    return values_of(candidate.device, candidate.ref.driver, attribute)
