"""`drakit inventory`: every device on the node, as it would be published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from attrs import frozen

from drakit.cli import FINDING
from drakit.cli.nodetypes import survey_of
from drakit.cli.offline import OfflineNode, read_node
from drakit.cli.options import (
    config_option,
    node_option,
    node_type_option,
    one_source,
    output_option,
    overrides,
    root_option,
)
from drakit.cli.output import counted, line, pairs, table, tables, write
from drakit.documents import attribute_to_api, counter_set_to_api, device_to_api
from drakit.model import AttributeValue, Device, DeviceGroup, DeviceRef, ResolvedPool


@click.command()
@config_option
@root_option
@node_type_option
@node_option
@output_option("table")
def inventory(
    config: Path | None, root: Path | None, node_type: str | None, node_name: str | None, output: str
) -> None:
    """Show the devices of this node, or with --node of a node of that type, with their attributes, groups and sharing.

    Exit code 1: a plugin failed, or what they say does not fit together. What a plugin only warns of is shown too.
    """
    one_source({"--root": root, "--node": node_type})
    if node_type is not None:
        node = survey_of(node_type, config, node_name=node_name).node
    else:
        node = read_node(config, overrides(root=root, node_name=node_name))
    write(output, _document(node), lambda: _tables(node))
    if node.errors:
        raise SystemExit(FINDING)


def _document(node: OfflineNode) -> dict[str, Any]:
    return {
        "node": node.settings.node_name,
        "drivers": [
            {"driver": driver, "pools": [_pool(pool) for pool in pools]} for driver, pools in node.survey.pools.items()
        ],
        "groups": [
            {
                "attribute": group.attribute,
                "value": attribute_to_api(group.value),
                "members": sorted(map(str, group.members)),
            }
            for group in node.survey.groups
        ],
        "problems": [{"of": of, "problem": problem} for of, problem in node.errors],
        "warnings": [{"of": of, "warning": warning} for of, warning in node.warnings],
    }


def _pool(pool: ResolvedPool) -> dict[str, Any]:
    document = {
        "name": pool.name,
        "devices": [device_to_api(device, pool.shares.get(device.name)) for device in pool.devices],
        "sharedCounters": [counter_set_to_api(counters) for counters in pool.counters],
    }
    return {key: value for key, value in document.items() if value or key == "devices"}


def _tables(node: OfflineNode) -> Iterator[Any]:
    for driver, pools in node.survey.pools.items():
        for pool in pools:
            yield line(f"{driver}", f"pool {pool.name}, {counted(len(pool.devices), 'device')}")
            columns = columns_of(pool.devices)
            if columns.common:
                yield line("  all alike:", pairs({name: shown(value) for name, value in columns.common.items()}))
            if pool.devices:
                yield from tables(("DEVICE", *columns.names, *columns.extra_names), _rows(pool, columns))
    if node.survey.groups:
        yield line("Groups:", "devices that belong together; a claim's matchAttribute keeps them so")
        yield from _group_tables(node)
    if node.errors:
        yield table(("PROBLEM OF", "WHAT IS WRONG"), node.errors)
    if node.warnings:
        yield table(("WARNING OF", "WHAT IS LACKING"), node.warnings)


def _group_tables(node: OfflineNode) -> Iterator[Any]:
    """One table for each attribute."""
    place = {ref: number for number, ref in enumerate(node.survey.inventory.devices)}
    groups: dict[str, list[DeviceGroup]] = {}
    for group in node.survey.groups:
        groups.setdefault(group.attribute, []).append(group)
    for attribute, own in groups.items():
        yield line(f"  {attribute}:", counted(len(own), "group"))
        rows = [(shown(group.value), len(group.members), _members(group.members, place)) for group in own]
        yield table(("VALUE", "DEVICES", "MEMBERS"), rows)


def _members(refs: Iterable[DeviceRef], place: Mapping[DeviceRef, int]) -> str:
    """The devices of a group by driver, in the order of the inventory."""
    named: dict[str, list[str]] = {}
    for ref in sorted(refs, key=place.__getitem__):
        named.setdefault(ref.driver, []).append(ref.name)
    return "; ".join(f"{driver}: {' '.join(names)}" for driver, names in named.items())


@frozen
class Columns:
    """How the devices of one pool are shown: what is the same on all of them once, the rest in columns."""

    common: dict[str, AttributeValue]
    names: Sequence[str]
    extra_names: Sequence[str]


def columns_of(devices: Sequence[Device]) -> Columns:
    """Divide the attributes of some devices into those all have alike, and those that tell them apart."""
    names = list(dict.fromkeys(name for device in devices for name in device.attributes))
    values = {name: [device.attributes.get(name) for device in devices] for name in names}
    common = {
        name: seen[0] for name, seen in values.items() if len(devices) > 1 and all(value == seen[0] for value in seen)
    }
    extra = [
        title
        for title, present in (
            ("CAPACITY", any(device.capacity for device in devices)),
            ("TAINTS", any(device.taints for device in devices)),
            ("SHARED", True),
        )
        if present
    ]
    return Columns(
        {name: value for name, value in common.items() if value is not None},
        [name for name in names if name not in common],
        extra,
    )


def _rows(pool: ResolvedPool, columns: Columns) -> Iterator[Sequence[object]]:
    for device in pool.devices:
        extra = {
            "CAPACITY": pairs(device.capacity),
            "TAINTS": ", ".join(f"{taint.key}={taint.value}:{taint.effect}" for taint in device.taints),
            "SHARED": "yes" if device.name in pool.shares else "no",
        }
        values = [shown(device.attributes.get(name)) for name in columns.names]
        yield (device.name, *values, *(extra[name] for name in columns.extra_names))


def shown(value: AttributeValue | None) -> str:
    """An attribute's value, for people."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
