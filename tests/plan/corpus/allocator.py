"""Cases of the allocator: each says what one or more of upstream's allocators answered, with or without the known bugs.

A `fixed` answer is that of the experimental allocator of 1.36 without its bugs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from attrs import evolve
from drakit.model import DeviceRef, Quantity
from drakit.plan import (
    Allocated,
    Allocator,
    AllocatorKind,
    DeviceClass,
    Features,
    InvalidDocument,
    KubeProfile,
    NodeView,
    PlanError,
    Unsatisfied,
    kube_profile,
    read_slices,
)

from tests.plan.corpus.names import made_valid

FEATURES = {
    "AdminAccess": "admin_access",
    "PrioritizedList": "prioritized_list",
    "PartitionableDevices": "partitionable",
    "DeviceTaints": "taints",
    "DeviceBindingAndStatus": "binding",
    "ConsumableCapacity": "consumable",
    "FractionalCapacityRange": "fractional",
    "ListTypeAttributes": "lists",
}

DIFFERENT = {
    "list-attributes-match-constaint-list-of-string-values-without-common-elements": (
        "two requests of one name: the API server refuses the claim, and so does the planner"
    ),
}
"""Cases whose recorded answer is not ours, by name, and why. Ours is an InvalidDocument in all of them."""


def profile_of(case: dict[str, Any], allocator: str, source: str) -> KubeProfile:
    """What answered: an allocator of the release that the file names, 1.36.2 unless it names a later one."""
    features = Features(**{ours: bool(case["FeatureBits"].get(theirs)) for theirs, ours in FEATURES.items()})
    kind = AllocatorKind.EXPERIMENTAL if allocator == "fixed" else AllocatorKind(allocator)
    bugs = "fixed" if allocator == "fixed" else "as-is"
    if "0.37." in source:
        return kube_profile("1.37", bugs=bugs, features=features, allocator=kind)
    profile = kube_profile("1.36.2", bugs=bugs, features=features, allocator=kind)
    if "master-2026" in source:  # on the way to 1.37: configurations as there, bugs and capacity as in 1.36
        later = kube_profile("1.37", features=features, allocator=kind)
        profile = evolve(profile, empties_requests=True, lists_fail=False, counters_reach=later.counters_reach)
    return profile


Answer = list[dict[str, Any]] | None | PlanError
"""The results as documents, None for no fit, or an error."""


def answers(case: dict[str, Any], profile: KubeProfile) -> Iterator[Answer]:
    """Our answer, or all of them where the version takes pools in random order."""
    documents = case["Slices"] or []
    pools = dict.fromkeys(_pool(document) for document in documents)
    orders = [tuple(pools)] if profile.ordered else itertools.islice(itertools.permutations(pools), 720)
    for order in orders:
        try:
            yield answer(case, profile, sorted(documents, key=lambda document: order.index(_pool(document))))
        except PlanError as error:
            yield error


def _pool(document: dict[str, Any]) -> tuple[str, str]:
    return document["spec"]["driver"], document["spec"]["pool"]["name"]


def answer(case: dict[str, Any], profile: KubeProfile, slices: list[Any]) -> list[dict[str, Any]] | None:
    """The results as documents, None for no fit. Raises PlanError."""
    metadata = case["Node"]["metadata"]
    node = NodeView(metadata["name"], metadata.get("labels") or {})
    allocator = Allocator(read_slices(slices), classes_of(case), allocated_of(case), profile=profile)
    outcome = allocator.allocate_all(case["Claims"] or [], node)
    if isinstance(outcome, Unsatisfied):
        assert str(outcome)
        return None
    return [_without_ids(allocation.to_api()) for allocation in outcome]


def classes_of(case: dict[str, Any]) -> dict[str, DeviceClass]:
    return {one.name: one for one in map(DeviceClass.from_document, case["Classes"] or ())}


def allocated_of(case: dict[str, Any]) -> Allocated:
    return Allocated(
        devices=[DeviceRef(*text.split("/")) for text in case.get("AllocatedDevices") or ()],
        shares=[DeviceRef(*text.split("/")[:3]) for text in case.get("SharedDeviceIDs") or ()],
        consumed={
            DeviceRef(*text.split("/")): {name: Quantity(amount).nanos for name, amount in amounts.items()}
            for text, amounts in (case.get("Aggregated") or {}).items()
        },
    )


def _without_ids(allocation: dict[str, Any]) -> dict[str, Any]:
    """Ids of shares are random in what was recorded: only that there is one can be compared."""
    for result in allocation["devices"].get("results") or ():
        if "shareID" in result:
            result["shareID"] = "some"
    return allocation


def shortened(results: list[dict[str, Any]]) -> list[list[str]]:
    """`request=driver/pool/device`, as most of the random cases are recorded."""
    return [
        ["{request}={driver}/{pool}/{device}".format(**entry) for entry in result["devices"]["results"]]
        for result in results
    ]


def _recorded(golden: Any) -> tuple[bool, list[Any] | None]:
    """Whether an error was recorded, and the results."""
    if isinstance(golden, dict):
        return bool(golden["Error"]), golden["Results"] or None
    return False, golden or None


def difference(case: dict[str, Any], source: str = "") -> str | None:
    """What differs from the record, if anything does."""
    case = made_valid(case)
    found = []
    for allocator, golden in case["Golden"].items():
        ours = list(answers(case, profile_of(case, allocator, source)))
        if not any(_same(one, golden) for one in ours) and not _excepted(case["Name"], ours):
            found.append(f"{allocator}: {'; or '.join(map(_shown, ours))}; recorded {golden}")
    return "; ".join(found) or None


def _same(ours: Answer, golden: Any) -> bool:
    error, results = _recorded(golden)
    if error or isinstance(ours, PlanError):
        return error and isinstance(ours, PlanError)
    if results and isinstance(results[0], list):
        return ours is not None and shortened(ours) == results
    return (ours or None) == (results and [_without_ids(result) for result in results])


def _excepted(name: str, ours: list[Answer]) -> bool:
    return name in DIFFERENT and all(isinstance(one, InvalidDocument) for one in ours)


def _shown(ours: Answer) -> str:
    return f"error {ours}" if isinstance(ours, PlanError) else str(ours)
