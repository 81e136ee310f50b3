"""UltraServers: several instances whose devices are linked.

The kernel module describes this node's place in one by files beside the devices' directories: by size of the job on
Trn2 UltraServers (`server_id_4`, `node_id_4`), one for all sizes on Trn3 (`reservation_id`, `node_id`). Names, the
numbers of the modes and what an empty id means are those of AWS's own set-up script for UltraServers.
"""

from __future__ import annotations

from drakit import InvalidDeviceConfig, PluginContext

from drakit_neuron.sysfs import CLASS, Unreadable, read_text

_MODES = {1: (4,), 2: (3, 2), 4: (1,)}
"""By number of nodes, the driver's modes that do it, the preferred one first."""

_NO_SERVER = "0000000000000000"
_NO_NODE = "-1"


def environment(context: PluginContext, nodes: int) -> dict[str, str]:
    """What the Neuron runtime must be told to run a job over so many nodes. Raises InvalidDeviceConfig."""
    offered = _offered_modes(context, nodes)
    mode = next((mode for mode in _MODES[nodes] if mode in offered), None)
    if mode is None:
        sizes = sorted(size for size, modes in _MODES.items() if offered.intersection(modes))
        able = f"over {', '.join(map(str, sizes))} nodes" if sizes else "over no number of nodes now"
        raise InvalidDeviceConfig(f"ultraserverMode {nodes} is not possible here: this UltraServer can work {able}")
    variables = {"NEURON_RT_ULTRASERVER_MODE": str(mode)}
    if nodes > 1:
        variables["NEURON_RT_ULTRASERVER_SERVER_ID"] = _identity(
            context, nodes, (f"server_id_{nodes}", "reservation_id"), _NO_SERVER
        )
        variables["NEURON_RT_ULTRASERVER_NODE_ID"] = _identity(
            context, nodes, (f"node_id_{nodes}", "node_id"), _NO_NODE
        )
    return variables


def _offered_modes(context: PluginContext, nodes: int) -> set[int]:
    """The modes the driver lists as possible now."""
    try:
        text = read_text(context, f"{CLASS}/ultraserver_mode")
    except Unreadable as error:
        raise InvalidDeviceConfig(
            f"ultraserverMode {nodes} needs a node of an UltraServer, and this is none: {error}; remove "
            "UltraServerConfig from the claim, or ask for an UltraServer's instance type"
        ) from None
    if text == "busy":
        raise InvalidDeviceConfig(
            f"ultraserverMode {nodes} cannot be set up now: the links of this UltraServer are in use by another job; "
            "it is tried again until they are free"
        )
    return {int(part) for part in text.split(",") if part.strip().isdecimal()}


def _identity(context: PluginContext, nodes: int, files: tuple[str, ...], none: str) -> str:
    """The first of the files that is there; its value for "none" means that no job of that size can run here."""
    for name in files:
        try:
            value = read_text(context, f"{CLASS}/{name}")
        except Unreadable:
            continue
        if value != none:
            return value
        raise InvalidDeviceConfig(
            f"ultraserverMode {nodes} is not possible here: {CLASS}/{name} is {none}, so this node is not set up for it"
        )
    raise InvalidDeviceConfig(
        f"ultraserverMode {nodes} is not possible here: none of {', '.join(files)} can be read in {CLASS}"
    )
