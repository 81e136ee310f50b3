"""Finding the adapters of a node again and again: what is remembered from one time to the next."""

from __future__ import annotations

from collections.abc import Sequence

from drakit import Device, Finding, PluginContext

from drakit_efa.devices import device
from drakit_efa.findings import findings
from drakit_efa.node import Node, read_node
from drakit_efa.options import options_of
from drakit_efa.sharing import divisible, undivided
from drakit_efa.sysfs import Unreadable, read_instance_type


class Discovery:
    """The adapters of one node, for one instance of the plugin. Used on one thread."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._said: frozenset[str] = frozenset()

    def read(self) -> Node:
        """The node as it is now; what is wrong with it is logged once, and again if it was right in between."""
        node = read_node(self._context, options_of(self._context).addresses)
        sharing = options_of(self._context).sharing
        now = {**dict(node.problems), **dict.fromkeys(undivided(self.devices(node), sharing), "")}
        for line in sorted(now.keys() - self._said):
            self._context.log.warning("%s", line, extra={"finding": now[line]})
        self._said = frozenset(now)
        return node

    def devices(self, node: Node) -> list[Device]:
        """What is published of it."""
        sharing = options_of(self._context).sharing
        return [divisible(device(found), sharing) for found in node.devices]

    def findings(self) -> Sequence[Finding]:
        """What an operator should know of the node."""
        try:
            instance_type = read_instance_type(self._context)
        except (Unreadable, OSError):
            instance_type = ""
        return findings(self.read(), instance_type)
