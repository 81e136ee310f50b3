"""Telling the log what has changed: one line when something begins to be so, none for looking again."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from attrs import define, field


@define
class Teller:
    """Remembers by topic what it said last. Used on one thread."""

    log: logging.Logger
    _said: dict[str, frozenset[str]] = field(factory=dict, init=False)

    def say(self, topic: str, lines: Iterable[str], level: int = logging.WARNING) -> None:
        """Log what was not so the last time."""
        now = frozenset(lines)
        for line in sorted(now - self._said.get(topic, frozenset())):
            self.log.log(level, "%s", line)
        self._said[topic] = now
