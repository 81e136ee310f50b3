"""Whether the agent lives, and whether pods that start now get their devices."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

from attrs import field, frozen

from drakit.model.converters import frozen_mapping
from drakit.vitals.state import Vitals

LOOP_SECONDS = 4.0
"""How long the event loop may take to answer. It runs no hook and does not block, so this is generous."""


@frozen
class Readiness:
    """What is not ready, by driver, or by plugin where there is no driver; an empty reason is none."""

    reasons: Mapping[str, str] = field(converter=frozen_mapping)

    @property
    def ready(self) -> bool:
        """Whether everything that is configured does its work."""
        return not any(self.reasons.values())

    def __str__(self) -> str:
        lines = [f"{name}: not ready: {why}" if why else f"{name}: ready" for name, why in self.reasons.items()]
        return "".join(f"{line}\n" for line in lines)


def readiness(vitals: Vitals) -> Readiness:
    """Ask every driver. The API server being away makes none unready: what is published stays, what is prepared too."""
    reasons = {name: driver.trouble for name, driver in vitals.drivers.items()}
    for name, stuck in vitals.observer.stuck.items():
        reasons[name] = reasons.get(name) or str(stuck)
    for name, failure in vitals.assembly.failures.items():
        reasons[name] = "; ".join(filter(None, (str(failure), reasons.get(name, ""))))
    if vitals.is_stopping():
        reasons["agent"] = "it is stopping"
    return Readiness(reasons)


def lives(loop: asyncio.AbstractEventLoop, seconds: float = LOOP_SECONDS) -> bool:
    """Whether the event loop answers. Blocks for so long; not to be called on the loop.

    Nothing else counts: a restart ends neither a hook that hangs, in the kernel for all we know, nor an outage.
    """
    answered = threading.Event()
    try:
        loop.call_soon_threadsafe(answered.set)
    except RuntimeError:  # the loop is closed
        return False
    return answered.wait(seconds)
