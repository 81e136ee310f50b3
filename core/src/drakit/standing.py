"""How one driver stands with the kubelet: whether it is served and registered, and what became of its calls."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from drakit.errors import ClaimError
from drakit.model import ClaimRef
from drakit.tally import Calls

PREPARE, UNPREPARE = "prepare", "unprepare"
RESULTS = ("success", "refused", "failed", "abandoned")
"""How a call for one claim ends: `refused` is the claim's own fault, `abandoned` a caller that did not wait."""


class Standing:
    """Written on the event loop, read from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.unserved = "it is starting"
        """Why its sockets are not served, in words; empty while they are."""
        self.unregistered = "the kubelet has not registered it yet"
        """Why the kubelet does not call it, in words; empty once it does."""
        self.registered_at: float | None = None
        """When the kubelet last registered it, by the clock; None while it has not."""
        self.registrations = {"accepted": 0, "refused": 0}
        self.calls = {verb: Calls(*RESULTS) for verb in (PREPARE, UNPREPARE)}
        self.clock = clock
        """What tells the time; another one may be set."""
        self._arriving: dict[str, set[object]] = {}
        """The Prepares of each claim that nothing was queued for yet, and that no Unprepare has overtaken."""

    def served(self, unserved: str = "") -> None:
        """Its sockets are served from now on, or are not, and why. New sockets are to be registered anew."""
        self.unserved = unserved
        if unserved:
            self.unregistered = "the kubelet has not registered it yet"
            self.registered_at = None

    @property
    def registered_seconds(self) -> float:
        """For how long it has been registered; 0 while it is not."""
        return 0.0 if self.registered_at is None else self.clock() - self.registered_at

    def heard(self, registered: bool, reason: str) -> None:
        """Take what the kubelet says of a registration."""
        self.registrations["accepted" if registered else "refused"] += 1
        self.registered_at = self.clock() if registered else None
        self.unregistered = "" if registered else f"the kubelet refused to register it: {reason}"

    @contextlib.contextmanager
    def arriving(self, claim: ClaimRef) -> Iterator[None]:
        """A Prepare finds out what it is to do. Raises ClaimError at its end if the claim was unprepared meanwhile.

        It would prepare what nobody unprepares again. Source: kubelets before pull request 140527 call both at once.
        """
        call, arriving = object(), self._arriving.setdefault(claim.uid, set())
        arriving.add(call)
        try:
            yield
            if call not in arriving:
                raise ClaimError(f"claim {claim} was unprepared while it was read; it is tried again if a pod wants it")
        finally:
            arriving.discard(call)
            if not arriving and self._arriving.get(claim.uid) is arriving:
                del self._arriving[claim.uid]

    def overtake(self, claim: ClaimRef) -> None:
        """The claim is unprepared from here on: of its Prepares, those that are still arriving are out of date."""
        self._arriving.get(claim.uid, set()).clear()

    @contextlib.contextmanager
    def call(self, verb: str) -> Iterator[None]:
        """Count one call for one claim, by how it ends."""
        begin, result = self.clock(), "success"
        try:
            yield
        except BaseException as error:
            result = _result(error)
            raise
        finally:
            self.calls[verb].add(result, self.clock() - begin)


def _result(error: BaseException) -> str:
    if isinstance(error, ClaimError):
        return "refused"
    return "abandoned" if isinstance(error, asyncio.CancelledError) else "failed"
