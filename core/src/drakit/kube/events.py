"""Kubernetes Events: what a user must act on, told beside the claim or the node that it is about.

Each is written by server-side apply of the whole Event under a name of its own: that creates it, counts its repeats,
and can be sent again where an answer was lost. Events are a courtesy. Nothing waits for them, and nothing fails with
them. Source: events.k8s.io/v1, and its validation in Kubernetes 1.34 to 1.37.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import hashlib
import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from attrs import define, frozen

from drakit.documents import Document
from drakit.errors import describe
from drakit.kube.client import ApiError, KubeClient, Resource
from drakit.kube.pace import Backoff
from drakit.model import ClaimRef

log = logging.getLogger(__name__)

EVENTS = Resource("events.k8s.io/v1", "events")
CONTROLLER = "drakit"
MAX_NOTE_BYTES = 1024
MAX_INSTANCE_BYTES = 128
MAX_WAITING = 64
"""How many warnings may wait to be taken up; what is said beyond that is not written."""
MAX_KNOWN = 256
"""How many Events are remembered, written or not: a repeat is counted and not told anew. The oldest go first."""
_NODE_NAMESPACE = "default"
"""Where Events about objects without a namespace are."""
_FINAL = frozenset({400, 401, 403, 404, 405, 413, 422})
"""What the server will say again if it is asked again."""


class Reason(enum.StrEnum):
    """Why there is an Event, as it says itself; docs/troubleshooting.md says what to do about each."""

    CLAIM_QUARANTINED = "ClaimQuarantined"
    DEVICE_FAULTY = "DeviceFaulty"
    MOST_DEVICES_FAULTY = "MostDevicesFaulty"
    DRIVER_NOT_SERVED = "DriverNotServed"
    DRIVER_STUCK = "DriverStuck"
    DUPLICATE_DEVICE = "DuplicateDevice"
    FIELDS_DROPPED = "FieldsDropped"
    SLICES_NOT_PUBLISHED = "SlicesNotPublished"

    @property
    def action(self) -> str:
        """What drakit was about when it came to it."""
        return _ACTIONS[self]


_ACTIONS = {
    Reason.CLAIM_QUARANTINED: "RecoverClaim",
    Reason.DEVICE_FAULTY: "AskForHealth",
    Reason.MOST_DEVICES_FAULTY: "AskForHealth",
    Reason.DRIVER_NOT_SERVED: "ServeDriver",
    Reason.DRIVER_STUCK: "AskPlugin",
    Reason.DUPLICATE_DEVICE: "SurveyNode",
    Reason.FIELDS_DROPPED: "PublishSlices",
    Reason.SLICES_NOT_PUBLISHED: "PublishSlices",
}


@frozen(kw_only=True)
class EventTiming:
    """Every time span of writing Events, in seconds. Tests make them short; nothing else needs to."""

    between: float = 0.5
    """Between any two writes."""
    repeats: float = 300.0
    """Between two counts of one Event's repeats."""
    lifetime: float = 3600.0
    """How long the API server keeps an Event, by default: what is said again later is a new one."""
    first_backoff: float = 1.0
    most_backoff: float = 60.0


@frozen
class _Matter:
    """What an Event is about: the same one said again is a repeat."""

    regarding: ClaimRef | None
    reason: Reason
    note: str


@define(eq=False)
class _Series:
    """One Event: when it was first and last said, how often, and how often as the API server has it."""

    matter: _Matter
    name: str
    first: datetime
    last: datetime
    due: float
    """On the loop's clock, when it may be written next."""
    count: int = 1
    written: int = 0


class EventRecorder:
    """Writes the Events of one agent. `warn` may be called from any thread, everything else belongs to one loop."""

    def __init__(
        self,
        client: KubeClient,
        node: str,
        *,
        timing: EventTiming | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`node` is the Node that Events without a claim are about, and the instance that reports all of them."""
        self._client = client
        self._node = node
        self._timing = timing or EventTiming()
        self._now = now
        self._said: deque[tuple[_Matter, datetime]] = deque()
        self._known: dict[_Matter, _Series] = {}
        self._backoff = Backoff(self._timing.first_backoff, self._timing.most_backoff)
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def warn(self, regarding: ClaimRef | None, reason: Reason, note: str) -> None:
        """Have a warning told, about a claim or, without one, about the node. Returns at once and never fails.

        The same regarding, reason and note are one Event, whose repeats are counted.
        """
        if len(self._said) >= MAX_WAITING:
            log.debug("no event is written for %s: too many wait already", reason)
            return
        self._said.append((_Matter(regarding, reason, _cut(note, MAX_NOTE_BYTES)), self._now()))
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: the agent has stopped
                self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Write what is said, until cancelled. With nothing to say it sleeps."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            self._take_in()
            waiting = [series for series in self._known.values() if series.count != series.written]
            if not waiting:
                await self._wake.wait()
                continue
            series = min(waiting, key=lambda series: series.due)
            if (rest := series.due - self._loop.time()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rest):
                        await self._wake.wait()
                continue
            await asyncio.sleep(await self._write(series))

    def _take_in(self) -> None:
        """Count what was said as a repeat of what is known, or make it a new Event."""
        assert self._loop is not None
        while self._said:
            matter, when = self._said.popleft()
            series = self._known.pop(matter, None)
            if series is None or (when - series.last).total_seconds() > self._timing.lifetime:
                series = _Series(matter, _name(matter, self._node), when, when, due=self._loop.time())
            else:
                series.count += 1
                series.last = when
            self._known[matter] = series  # the newest is last
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    async def _write(self, series: _Series) -> float:
        """Write one Event as it is now; returns how long to wait before the next."""
        count, delay = series.count, self._timing.between
        try:
            await self._client.apply(EVENTS, self._document(series), manager=CONTROLLER)
        except Exception as error:
            log.debug("event %s is not written: %s", series.matter.reason, describe(error))
            if self._is_worth_a_retry(series, error):
                return self._backoff.next(error.retry_after if isinstance(error, ApiError) else None)
        self._backoff.reset()
        series.written = count
        series.due = asyncio.get_running_loop().time() + self._timing.repeats
        return delay

    def _is_worth_a_retry(self, series: _Series, error: Exception) -> bool:
        """Not what the server refuses, nor what it would forget by now if it had been written at once."""
        age = (self._now() - series.last).total_seconds()
        return isinstance(error, ApiError) and error.status not in _FINAL and age < self._timing.lifetime

    def _document(self, series: _Series) -> Document:
        matter = series.matter
        regarding = _reference(matter.regarding, self._node)
        document: Document = {
            "apiVersion": EVENTS.group_version,
            "kind": "Event",
            "metadata": {"name": series.name, "namespace": regarding.get("namespace", _NODE_NAMESPACE)},
            "eventTime": _micro_time(series.first),
            "reportingController": CONTROLLER,
            "reportingInstance": _cut(self._node, MAX_INSTANCE_BYTES),
            "action": matter.reason.action,
            "reason": str(matter.reason),
            "regarding": regarding,
            "note": matter.note,
            "type": "Warning",
        }
        if series.count > 1:
            document["series"] = {"count": series.count, "lastObservedTime": _micro_time(series.last)}
        return document


def _is_named(claim: ClaimRef | None) -> bool:
    """Whether an Event can be about it: of a damaged record only the uid may be known."""
    return claim is not None and bool(claim.namespace and claim.name)


def _reference(claim: ClaimRef | None, node: str) -> dict[str, str]:
    if claim is None or not _is_named(claim):
        # The kubelet's own Events have the name here too: by it `kubectl describe node` finds them.
        return {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "namespace": claim.namespace,
        "name": claim.name,
        "uid": claim.uid,
    }


def _name(matter: _Matter, node: str) -> str:
    """A name of this matter alone, beginning with that of the object: at most 253 bytes.

    An agent that is started again gives the same one: the server refuses it (`eventTime` is immutable) for as long as
    it has the Event that was written before, and takes it once that has expired.
    """
    claim = matter.regarding
    base = claim.name if claim is not None and _is_named(claim) else node
    told = "\0".join((node, claim.uid if claim is not None else "", matter.reason, matter.note))
    return f"{base[:200].rstrip('.-')}.{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def _micro_time(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _cut(text: str, limit: int) -> str:
    """A text that has at most so many bytes."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    return encoded[: limit - 3].decode(errors="ignore") + "…"
