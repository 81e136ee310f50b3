"""What the verbs device of an EFA adapter says of its one port.

Each function reads one file anew, and raises Unreadable, or OSError for a circle of links.
"""

from __future__ import annotations

import re

from drakit import PluginContext

from drakit_efa.sysfs import VERBS_DEVICES, Unreadable

PORT = "ports/1"

_RATE = re.compile(r"([1-9][0-9]{0,6}) Gb/sec(?: \(.*\))?", re.ASCII)
_LINK_LOCAL = re.compile(
    r"fe80:0000:0000:0000:([0-9a-f]{2})([0-9a-f]{2}):([0-9a-f]{2})ff:fe([0-9a-f]{2}):([0-9a-f]{2})([0-9a-f]{2})",
    re.ASCII,
)
_FLIPPED = 0x02
"""The bit of a MAC that is turned round in an interface identifier: RFC 4291, appendix A."""


def read_link_gbps(context: PluginContext, verbs: str) -> int:
    """The speed of the link in Gbit/s."""
    return int(_match(context, verbs, f"{PORT}/rate", _RATE)[1])


def read_mac(context: PluginContext, verbs: str) -> str:
    """The MAC of the adapter's network interface (ENI), in lower case, which the port's first GID is made of."""
    first, *rest = _match(context, verbs, f"{PORT}/gids/0", _LINK_LOCAL).groups()
    return ":".join((f"{int(first, 16) ^ _FLIPPED:02x}", *rest))


def _match(context: PluginContext, verbs: str, file: str, form: re.Pattern[str]) -> re.Match[str]:
    try:
        text = context.path(f"{VERBS_DEVICES}/{verbs}/{file}").read_bytes()[:64].decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"cannot read {file}: {error}") from None
    if (match := form.fullmatch(text)) is None:
        raise Unreadable(f"{file} holds {text!r}, which it cannot")
    return match
