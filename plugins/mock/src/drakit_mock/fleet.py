"""A fleet: the devices a profile stands for, one by one."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen
from drakit import (
    ALL_NODES,
    PER_DEVICE,
    THIS_NODE,
    AttributeValue,
    ContainerEdits,
    CounterConsumption,
    CounterSet,
    Device,
    DeviceNode,
    DeviceStatus,
    DRAError,
    NetworkData,
    NodeSelection,
    NodeSelector,
    PluginContext,
    Pool,
    SharePolicy,
    pci_attributes,
)
from drakit.errors import ConfigError

from drakit_mock.environment import check_names
from drakit_mock.functions import function_variables, matching_functions
from drakit_mock.grouping import check_group_set
from drakit_mock.profile import Container, DeviceSet, GroupSet, MockProfile, Network, Node, Report, Status
from drakit_mock.template import Variables, attribute_value, fill, fill_deeply, fill_mapping, repetitions


@frozen
class MockDevice:
    """One device, how it is shared, what its containers get, and those besides whose claim has admin access."""

    device: Device
    share: SharePolicy | None
    edits: ContainerEdits
    admin: ContainerEdits
    status: DeviceStatus | None


@frozen
class Fleet:
    """Everything a profile declares, by device name, in the order it is published."""

    devices: Mapping[str, MockDevice]
    pool: Pool
    groups: Sequence[GroupSet]
    health: Mapping[str, Report]


def build_fleet(profile: MockProfile, where: str, context: PluginContext) -> Fleet:
    """Repeat and fill everything in a profile, with what the node has of PCI functions where it goes by them.

    Raises ConfigError with `where` and the entry that is wrong.
    """
    counters: list[CounterSet] = []
    for index, sets in enumerate(profile.counters):
        with _at(f"{where}: counters[{index}]"):
            counters += [
                CounterSet(fill(sets.name, variables), sets.counters)
                for variables in repetitions(sets.count, sets.for_each)
            ]
    devices: list[MockDevice] = []
    for index, device_set in enumerate(profile.devices):
        with _at(f"{where}: devices[{index}]"):
            devices += [_device(device_set, *row) for row in _rows(device_set, context)]
    with _at(where):
        nodes = PER_DEVICE if any(item.device.nodes is not None for item in devices) else THIS_NODE
        pool = Pool([item.device for item in devices], counters=counters, nodes=nodes)
        by_name = {item.device.name: item for item in devices}
        _check_references(profile, by_name)
    for index, group_set in enumerate(profile.groups):
        with _at(f"{where}: groups[{index}]"):
            check_group_set(group_set)
    return Fleet(by_name, pool, profile.groups, profile.health)


@contextlib.contextmanager
def _at(where: str) -> Iterator[None]:
    """Say where in the profile a limit of the API or a template was violated."""
    try:
        yield
    except (DRAError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None


def _rows(device_set: DeviceSet, context: PluginContext) -> Iterator[tuple[Variables, Mapping[str, AttributeValue]]]:
    """The variables of each device, and the attributes that it has beside those of the profile."""
    if device_set.functions is None:
        yield from ((variables, {}) for variables in repetitions(device_set.count, device_set.for_each))
        return
    for address in matching_functions(context, device_set.functions):
        yield function_variables(address), pci_attributes(context, address)


def _device(device_set: DeviceSet, variables: Variables, found: Mapping[str, AttributeValue]) -> MockDevice:
    own = {name: attribute_value(value, variables) for name, value in device_set.attributes.items()}
    device = Device(
        name=fill(device_set.name, variables),
        attributes={**found, **own},
        capacity=device_set.capacity,
        taints=device_set.taints,
        consumes=[
            CounterConsumption(fill(consumption.counter_set, variables), consumption.counters)
            for consumption in device_set.consumes
        ],
        binding=device_set.binding,
        nodes=_nodes(device_set),
    )
    return MockDevice(
        device,
        _share(device_set, device),
        _edits(device_set.container, variables),
        _edits(device_set.admin, variables),
        None if device_set.status is None else _status(device_set.status, variables),
    )


def _nodes(device_set: DeviceSet) -> NodeSelection | None:
    if device_set.nodes is None:
        return None
    return NodeSelector(device_set.nodes) if device_set.nodes else ALL_NODES


def _status(status: Status, variables: Variables) -> DeviceStatus:
    return DeviceStatus(
        data=fill_deeply(status.data, variables),
        conditions=status.conditions,
        network=None if status.network is None else _network(status.network, variables),
    )


def _network(network: Network, variables: Variables) -> NetworkData:
    return NetworkData(
        interface_name=fill(network.interface_name, variables),
        ips=[fill(address, variables) for address in network.ips],
        hardware_address=fill(network.hardware_address, variables),
    )


def _share(device_set: DeviceSet, device: Device) -> SharePolicy | None:
    if device_set.share is None:
        return None
    for name, policy in device_set.share.items():
        if name not in device.capacity:
            raise ConfigError(f"share names the capacity {name!r}, which the device does not have")
        policy.check_capacity(name, device.capacity[name])
    return SharePolicy(device_set.share)


def _edits(container: Container, variables: Variables) -> ContainerEdits:
    env = fill_mapping(container.env, variables)
    check_names(env)
    return ContainerEdits(env=env, device_nodes=[_node(node, variables) for node in container.device_nodes])


def _node(node: Node, variables: Variables) -> DeviceNode:
    path, host_path = fill(node.path, variables), node.host_path and fill(node.host_path, variables)
    for given in (path, host_path):
        if given is not None and not given.startswith("/"):
            raise ConfigError(f"a device node's path must be absolute, not {given!r}")
    if not node.permissions or set(node.permissions) - set("rwm"):
        raise ConfigError(f"a device node's permissions are some of r, w and m, not {node.permissions!r}")
    return DeviceNode(path, host_path, node.permissions)


def _check_references(profile: MockProfile, devices: Mapping[str, MockDevice]) -> None:
    named = [("health", name) for name in profile.health]
    for group in profile.groups:
        members = [name for names in group.members or () for name in names]
        named += [(f"group {group.attribute!r}", name) for name in members]
        twice = [name for name, times in Counter(members).items() if times > 1]
        if twice:
            raise ConfigError(f"group {group.attribute!r} has device {twice[0]!r} twice; a device has one value of it")
    for place, name in named:
        if name not in devices:
            raise ConfigError(f"{place} names device {name!r}, which the profile does not have")
