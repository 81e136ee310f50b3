"""The node's inventory: what every backend discovered, with what every plugin adds. Pure.

A round goes discover -> attributes -> share -> devicegroups. Whoever runs it asks the hooks and hands the answers to
the functions here, in that order. What does not fit together is refused and becomes a Problem of the driver it
concerns, in every round in which it is so. An attribute, a group or a taint that is refused is left out, and what else
the driver has is published as it is now. Only a driver whose discovery is refused as a whole keeps its last good pools.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, field, frozen

from drakit.errors import AttributeConflict, DRAError, DuplicateDevice, LimitExceeded, shorten
from drakit.model import (
    AttributeValue,
    Device,
    DeviceGroup,
    DeviceRef,
    Inventory,
    Pool,
    ResolvedPool,
    SharePolicy,
    Taint,
)
from drakit.model.device import MAX_TAINTS, plain

PCI_BUS_ID = "resource.kubernetes.io/pciBusID"


@frozen
class Problem:
    """Something that was refused, and the driver it was meant for."""

    driver: str
    error: DRAError


@frozen
class Survey:
    """The result of one round over the whole node."""

    inventory: Inventory = field(factory=Inventory)
    pools: Mapping[str, tuple[ResolvedPool, ...]] = field(factory=dict)
    """By driver, what is to be published."""
    groups: tuple[DeviceGroup, ...] = ()
    """The groups that were stamped."""
    problems: tuple[Problem, ...] = ()
    """What was refused in this round."""
    failures: Mapping[str, DRAError] = field(factory=dict)
    """By plugin instance, why its answer is not in this round; its last good one is."""
    good: Mapping[str, tuple[ResolvedPool, ...]] = field(factory=dict)
    """By driver, its pools of the last round in which its discovery was accepted, without the taints of health."""

    def trouble(self, driver: str) -> str:
        """What is wrong with a driver in this round, for people."""
        errors = [problem.error for problem in self.problems if problem.driver == driver]
        if driver in self.failures:
            errors.append(self.failures[driver])
        return "; ".join(map(str, errors)) or "its plugin has not answered yet"


@frozen
class Round:
    """A round under way: each step returns the next one."""

    node: str
    found: Mapping[str, Sequence[Pool]]
    inventory: Inventory
    refused: Mapping[str, Mapping[DeviceRef, Device]] = field(factory=dict)
    """By driver whose discovery was refused, the devices it had."""
    shares: Mapping[DeviceRef, SharePolicy] = field(factory=dict)
    groups: tuple[DeviceGroup, ...] = ()
    problems: tuple[Problem, ...] = ()
    givers: Mapping[tuple[DeviceRef, str], str] = field(factory=dict)
    """By device and full attribute name, the plugin that gave it, where the device's own driver did not."""


def begin(node: str, found: Mapping[str, Sequence[Pool]]) -> Round:
    """Start from what each driver discovered. Drivers come in the order in which they are trusted.

    A device whose PCI address an earlier driver has already published is DuplicateDevice: one piece of hardware in
    two drivers would be allocated twice. So is a pool given twice. The later driver is refused as a whole.
    """
    devices: dict[DeviceRef, Device] = {}
    problems: list[Problem] = []
    accepted: dict[str, Sequence[Pool]] = {}
    refused: dict[str, Mapping[DeviceRef, Device]] = {}
    for driver, pools in found.items():
        own = {DeviceRef(driver, pool.name or node, d.name): d for pool in pools for d in pool.devices}
        problem = _pool_given_twice(node, driver, pools) or _published_already(own, devices)
        if problem is not None:
            problems.append(Problem(driver, problem))
            refused[driver] = own
            continue
        devices |= own
        accepted[driver] = pools
    return Round(node, accepted, Inventory(devices), refused=refused, problems=tuple(problems))


def _pool_given_twice(node: str, driver: str, pools: Sequence[Pool]) -> DuplicateDevice | None:
    names = Counter(pool.name or node for pool in pools)
    twice = next((name for name, times in names.items() if times > 1), None)
    if twice is None:
        return None
    return DuplicateDevice(f"driver {driver} has pool {twice!r} twice: by its name, and as the node's own")


def _published_already(own: Mapping[DeviceRef, Device], earlier: Mapping[DeviceRef, Device]) -> DuplicateDevice | None:
    owners = {address: ref for ref, d in earlier.items() if (address := d.attributes.get(PCI_BUS_ID)) is not None}
    for ref, device in own.items():
        address = device.attributes.get(PCI_BUS_ID)
        if address in owners:
            return DuplicateDevice(
                f"{ref} and {owners[address]} are both the PCI function {address}; let one driver publish it: "
                f"disable one of them, or select disjoint devices by their options"
            )
    return None


def with_attributes(current: Round, said: Mapping[str, Mapping[DeviceRef, Mapping[str, AttributeValue]]]) -> Round:
    """Merge what plugins say of devices. `said` is by plugin instance.

    A value that differs from one given before is an AttributeConflict naming both sides; the first value stays. An
    answer may be older than the inventory: devices that are gone are passed over.
    """
    devices = dict(current.inventory.devices)
    problems: list[Problem] = []
    givers = dict(current.givers)
    for plugin, answers in said.items():
        for ref, attributes in answers.items():
            for name, value in attributes.items() if ref in devices else ():
                key = (ref, qualified(name, ref.driver))
                problem = _merge(devices, ref, name, value, (givers.get(key), plugin))
                if problem is None:
                    givers.setdefault(key, plugin)
                else:
                    problems.append(problem)
    return evolve(current, inventory=Inventory(devices), problems=(*current.problems, *problems), givers=givers)


def with_shares(current: Round, shares: Mapping[DeviceRef, SharePolicy]) -> Round:
    """Note which devices may be shared."""
    return evolve(current, shares=dict(shares))


def with_groups(current: Round, said: Mapping[str, Sequence[DeviceGroup]]) -> Round:
    """Stamp the value of each group on all its members, of whatever driver. `said` is by plugin instance.

    A group is stamped on every member or on none: half a group would place devices that do not belong together. An
    answer may be older than the inventory: members that are gone are passed over.
    """
    devices = dict(current.inventory.devices)
    problems: list[Problem] = []
    stamped: list[DeviceGroup] = []
    givers = dict(current.givers)
    for plugin, groups in said.items():
        for group in groups:
            trial: dict[DeviceRef, Device] = {ref: devices[ref] for ref in sorted(group.members) if ref in devices}
            failed = [
                problem
                for ref in list(trial)
                if (
                    problem := _merge(
                        trial, ref, group.attribute, group.value, (givers.get((ref, group.attribute)), plugin)
                    )
                )
            ]
            problems += failed
            if failed:
                continue
            devices |= trial
            stamped.append(group)
            for ref in group.members:
                givers.setdefault((ref, group.attribute), plugin)
    return evolve(
        current,
        inventory=Inventory(devices),
        groups=(*current.groups, *stamped),
        problems=(*current.problems, *problems),
    )


def finish(
    current: Round, last: Survey | None = None, taints: Mapping[DeviceRef, Sequence[Taint]] | None = None
) -> Survey:
    """Put the pools together, devices ordered by group rank, with the taints that health asks for.

    A driver whose discovery was refused keeps its last good pools, as far as the refused answer still has their
    devices and no other driver publishes the hardware by now; the taints on them are current, and nothing is new.
    """
    rank = _ranks(current.groups)
    pools = {
        driver: tuple(_resolve(current, driver, pool, rank) for pool in found)
        for driver, found in current.found.items()
    }
    good = (dict(last.good) if last is not None else {}) | pools
    devices = dict(current.inventory.devices)
    for driver, seen in current.refused.items():
        if driver in good:
            pools[driver] = _still_there(good[driver], seen, devices)
            devices |= {DeviceRef(driver, pool.name, d.name): d for pool in pools[driver] for d in pool.devices}
    problems = list(current.problems)
    tainted = {driver: tuple(_tainted(pool, taints or {}, problems) for pool in own) for driver, own in pools.items()}
    return Survey(Inventory(devices), tainted, current.groups, tuple(problems), good=good)


def _still_there(
    pools: Sequence[ResolvedPool], seen: Mapping[DeviceRef, Device], published: Mapping[DeviceRef, Device]
) -> tuple[ResolvedPool, ...]:
    """The pools without devices that are not seen any more, or whose hardware is published already."""
    taken = {address for d in published.values() if (address := d.attributes.get(PCI_BUS_ID)) is not None}
    there = {ref for ref, device in seen.items() if device.attributes.get(PCI_BUS_ID) not in taken}
    return tuple(
        evolve(pool, devices=tuple(d for d in pool.devices if DeviceRef(pool.driver, pool.name, d.name) in there))
        for pool in pools
    )


def _tainted(pool: ResolvedPool, taints: Mapping[DeviceRef, Sequence[Taint]], problems: list[Problem]) -> ResolvedPool:
    """The pool with taints added to its devices. One with too many gets those that fit, and is a problem."""
    devices = []
    for device in pool.devices:
        every = tuple(dict.fromkeys((*device.taints, *taints.get(DeviceRef(pool.driver, pool.name, device.name), ()))))
        try:
            devices.append(device if every == device.taints else evolve(device, taints=every))
        except LimitExceeded as error:
            problems.append(Problem(pool.driver, error))
            devices.append(evolve(device, taints=every[:MAX_TAINTS]))
    return evolve(pool, devices=tuple(devices))


def qualified(name: str, driver: str) -> str:
    """The full name of an attribute: one without a domain is in the driver's."""
    return name if "/" in name else f"{driver}/{name}"


def _merge(
    devices: dict[DeviceRef, Device],
    ref: DeviceRef,
    name: str,
    value: AttributeValue,
    givers: tuple[str | None, str],
) -> Problem | None:
    """Give a device one attribute; the problem, if it cannot have it."""
    device = devices[ref]
    spelled = next((n for n in (name, *_aliases(name, ref.driver)) if n in device.attributes), None)
    if spelled is not None:
        present, value = device.attributes[spelled], plain(value)
        if present == value and type(present) is type(value):
            return None
        first = f"plugin {givers[0]!r}" if givers[0] else "its own driver"
        return Problem(
            ref.driver,
            AttributeConflict(
                f"{ref}: attribute {qualified(name, ref.driver)!r} is {shorten(present)} by {first} and "
                f"{shorten(value)} by plugin {givers[1]!r}; make them agree, or disable one"
            ),
        )
    try:
        devices[ref] = device.with_attributes({name: value})
    except LimitExceeded as error:
        return Problem(ref.driver, error)
    return None


def _aliases(name: str, driver: str) -> Iterable[str]:
    """The other spelling of an attribute in the driver's own domain."""
    domain, slash, bare = name.rpartition("/")
    if not slash:
        return (f"{driver}/{name}",)
    return (bare,) if domain == driver else ()


def _ranks(groups: Sequence[DeviceGroup]) -> Mapping[DeviceRef, tuple[tuple[int, int], ...]]:
    """Sort keys of devices: the rank in each attribute's groups, attributes with the largest groups first."""
    size: dict[str, int] = {}
    for group in groups:
        size[group.attribute] = max(size.get(group.attribute, 0), len(group.members))
    order = sorted(size, key=lambda attribute: (-size[attribute], attribute))
    place: dict[DeviceRef, dict[str, int]] = {}
    for group in groups:
        for ref in group.members:
            place.setdefault(ref, {})[group.attribute] = group.rank
    # A device outside every group of an attribute comes after those in one.
    return {
        ref: tuple((0, ranks[attribute]) if attribute in ranks else (1, 0) for attribute in order)
        for ref, ranks in place.items()
    }


def _resolve(
    current: Round, driver: str, pool: Pool, rank: Mapping[DeviceRef, tuple[tuple[int, int], ...]]
) -> ResolvedPool:
    name = pool.name or current.node
    refs = [DeviceRef(driver, name, device.name) for device in pool.devices]
    unranked = ((2, 0),)
    refs.sort(key=lambda ref: rank.get(ref, unranked))  # stable: discovery's order decides among equals
    return ResolvedPool(
        driver=driver,
        name=name,
        devices=tuple(current.inventory[ref] for ref in refs),
        shares={ref.name: current.shares[ref] for ref in refs if ref in current.shares},
        counters=pool.counters,
        nodes=pool.nodes,
    )
