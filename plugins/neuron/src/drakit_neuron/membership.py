"""The node's place in an UltraServer, and the labels that say so on the Node object.

An UltraServer is several instances whose devices are linked. The kernel module tells by files beside the devices'
directories: by number of nodes of a job on Trn2 (`server_id_4`, `node_id_4`), alike for all numbers on Trn3
(`reservation_id`, `node_id`). While the nodes find out who is linked to whom it says `busy`.

The labels are those of AWS's device plugin for Neuron, which is not there where a DRA driver is. LeaderWorkerSet's
exclusive topology and pod affinity are set up by them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from attrs import frozen
from drakit import PluginContext

from drakit_neuron.sysfs import CLASS, Unreadable, read_text

MODE_LABEL = "neuron.amazonaws.com/ultraserver-mode"
SIZES = (2, 4)
"""The numbers of nodes, above one, that a job can run over."""
SERVER_LABELS = {size: f"neuron.amazonaws.com/ultraserver-server-id-{size}" for size in SIZES}
NODE_LABELS = {size: f"neuron.amazonaws.com/ultraserver-node-id-{size}" for size in SIZES}
LABELS = (MODE_LABEL, *SERVER_LABELS.values(), *NODE_LABELS.values())

_NODES_OF_MODE = {1: 4, 2: 2, 3: 2, 4: 1}
"""How many nodes work together, by the kernel module's number for the mode."""
BUSY = "busy"
NO_SERVER = "0000000000000000"
_ID = re.compile(r"[0-9A-Za-z]{1,32}", re.ASCII)
_NODE = re.compile(r"[0-9]{1,3}", re.ASCII)


@frozen(kw_only=True)
class Membership:
    """By number of nodes of a job: the id of the group of nodes, and the number of this node in it.

    `sizes`: the numbers of nodes that a job may run over now, ascending. `busy`: nothing is known yet.
    """

    sizes: tuple[int, ...] = ()
    servers: Mapping[int, str] = MappingProxyType({})
    nodes: Mapping[int, int] = MappingProxyType({})
    busy: bool = False


def read_membership(context: PluginContext) -> Membership | None:
    """The node's place in an UltraServer; None where the kernel module knows of none."""
    try:
        modes = read_text(context, f"{CLASS}/ultraserver_mode")
    except Unreadable:
        return None
    if modes == BUSY:
        return Membership(busy=True)
    offered = {_NODES_OF_MODE.get(int(part)) for part in modes.split(",") if part.strip().isdecimal()}
    sizes = sorted(size for size in offered if size is not None)
    servers = {size: _first(context, (f"server_id_{size}", "reservation_id"), _ID) for size in sizes if size > 1}
    nodes = {size: _first(context, (f"node_id_{size}", "node_id"), _NODE) for size in sizes if size > 1}
    return Membership(
        sizes=tuple(sizes),
        servers=MappingProxyType({size: text for size, text in servers.items() if text and text != NO_SERVER}),
        nodes=MappingProxyType({size: int(text) for size, text in nodes.items() if text}),
    )


def labels(membership: Membership, current: Mapping[str, str]) -> dict[str, str]:
    """The labels of this node; `current` are those it has, which stay while nothing better is known."""
    if membership.busy:
        return {key: current[key] for key in LABELS if key in current}
    modes = {MODE_LABEL: "_".join(map(str, membership.sizes))} if membership.sizes else {}
    servers = {SERVER_LABELS[size]: server for size, server in membership.servers.items()}
    nodes = {NODE_LABELS[size]: str(node) for size, node in membership.nodes.items()}
    return modes | servers | nodes


def _first(context: PluginContext, files: tuple[str, ...], wanted: re.Pattern[str]) -> str | None:
    """What the first of these files says that is there, if it says something."""
    for name in files:
        try:
            text = read_text(context, f"{CLASS}/{name}")
        except Unreadable:
            continue
        return text if wanted.fullmatch(text) else None
    return None
