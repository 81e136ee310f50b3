"""A pod's claims made ready for planning: what each request accepts of a device, remembered per device.

Nothing here knows a node: what a selector says of a device is the same wherever a device like it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drakit.documents import claim_ref
from drakit.model import DeviceRef, Quantity
from drakit.plan.candidates import Candidate
from drakit.plan.capacity import consumption
from drakit.plan.cel import CelError, Selector, compile_selector
from drakit.plan.claims import (
    AllocationMode,
    Constraint,
    DeviceClaim,
    DeviceClass,
    ExactRequest,
    claim_name,
    read_claim,
)
from drakit.plan.constraints import Values, scalar_of, values_of
from drakit.plan.contents import Offer
from drakit.plan.errors import InvalidDocument, SelectorFailed, Unallocatable
from drakit.plan.profiles import Bug, KubeProfile

NOT_IN_CLASS, IN_CLASS, SELECTED = 0, 1, 2
"""How far a device gets with a request: not past the class's selectors, not past its own, or through."""


@frozen
class Criterion:
    """One selector: where it stands, what it says, and how far a device gets that it speaks against."""

    where: str
    expression: str
    otherwise: int


@frozen(eq=False, kw_only=True)
class Option:
    """One alternative of a request. `name` is the request's, `label` the one that results carry.

    `constraints` are the places, among the claim's, of those it is under. The `criteria` are those of alternative
    `judge`, which is another one only by Bug.LATER_ALTERNATIVES_FOR_ALL.
    """

    name: str
    label: str
    where: str
    request: ExactRequest
    device_class: DeviceClass
    constraints: tuple[int, ...]
    profile: KubeProfile
    criteria: tuple[Criterion, ...]
    judge: int = 0
    _verdicts: dict[Offer, int] = field(factory=dict, repr=False)
    _consumption: dict[Offer, Mapping[str, Quantity] | None] = field(factory=dict, repr=False)
    _compiled: list[Selector] = field(factory=list, repr=False)

    @property
    def everything(self) -> bool:
        """Whether it asks for all devices."""
        return self.request.allocation_mode is AllocationMode.ALL

    def verdict(self, candidate: Candidate) -> int:
        """How far a device gets. Selectors are compiled when a first device is looked at, as the scheduler does.

        Raises SelectorFailed.
        """
        known = self._verdicts.get(candidate.offer)
        if known is None:
            known = self._verdicts[candidate.offer] = self._ask(candidate)
        return known

    def accepts(self, candidate: Candidate) -> bool:
        """Whether class and request accept the device, and it is for the node. Raises SelectorFailed."""
        return self.verdict(candidate) == SELECTED and not candidate.far

    def _ask(self, candidate: Candidate) -> int:
        offer = candidate.offer
        if offer.conditions and not self.profile.features.binding:
            return NOT_IN_CLASS
        if self.criteria and self.profile.lists_fail and has_lists(offer):
            raise SelectorFailed(f"{self.criteria[0].where} fails on device {candidate.ref}: it has a list attribute")
        for place, criterion in enumerate(self.criteria):
            try:
                if not self.selector(place).matches_value(offer.value):
                    return criterion.otherwise
            except CelError as error:
                raise SelectorFailed(f"{criterion.where} fails on device {candidate.ref}: {error}") from error
        return SELECTED

    def selector(self, place: int) -> Selector:
        """The compiled selector of a criterion. Raises SelectorFailed."""
        while len(self._compiled) <= place:
            criterion = self.criteria[len(self._compiled)]
            try:
                self._compiled.append(compile_selector(criterion.expression, self.profile.cel_without))
            except CelError as error:
                raise SelectorFailed(f"{criterion.where} does not compile: {error}") from error
        return self._compiled[place]

    def tolerates(self, offer: Offer) -> bool:
        """Whether the device's taints leave it to this request."""
        taints = offer.device.taints
        return not taints or not self.profile.features.taints or self.request.tolerates(taints)

    def consumes(self, offer: Offer) -> Mapping[str, Quantity] | None:
        """What is consumed of the device's capacity; None where it cannot be, however much of it is left."""
        if offer not in self._consumption:
            requested = self.request.capacity.requests
            self._consumption[offer] = consumption(offer, requested, fractional=self.profile.features.fractional)
        return self._consumption[offer]

    def fits(self, candidate: Candidate, used: Mapping[str, int]) -> bool:
        """Whether there is capacity for the request beside what is used of the device."""
        offer = candidate.offer
        if not used and not offer.shared and not offer.policies and not self.request.capacity.requests:
            return True
        consumed = self.consumes(offer)
        if consumed is None:
            return False
        capacity = offer.device.capacity
        return all(used.get(name, 0) + amount.nanos <= capacity[name].nanos for name, amount in consumed.items())


@frozen(eq=False)
class Wanted:
    """One request of one claim, by the claim's place: the first of the options that can be met is taken."""

    claim: int
    name: str
    options: tuple[Option, ...]


@frozen(eq=False)
class ConstraintSpec:
    """One constraint, with the values devices have of its attribute."""

    spec: Constraint
    lists: bool
    by_device: bool
    _known: dict[Offer, Values] = field(factory=dict, repr=False)

    def values(self, candidate: Candidate) -> Values:
        """The values a device has; `by_device`, with Bug.DISTINCT_BY_DEVICE, another one each."""
        offer = candidate.offer
        found = self._known.get(offer)
        if found is None:
            if self.lists:
                found = values_of(offer.device, offer.driver, self.spec.attribute)
            else:
                found = scalar_of(offer.device, offer.driver, self.spec)
            self._known[offer] = found
        return frozenset({(DeviceRef, candidate.ref)}) if found and self.by_device else found


@frozen(eq=False)
class Claimed:
    """One claim, decoded."""

    name: str
    uid: str
    spec: DeviceClaim
    constraints: tuple[ConstraintSpec, ...]


@frozen(eq=False)
class Ask:
    """All that is to be met together, as the claims of one pod are."""

    claims: tuple[Claimed, ...]
    requests: tuple[Wanted, ...]
    classes: Mapping[str, DeviceClass]
    profile: KubeProfile


def has_lists(offer: Offer) -> bool:
    """Whether an attribute of the device is a list."""
    return any(isinstance(value, tuple) for value in offer.device.attributes.values())


def read_claims(
    documents: Sequence[Mapping[str, Any]], classes: Mapping[str, DeviceClass], profile: KubeProfile
) -> Ask:
    """Decode claims and check what can be checked without a node. Raises PlanError."""
    claims: list[Claimed] = []
    requests: list[Wanted] = []
    for index, document in enumerate(documents):
        spec = read_claim(document)
        constraints = tuple(_constraint(one, profile) for one in spec.constraints)
        claim = Claimed(claim_name(document), claim_ref(document).uid, spec, constraints)
        claims.append(claim)
        requests += (_wanted(index, claim, place, classes, profile) for place in range(len(spec.requests)))
    return Ask(tuple(claims), tuple(requests), classes, profile)


def _constraint(spec: Constraint, profile: KubeProfile) -> ConstraintSpec:
    by_device = spec.match_attribute is None and Bug.DISTINCT_BY_DEVICE in profile.bugs
    return ConstraintSpec(spec, profile.features.lists, by_device)


def _wanted(index: int, claim: Claimed, place: int, classes: Mapping[str, DeviceClass], profile: KubeProfile) -> Wanted:
    request = claim.spec.requests[place]
    where = f"claim {claim.name}: spec.devices.requests[{place}]"
    if request.first_available and not profile.features.prioritized_list:
        raise Unallocatable(f"{where}: firstAvailable needs the feature DRAPrioritizedList, which is off")
    alternatives = [alternative for _, alternative in request.alternatives]
    places = [f"{where}.{'exactly' if request.exactly else f'firstAvailable[{i}]'}" for i in range(len(alternatives))]
    criteria = []
    for inside, alternative in zip(places, alternatives, strict=True):
        _check_features(alternative, inside, profile)
        criteria.append(_criteria(alternative, inside, _class_of(alternative, inside, classes)))
    judges = list(range(len(alternatives)))
    if Bug.LATER_ALTERNATIVES_FOR_ALL in profile.bugs and _both_for_all(alternatives):
        judges[1] = 0
    options = (
        Option(
            name=request.name,
            label=label,
            where=places[number],
            request=alternative,
            device_class=classes[alternative.device_class_name],
            constraints=tuple(i for i, one in enumerate(claim.constraints) if one.spec.covers(label)),
            profile=profile,
            criteria=criteria[judges[number]],
            judge=judges[number],
        )
        for number, (label, alternative) in enumerate(request.alternatives)
    )
    return Wanted(index, request.name, tuple(options))


def _both_for_all(alternatives: Sequence[ExactRequest]) -> bool:
    """Whether the first two alternatives are for all devices."""
    return len(alternatives) > 1 and all(one.allocation_mode is AllocationMode.ALL for one in alternatives[:2])


def _check_features(request: ExactRequest, where: str, profile: KubeProfile) -> None:
    if request.admin_access and not profile.features.admin_access:
        raise Unallocatable(f"{where}.adminAccess: needs the feature DRAAdminAccess, which is off")
    if request.capacity.requests and not profile.features.consumable:
        raise Unallocatable(f"{where}.capacity: needs the feature DRAConsumableCapacity, which is off")


def _class_of(request: ExactRequest, where: str, classes: Mapping[str, DeviceClass]) -> DeviceClass:
    device_class = classes.get(request.device_class_name)
    if device_class is None:
        known = ", ".join(sorted(classes)) or "none"
        raise InvalidDocument(
            f"{where}.deviceClassName: there is no DeviceClass {request.device_class_name!r}; there are: {known}"
        )
    return device_class


def _criteria(request: ExactRequest, where: str, device_class: DeviceClass) -> tuple[Criterion, ...]:
    own = (selector.cel.expression for selector in request.selectors)
    return (
        *_numbered(f"class {device_class.name!r}", device_class.selectors, NOT_IN_CLASS),
        *_numbered(where, own, IN_CLASS),
    )


def _numbered(where: str, expressions: Iterable[str], otherwise: int) -> Iterable[Criterion]:
    return (Criterion(f"{where}: selector {i}", text, otherwise) for i, text in enumerate(expressions))
