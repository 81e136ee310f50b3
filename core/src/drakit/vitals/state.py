"""What is known of a running agent: all of it may be read from any thread, at any time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from attrs import frozen

from drakit.assembly import Assembly
from drakit.driver import Driver
from drakit.errors import ClaimError
from drakit.host import Instance
from drakit.inventory import Survey
from drakit.kube.client import KubeClient
from drakit.survey import Observer
from drakit.tally import Calls, Durations

RETURNED, REFUSED, RAISED = "returned", "refused", "raised"
"""How a call of a hook ends: `refused` is a ClaimError of prepare, `raised` any other exception."""
_OFFLINE = frozenset({"layout", "verify"})
"""What no agent asks."""


class HookTally:
    """Counts the calls of hooks: a trace of the plugin host. A hook of one instance is called by one thread."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], Calls] = {}

    def of(self, instance: Instance, hook: str) -> Calls:
        """The calls of one hook."""
        key = (instance.name, hook)
        results = (RETURNED, REFUSED, RAISED) if hook == "prepare" else (RETURNED, RAISED)
        return self._calls.get(key) or self._calls.setdefault(key, Calls(*results))

    def each(self, instances: Iterable[Instance]) -> Iterator[tuple[tuple[str, str, str], Calls]]:
        """The calls of every hook that these implement, by driver (none for an extension), plugin and hook."""
        for instance in instances:
            for hook in sorted(instance.hooks - _OFFLINE):
                yield (instance.driver or "", instance.plugin, hook), self.of(instance, hook)

    def began(self, instance: Instance, hook: str) -> None:
        """Nothing to count yet."""

    def ended(self, instance: Instance, hook: str, seconds: float, error: BaseException | None) -> None:
        """Count the call."""
        refused = hook == "prepare" and isinstance(error, ClaimError)
        self.of(instance, hook).add(RETURNED if error is None else REFUSED if refused else RAISED, seconds)


class Rounds:
    """The rounds over the hardware so far."""

    def __init__(self) -> None:
        self.durations = Durations()
        self.failures: Counter[str] = Counter()
        """By plugin instance, in how many rounds its answer was not there."""
        self.last = Survey()
        self.finished_at = 0.0
        """When the last one ended, in seconds since the epoch; 0 before the first."""

    def add(self, survey: Survey, seconds: float) -> None:
        """Count one that is done."""
        self.last = survey
        self.failures.update(survey.failures.keys())
        self.durations.add(seconds)
        self.finished_at = time.time()


@frozen(kw_only=True)
class Vitals:
    """One running agent. `drivers` is made before anybody asks, and stays."""

    assembly: Assembly
    drivers: Mapping[str, Driver]
    observer: Observer
    client: KubeClient
    hooks: HookTally
    rounds: Rounds
    loop: asyncio.AbstractEventLoop
    is_stopping: Callable[[], bool]
