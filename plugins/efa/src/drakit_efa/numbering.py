"""Noticing that the kernel has numbered the verbs nodes anew, as it does when its modules are loaded again."""

from __future__ import annotations

import os

from drakit import PluginContext

from drakit_efa.sysfs import VERBS_NODES


class Numbering:
    """The verbs node of each PCI function as it was last seen. Both threads may look."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._seen: dict[str, str] = {}

    def look(self) -> None:
        """Tell the core where a function has another node than when it was last seen, also if it was away meanwhile."""
        now = self._nodes()
        before, self._seen = self._seen, {**self._seen, **now}
        if any(before.get(function, node) != node for function, node in now.items()):
            self._context.renumbered()

    def _nodes(self) -> dict[str, str]:
        """By the last but two of the places that a link of the class leads through: .../0000:10:1b.0/…/uverbs0."""
        nodes: dict[str, str] = {}
        try:
            directory = self._context.path(VERBS_NODES)
            for name in os.listdir(directory):
                if name.startswith("uverbs"):
                    nodes[os.readlink(directory / name).split("/")[-3]] = name
        except (OSError, IndexError):
            pass  # no module, or one that is being loaded: what is there by then is seen the next time
        return nodes
