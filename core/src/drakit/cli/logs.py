"""The agent's log: one line per event on stderr, whatever the event, as text or as JSON.

What an event is about are fields of its own: its claim, driver, plugin and hook, wherever one of them is known. They
come from the logger's name, from the subject at hand (`subject`), from a claim or an error among the arguments of the
message, and from `extra`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Iterator

from drakit import subject
from drakit.model import ClaimRef

FIELDS = ("driver", "plugin", "hook", "claim", "claimUid")
"""In the order in which they are written. By these names `extra` gives them too."""

_SOURCES = {"drakit.drivers.": "driver", "drakit.slices.": "driver", "drakit.plugins.": "plugin"}


class _Timed(logging.Formatter):
    """RFC 3339, in UTC, with milliseconds."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class OneLine(_Timed):
    """`time level source: message field=value ...`, where the source is a driver, a plugin or a part of the agent.

    A traceback is in the same line, its line ends escaped: collectors take every line for an event of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        source = _named_source(record.name)
        pairs = [f"{name}={value}" for name, value in fields_of(record).items()]
        about = "".join(f" {pair}" for pair in pairs if pair != source)
        text = f"{self.formatTime(record)} {record.levelname.lower()} {source}: {record.getMessage()}{about}"
        if record.exc_info:
            text += f"\n{self.formatException(record.exc_info)}"
        return text.replace("\r", "\\r").replace("\n", "\\n")


class JsonLine(_Timed):
    """One JSON object: time, level, source, message, then the fields that are known, then the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        document = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "source": record.name.removeprefix("drakit."),
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(document)


def log_to_stderr(level: str, log_format: str = "text") -> None:
    """Send every event of at least this level to stderr. Both are as `Settings` allows them."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLine() if log_format == "json" else OneLine())
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


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """What an event is about, as far as it is known. Called on the thread, and in the task, that logs it.

    What a call says by `extra` wins over the logger's name, that over what it logs, and that over the subject.
    """
    named = _of_logger(record.name) | {name: str(value) for name in FIELDS if (value := getattr(record, name, ""))}
    known = subject.current().fields() | _of_claims(record) | named
    for error in _errors(record):
        charged = subject.fields_of_error(error).items()
        known |= {name: value for name, value in charged if name not in named and value != known.get("driver")}
    return {name: known[name] for name in FIELDS if name in known}


def _errors(record: logging.LogRecord) -> Iterator[BaseException]:
    """The errors that are logged: as arguments of the message, or with their traceback."""
    if isinstance(record.args, tuple):
        yield from (argument for argument in record.args if isinstance(argument, BaseException))
    if record.exc_info and record.exc_info[1] is not None:
        yield record.exc_info[1]


def _of_claims(record: logging.LogRecord) -> dict[str, str]:
    """The claim that is an argument of the message, if there is just one."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    claims = {argument for argument in arguments if isinstance(argument, ClaimRef)}
    return subject.Subject(claim=claims.pop()).fields() if len(claims) == 1 else {}


def _of_logger(name: str) -> dict[str, str]:
    for prefix, kind in _SOURCES.items():
        if name.startswith(prefix):
            return {kind: name.removeprefix(prefix)}
    return {}


def _named_source(name: str) -> str:
    return next((f"{kind}={value}" for kind, value in _of_logger(name).items()), name.removeprefix("drakit."))
