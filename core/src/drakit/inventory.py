"""The node's inventory: what every backend discovered, with what every plugin adds. Pure.

A round goes discover -> attributes -> share -> devicegroups. Whoever runs it asks the hooks and hands the answers to
the functions here, in that order. What does not fit together is refused and becomes a Problem of the driver it
concerns; that driver keeps its last good pools, so that one bad answer takes no device away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

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
from drakit.model.device import plain

PCI_BUS_ID = "resource.kubernetes.io/pciBusID"


@frozen
class Problem:
    """Something that was refused, and the driver that keeps its last good pools for it."""

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
    shares: Mapping[DeviceRef, SharePolicy] = field(factory=dict)
    groups: tuple[DeviceGroup, ...] = ()
    problems: tuple[Problem, ...] = ()
    givers: Mapping[tuple[DeviceRef, str], str] = field(factory=dict)
    """By device and full attribute name, the plugin that gave it, where the device's own driver did not."""


def begin(node: str, found: Mapping[str, Sequence[Pool]]) -> Round:
    """Start from what each driver discovered. Drivers come in the order in which they are trusted.

    A device whose PCI address an earlier driver has already published is DuplicateDevice: one piece of hardware in
    two drivers would be allocated twice. The later driver is refused as a whole.
    """
    devices: dict[DeviceRef, Device] = {}
    owners: dict[AttributeValue, DeviceRef] = {}
    problems: list[Problem] = []
    accepted: dict[str, Sequence[Pool]] = {}
    for driver, pools in found.items():
        names = Counter(pool.name or node for pool in pools)
        if twice := [name for name, times in names.items() if times > 1]:
            same = DuplicateDevice(f"driver {driver} has pool {twice[0]!r} twice: by its name, and as the node's own")
            problems.append(Problem(driver, same))
            continue
        own = {DeviceRef(driver, pool.name or node, d.name): d for pool in pools for d in pool.devices}
        addresses = {ref: address for ref, d in own.items() if (address := d.attributes.get(PCI_BUS_ID)) is not None}
        clash = next((ref for ref, address in addresses.items() if address in owners), None)
        if clash is not None:
            other = owners[addresses[clash]]
            problem = DuplicateDevice(
                f"{clash} and {other} are both the PCI function {addresses[clash]}; let one driver publish it: "
                f"disable one of them, or select disjoint devices by their options"
            )
            problems.append(Problem(driver, problem))
            continue
        owners |= {address: ref for ref, address in addresses.items()}
        devices |= own
        accepted[driver] = pools
    return Round(node, accepted, Inventory(devices), problems=tuple(problems))


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
    """Put the pools together, devices ordered by group rank. A driver with a problem keeps what `last` has of it.

    What it keeps is without hardware that another driver publishes by now: that would be allocated twice.
    """
    pools: dict[str, tuple[ResolvedPool, ...]] = {}
    problems = list(current.problems)
    rank = _ranks(current.groups)
    for driver, found in current.found.items():
        try:
            pools[driver] = tuple(_resolve(current, driver, pool, rank, taints or {}) for pool in found)
        except LimitExceeded as error:  # what health adds may be too much
            problems.append(Problem(driver, error))
    devices = dict(current.inventory.devices)
    for driver in {problem.driver for problem in problems}:
        if last is not None and driver in last.pools:
            devices = {ref: device for ref, device in devices.items() if ref.driver != driver}
            taken = {address for device in devices.values() if (address := device.attributes.get(PCI_BUS_ID))}
            pools[driver] = tuple(_without(pool, taken) for pool in last.pools[driver])
            devices |= {ref: d for ref, d in last.inventory.of(driver) if d.attributes.get(PCI_BUS_ID) not in taken}
    return Survey(Inventory(devices), pools, current.groups, tuple(problems))


def _without(pool: ResolvedPool, taken: Collection[AttributeValue]) -> ResolvedPool:
    return evolve(pool, devices=tuple(d for d in pool.devices if d.attributes.get(PCI_BUS_ID) not in taken))


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
    current: Round,
    driver: str,
    pool: Pool,
    rank: Mapping[DeviceRef, tuple[tuple[int, int], ...]],
    taints: Mapping[DeviceRef, Sequence[Taint]],
) -> ResolvedPool:
    name = pool.name or current.node
    refs = [DeviceRef(driver, name, device.name) for device in pool.devices]
    unranked = ((2, 0),)
    refs.sort(key=lambda ref: rank.get(ref, unranked))  # stable: discovery's order decides among equals
    devices = []
    for ref in refs:
        device = current.inventory[ref]
        extra = tuple(taint for taint in taints.get(ref, ()) if taint not in device.taints)
        devices.append(evolve(device, taints=device.taints + extra) if extra else device)
    return ResolvedPool(
        driver=driver,
        name=name,
        devices=tuple(devices),
        shares={ref.name: current.shares[ref] for ref in refs if ref in current.shares},
        counters=pool.counters,
        nodes=pool.nodes,
    )
