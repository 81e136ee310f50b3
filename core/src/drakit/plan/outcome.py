"""The planner's answers: an allocation, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drakit.model import DeviceRef, Quantity, Toleration
from drakit.plan.claims import DeviceClaim, DeviceClass, DeviceConfig, ExactRequest


@frozen(kw_only=True)
class AllocationResult:
    """One device for one request; `request` is `name/alternative` where a prioritized list was used.

    A share of a device has an id: the scheduler's is random, the planner's is made of the claim and the place in it.
    """

    request: str
    device: DeviceRef
    admin_access: bool = False
    tolerations: tuple[Toleration, ...] = ()
    conditions: tuple[str, ...] = ()
    failure_conditions: tuple[str, ...] = ()
    share_id: str | None = None
    consumed: Mapping[str, Quantity] = field(factory=dict)

    def to_api(self) -> dict[str, Any]:
        """The entry of `devices.results`."""
        document: dict[str, Any] = {
            "request": self.request,
            "driver": self.device.driver,
            "pool": self.device.pool,
            "device": self.device.name,
        }
        if self.admin_access:
            document["adminAccess"] = True
        if self.tolerations:
            document["tolerations"] = [toleration.to_api() for toleration in self.tolerations]
        if self.conditions:
            document["bindingConditions"] = list(self.conditions)
        if self.failure_conditions:
            document["bindingFailureConditions"] = list(self.failure_conditions)
        if self.share_id is not None:
            document["shareID"] = self.share_id
        if self.consumed:
            document["consumedCapacity"] = {name: str(amount) for name, amount in self.consumed.items()}
        return document


@frozen(kw_only=True)
class Allocation:
    """What one claim is given on one node."""

    results: tuple[AllocationResult, ...]
    config: tuple[Mapping[str, Any], ...] = ()
    node_selector: Mapping[str, Any] | None = None

    def to_api(self) -> dict[str, Any]:
        """The `status.allocation` document, as the scheduler writes it."""
        devices: dict[str, Any] = {"results": [result.to_api() for result in self.results]}
        if self.config:
            devices["config"] = [dict(entry) for entry in self.config]
        document: dict[str, Any] = {"devices": devices}
        if self.node_selector is not None:
            document["nodeSelector"] = dict(self.node_selector)
        return document


def merged_config(
    claim: DeviceClaim,
    used: Sequence[tuple[str, ExactRequest]],
    classes: Mapping[str, DeviceClass],
    *,
    empties_requests: bool,
) -> tuple[Mapping[str, Any], ...]:
    """The `devices.config` of an allocation: the classes' entries for what they served, then the claim's own.

    `used` are the names, as results carry them, of the requests that were met, in order, with what was met. With
    `empties_requests` an entry that is for all of them names none.
    """
    by_class: dict[str, list[str]] = {}
    for name, request in used:
        names = by_class.setdefault(request.device_class_name, [])
        if name not in names:
            names.append(name)
    if not claim.config and not any(classes[class_name].config for class_name in by_class):
        return ()

    def written(config: DeviceConfig, source: str, requests: Sequence[str]) -> dict[str, Any]:
        covers = all(name in requests or name.partition("/")[0] in requests for name, _ in used)
        return config.to_api(source, () if empties_requests and covers else requests)

    entries = [
        written(config, "FromClass", names)
        for class_name, names in by_class.items()
        for config in classes[class_name].config
    ]
    met = {name for name, _ in used} | {name.partition("/")[0] for name, _ in used}
    applying = [config for config in claim.config if not config.requests or met & set(config.requests)]
    return (*entries, *(written(config, "FromClaim", config.requests) for config in applying))


@frozen(kw_only=True)
class Funnel:
    """How many devices of the node are left for one request after each question. Each count includes the later ones.

    `lost` are those that match the selectors and are not usable, by what keeps them from it.
    """

    claim: str
    request: str
    device_class: str
    needed: int | None
    seen: int
    in_class: int
    selected: int
    usable: int
    lost: Mapping[str, int] = field(factory=dict)
    failed: int = 0

    @property
    def short(self) -> bool:
        """Whether there are too few devices for this request alone."""
        return self.usable < (1 if self.needed is None else self.needed) or (
            self.needed is None and self.usable < self.selected
        )

    def __str__(self) -> str:
        wanted = "all" if self.needed is None else str(self.needed)
        devices = "device" if self.seen == 1 else "devices"
        counts = f"{self.seen} {devices} on the node, {self.in_class} of class {self.device_class!r}"
        failed = f", {self.failed} on which a selector fails" if self.failed else ""
        lost = "; ".join(f"{count} {why}" for why, count in self.lost.items())
        return (
            f"request {self.request!r} needs {wanted}: {counts}, {self.selected} "
            f"{'matches' if self.selected == 1 else 'match'} its selectors, "
            f"{self.usable} of them usable{f' ({lost})' if lost else ''}{failed}"
        )


@frozen(kw_only=True)
class ConstraintTable:
    """For one matchAttribute: how many usable devices each request has per value, and how many it needs."""

    claim: str
    attribute: str
    needed: Mapping[str, int]
    usable: Mapping[str, Mapping[str, int]]
    """Value, then request, to a count."""

    def __str__(self) -> str:
        requests = ", ".join(f"{name!r} needs {count}" for name, count in self.needed.items())
        rows = [
            f"{value}: {' + '.join(str(counts.get(name, 0)) for name in self.needed)}"
            for value, counts in sorted(self.usable.items())
        ]
        values = ("; usable devices per value: " + ", ".join(_first(rows, 16))) if rows else "; no usable device has it"
        return f"no value of {self.attribute} suits every request ({requests}{values})"


@frozen(kw_only=True)
class DistinctTable:
    """For one distinctAttribute: how many devices each request needs, and how many values the usable ones have."""

    claim: str
    attribute: str
    needed: Mapping[str, int]
    values: int

    def __str__(self) -> str:
        requests = ", ".join(f"{name!r} needs {count}" for name, count in self.needed.items())
        wanted = f"each device must have another value of {self.attribute} ({requests})"
        return f"{wanted}, and the usable ones have {self.values}"


@frozen(kw_only=True)
class Unsatisfied:
    """No devices of the node meet the claims. `str()` says why, in a sentence or two."""

    node: str
    funnels: tuple[Funnel, ...] = field(repr=False)
    constraints: tuple[ConstraintTable | DistinctTable, ...] = field(default=(), repr=False)
    """Those that cannot be met by themselves."""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        reasons: list[object] = [funnel for funnel in self.funnels if funnel.short] or [*self.constraints]
        if not reasons:
            several = len({(one.claim, one.request.partition("/")[0]) for one in self.funnels}) > 1
            alone = "each request could be met alone, but not all together"
            reasons = [*self.funnels, alone if several else "there are enough, but they do not go together"]
        return f"node {self.node!r} cannot serve: " + ". ".join(str(reason) for reason in [*reasons, *self.notes])


def _first(items: Iterable[str], count: int) -> list[str]:
    listed = list(items)
    return listed if len(listed) <= count else [*listed[:count], f"and {len(listed) - count} more"]
