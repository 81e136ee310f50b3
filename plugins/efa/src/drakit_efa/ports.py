"""What the verbs device of an EFA adapter says of its one port. Each function reads one file anew."""

from __future__ import annotations

import re

from drakit import PluginContext

from drakit_efa.sysfs import VERBS_DEVICES, Unreadable, read_text

PORT = "ports/1"
ACTIVE = "ACTIVE"
"""The state of a port that carries traffic."""

_STATE = re.compile(r"[0-9]+: ([A-Z_]+)", re.ASCII)
_GID = re.compile(r"([0-9a-f]{4}:){7}[0-9a-f]{4}", re.ASCII)
_LINK_LOCAL = bytes((0xFE, 0x80)) + bytes(6)


def read_state(context: PluginContext, verbs: str) -> str:
    """What the state of the port is called: ACTIVE, DOWN, INIT. Raises Unreadable, or OSError."""
    text = read_text(context.path(f"{VERBS_DEVICES}/{verbs}/{PORT}/state"))
    match = _STATE.fullmatch(text)
    if match is None:
        raise Unreadable(f"state holds {text!r}, which is not the state of a port")
    return match[1]


def read_mac(context: PluginContext, verbs: str) -> str:
    """The MAC of the adapter's network interface, from the first GID of its port. Raises Unreadable, or OSError."""
    text = read_text(context.path(f"{VERBS_DEVICES}/{verbs}/{PORT}/gids/0"))
    mac = mac_of(text)
    if mac is None:
        raise Unreadable(f"gids/0 holds {text!r}, which is not a link-local address made of a MAC")
    return mac


def mac_of(gid: str) -> str | None:
    """The MAC that a link-local IPv6 address is made of: `fe80::14b0:33ff:fef8:77cd` of 16:b0:33:f8:77:cd."""
    data = bytes.fromhex(gid.replace(":", "")) if _GID.fullmatch(gid) else b""
    if not data.startswith(_LINK_LOCAL) or data[11:13] != b"\xff\xfe":
        return None
    return bytes((data[8] ^ 2, *data[9:11], *data[13:])).hex(":")
