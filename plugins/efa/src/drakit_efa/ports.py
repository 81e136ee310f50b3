"""What the kernel says of an adapter's one port: its state, and whose it is. Pure."""

from __future__ import annotations

import re

from drakit import HealthStatus

PORT = "ports/1"
"""The directory of the port, below that of the RDMA device: an adapter has one."""
STATE = f"{PORT}/state"
FIRST_GID = f"{PORT}/gids/0"
ACTIVE = "ACTIVE"

_STATE = re.compile(r"[0-9]: ?([A-Z_]{1,32})", re.ASCII)
_GID = re.compile(r"([0-9a-f]{4}:){7}[0-9a-f]{4}", re.ASCII)
_LINK_LOCAL = bytes((0xFE, 0x80)) + bytes(6)


def port_state(text: str) -> str | None:
    """The word in a state such as `4: ACTIVE`; None for what is no state."""
    match = _STATE.fullmatch(text.strip())
    return match[1] if match else None


def port_health(state: str | None) -> HealthStatus:
    """How an adapter is by its port alone."""
    if state is None:
        return HealthStatus.UNKNOWN
    return HealthStatus.HEALTHY if state == ACTIVE else HealthStatus.UNHEALTHY


def mac_of(gid: str) -> str | None:
    """The MAC of the network interface that an adapter belongs to, from its port's first GID; None where it has none.

    That GID is the link-local IPv6 address which is made of the MAC: `fe80::14b0:33ff:fef8:77cd` of 16:b0:33:f8:77:cd.
    """
    text = gid.strip().lower()
    data = bytes.fromhex(text.replace(":", "")) if _GID.fullmatch(text) else b""
    if not data.startswith(_LINK_LOCAL) or data[11:13] != b"\xff\xfe":
        return None
    return bytes((data[8] ^ 2, *data[9:11], *data[13:])).hex(":")
