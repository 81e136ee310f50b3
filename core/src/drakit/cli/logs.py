"""The agent's log: one line per event on stderr, whatever the event."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

from drakit.errors import ConfigError

LEVELS = ("debug", "info", "warning", "error")

_SOURCES = {"drakit.drivers.": "driver", "drakit.plugins.": "plugin"}


class OneLine(logging.Formatter):
    """`time level source: message`, where the source is a driver, a plugin or a part of the agent.

    A traceback is in the same line, its line ends escaped: collectors take every line for an event of its own.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        text = f"{self.formatTime(record)} {record.levelname.lower()} {_source(record.name)}: {record.getMessage()}"
        if record.exc_info:
            text += f"\n{self.formatException(record.exc_info)}"
        return text.replace("\r", "\\r").replace("\n", "\\n")


def log_to_stderr(level: str) -> None:
    """Send every event of at least this level to stderr. Raises ConfigError for a level that is none."""
    if level not in LEVELS:
        raise ConfigError(f"logLevel must be one of {', '.join(LEVELS)}, not {level!r}")
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


@contextlib.contextmanager
def warnings_to_stderr() -> Iterator[None]:
    """Show what drakit and its plugins warn of, as the agent's log does, as long as this lasts."""
    drakit, handler = logging.getLogger("drakit"), logging.StreamHandler()
    handler.setFormatter(OneLine())
    handler.setLevel(logging.WARNING)
    drakit.addHandler(handler)
    try:
        yield
    finally:
        drakit.removeHandler(handler)


def _source(logger: str) -> str:
    for prefix, kind in _SOURCES.items():
        if logger.startswith(prefix):
            return f"{kind}={logger.removeprefix(prefix)}"
    return logger.removeprefix("drakit.")
