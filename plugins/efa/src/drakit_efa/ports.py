"""What the verbs device of an EFA adapter says of itself and of its one port.

Facts: the kernel's RDMA subsystem writes the files; what the numbers mean is in the EFA kernel driver and, for the node
GUID, in the EFA plugin of NCCL (aws-ofi-nccl). Each function reads one file anew, and raises Unreadable, or OSError
for a circle of links.
"""

from __future__ import annotations

import re

from drakit import PluginContext

from drakit_efa.sysfs import VERBS_DEVICES, Unreadable, read_text

PORT = "ports/1"
FIRST_WITH_CARDS = 3
"""The first generation whose node GUIDs tell the cards of a node apart."""
ACTIVE = "ACTIVE"
"""The state of a port that carries traffic."""

_STATE = re.compile(r"[0-9]+: ([A-Z_]+)", re.ASCII)
_RATE = re.compile(r"([1-9][0-9]{0,6}) Gb/sec(?: \(.*\))?", re.ASCII)
_LINK_LOCAL = re.compile(
    r"fe80:0000:0000:0000:([0-9a-f]{2})([0-9a-f]{2}):([0-9a-f]{2})ff:fe([0-9a-f]{2}):([0-9a-f]{2})([0-9a-f]{2})",
    re.ASCII,
)
_GUID = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}:([0-9a-f]{4}):([0-9a-f]{2})[0-9a-f]{2}", re.ASCII)
_FLIPPED = 0x02
"""The bit of a MAC that is turned round in an interface identifier: RFC 4291, appendix A."""


def read_state(context: PluginContext, verbs: str) -> str:
    """What the state of the port is called: ACTIVE, DOWN, INIT."""
    return _part(context, verbs, f"{PORT}/state", _STATE, "the state of a port")[0]


def read_link_gbps(context: PluginContext, verbs: str) -> int:
    """The speed of the link in Gbit/s, as the driver says it: rounded down to one that InfiniBand has a name for.

    Drivers that do not ask the device say 100 of every adapter.
    """
    return int(_part(context, verbs, f"{PORT}/rate", _RATE, "a whole number of Gb/sec")[0])


def read_mac(context: PluginContext, verbs: str) -> str:
    """The MAC of the adapter's network interface (ENI), in lower case, which the port's first GID is made of."""
    parts = _part(context, verbs, f"{PORT}/gids/0", _LINK_LOCAL, "a link-local address made of a MAC")
    return ":".join((f"{int(parts[0], 16) ^ _FLIPPED:02x}", *parts[1:]))


def read_card(context: PluginContext, verbs: str) -> str:
    """The physical card an adapter is a function of: PCI domain and bus that its node GUID names.

    Before FIRST_WITH_CARDS, which is efa3, all cards of a node may say the same.
    """
    domain, bus = _part(context, verbs, "node_guid", _GUID, "a GUID")
    return f"{domain}:{bus}"


def _part(context: PluginContext, verbs: str, file: str, form: re.Pattern[str], expected: str) -> tuple[str, ...]:
    """What a file holds in the places that its form leaves open."""
    text = read_text(context.path(f"{VERBS_DEVICES}/{verbs}/{file}"), file)
    match = form.fullmatch(text)
    if match is None:
        raise Unreadable(f"{file} holds {text!r}, which is not {expected}")
    return match.groups()
