"""UltraServers: several instances whose devices are linked.

The kernel module describes this node's place in one by files beside the devices' directories: by size of the job on
Trn2 UltraServers (`server_id_4`, `node_id_4`), one for all sizes on Trn3 (`reservation_id`, `node_id`). Names, the
numbers of the modes and what an empty id means are those of AWS's own set-up script for UltraServers, and so is what a
job on one node is told.

A node works in one mode at a time: the kernel module refuses another as long as any core of the node is in use, and
says "busy" while the nodes still find out who is linked to whom. Which of a job's pods is the first
(`NEURON_GLOBAL_TOPOID`) is for the job to say, not for one node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from drakit import DeviceRef, DeviceUnfit, Hold, InvalidDeviceConfig, PluginContext
from drakit.errors import ClaimError, DeviceBusy

from drakit_neuron.membership import NO_NODE, NO_SERVER, read_membership

MODE = "NEURON_RT_ULTRASERVER_MODE"
STATE = "ultraserverMode"
"""The key of a preparation's state that says in which of the driver's modes it has the node's links."""
FAULT = "ultraserver-mode"
"""The fault of a node that is not linked as a claim needs it."""

_SERVER = "NEURON_RT_ULTRASERVER_SERVER_ID"
_NODE = "NEURON_RT_ULTRASERVER_NODE_ID"
_MODES = {1: (4,), 2: (3, 2), 4: (1,)}
"""By number of nodes, the driver's modes that do it, the preferred one first."""


def environment(context: PluginContext, nodes: int, *, is_member: bool, devices: Sequence[str]) -> Mapping[str, str]:
    """What the Neuron runtime must be told to run a job over so many nodes.

    `is_member`: whether the instance type is one of an UltraServer. `devices` are named in a lasting refusal. Raises
    InvalidDeviceConfig on hardware that is in no UltraServer, DeviceUnfit where this one cannot do it, and ClaimError
    where it cannot yet.
    """
    membership = read_membership(context)
    if membership.unclear:
        raise _unclear(nodes, membership.unclear, is_member, devices)
    if membership.busy:
        raise _not_yet(nodes)
    if nodes == 1:  # every node can, and no id is asked of it
        return {MODE: str(_MODES[1][0]), _SERVER: NO_SERVER, _NODE: NO_NODE}
    mode = next((mode for mode in _MODES[nodes] if mode in membership.modes), None)
    if mode is None:
        sizes = sorted({1, *membership.sizes})
        raise _unfit(nodes, f"its links allow jobs over {' or '.join(map(str, sizes))} nodes only", devices)
    if nodes in membership.lacking:
        raise _unfit(nodes, membership.lacking[nodes], devices)
    return {MODE: str(mode), _SERVER: membership.servers[nodes], _NODE: str(membership.nodes[nodes])}


def check_mode(mode: str, node_devices: Iterable[DeviceRef], others: Callable[[DeviceRef], Sequence[Hold]]) -> None:
    """Raise DeviceBusy where another claim has the node's links in another mode.

    `node_devices` are all that the node may have, `others` the holds of one by other claims.
    """
    for device in node_devices:
        for hold in others(device):
            other = hold.prepared.state.get(STATE, mode)
            if other != mode:
                raise DeviceBusy(
                    f"claim {hold.claim} has {device.name}, and with it the links of this node in UltraServer mode "
                    f"{other}, and mode {mode} is needed; a node works in one mode at a time: this is tried again "
                    "until that claim's pod has ended"
                )


def _unclear(nodes: int, why: str, is_member: bool, devices: Sequence[str]) -> ClaimError:
    if is_member:
        return _unfit(nodes, f"{why}, and nothing else says how it is linked", devices)
    return InvalidDeviceConfig(
        f"ultraserverMode {nodes} needs a node of an UltraServer, and this one shows none: {why}; remove "
        "UltraServerConfig from the claim, or ask for an UltraServer's instance type"
    )


def _not_yet(nodes: int) -> ClaimError:
    return ClaimError(
        f"ultraserverMode {nodes} cannot be set up yet: the nodes of this UltraServer are still finding out how they "
        "are linked; this is tried again until they have"
    )


def _unfit(nodes: int, why: str, devices: Sequence[str]) -> DeviceUnfit:
    return DeviceUnfit(
        f"ultraserverMode {nodes} is not possible on this node: {why}; delete the pod to have it placed anew, and if "
        "the node should be able to, see which of its UltraServer's nodes do not run or have lost their links",
        fault=FAULT,
        devices=devices,
    )
