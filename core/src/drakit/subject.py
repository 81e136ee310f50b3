"""What is being worked on just now: whoever logs meanwhile has its claim, driver, plugin and hook as fields.

Whoever takes up a claim or asks a hook says so with `about`; a line logged inside of it, a plugin's own too, need not
repeat it. It holds for the thread or task at hand, and for the tasks begun within.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from attrs import frozen

from drakit.errors import PluginError
from drakit.model import ClaimRef


@frozen
class Subject:
    """What a line of the log is about; what is empty is not known, or does not apply."""

    driver: str = ""
    plugin: str = ""
    hook: str = ""
    claim: ClaimRef | None = None

    def fields(self) -> dict[str, str]:
        """What is known, by the names that the log has for it; `claim` is namespace/name."""
        known = {"driver": self.driver, "plugin": self.plugin, "hook": self.hook}
        if self.claim is not None and (self.claim.uid or self.claim.namespace):  # else it stands for all of them
            known |= {"claim": str(self.claim) if self.claim.name else "", "claimUid": self.claim.uid}
        return {name: value for name, value in known.items() if value}


_NOTHING = Subject()
_current: ContextVar[Subject] = ContextVar("drakit.subject", default=_NOTHING)


def current() -> Subject:
    """The subject at hand."""
    return _current.get()


@contextlib.contextmanager
def about(*, driver: str = "", plugin: str = "", hook: str = "", claim: ClaimRef | None = None) -> Iterator[None]:
    """Name what is worked on until this ends, beside what was named around it."""
    outer = _current.get()
    token = _current.set(
        Subject(driver or outer.driver, plugin or outer.plugin, hook or outer.hook, claim or outer.claim)
    )
    try:
        yield
    finally:
        _current.reset(token)


def fields_of_error(error: BaseException) -> dict[str, str]:
    """The plugin and the hook that an error is charged to."""
    if not isinstance(error, PluginError):
        return {}
    return Subject(plugin=error.plugin, hook=getattr(error, "hook", "")).fields()
