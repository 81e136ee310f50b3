"""What a user must act on, as the agent stands: found by looking at it, and told once, when it has lasted.

The kubelet tells a pod's user why its claim is not prepared. Here is what it does not know: a driver that is not
served, slices that the cluster does not take, a claim whose record was damaged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from attrs import field, frozen

from drakit.driver import Driver
from drakit.entries import Phase
from drakit.errors import DuplicateDevice, PluginError, PluginStuck
from drakit.inventory import Survey
from drakit.kube.events import Reason
from drakit.model import ClaimRef, FaultEnd

LOOK_SECONDS = 5.0
"""How often one looks; it costs no call of anything."""
PASSING_SECONDS = 30.0
"""What a start, a rolling update or a busy API server brings about is over by then."""


@frozen(kw_only=True)
class Notice:
    """Something to act on. `regarding` is the claim it is about; without one it is about the node."""

    reason: Reason
    note: str = field(eq=False)
    """The words, which may come to differ while it is the same matter: `key` tells matters apart."""
    regarding: ClaimRef | None = None
    key: str = ""
    lasting_seconds: float = field(default=0.0, eq=False)
    """How long it must have been so before it is told."""


class NoticeBoard:
    """Tells each notice once, for as long as it stands; one that comes back is told again."""

    def __init__(
        self, tell: Callable[[ClaimRef | None, Reason, str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._since: dict[Notice, float] = {}
        self._told: set[Notice] = set()

    def show(self, notices: Iterable[Notice]) -> None:
        """Take everything there is to act on now."""
        now = self._clock()
        standing = list(notices)
        self._since = {notice: self._since.get(notice, now) for notice in standing}
        self._told &= self._since.keys()
        for notice in standing:
            if notice not in self._told and now - self._since[notice] >= notice.lasting_seconds:
                self._told.add(notice)
                self._tell(notice.regarding, notice.reason, notice.note)


def notices_of(
    drivers: Mapping[str, Driver],
    failures: Mapping[str, PluginError],
    survey: Survey,
    stuck: Mapping[str, PluginStuck],
) -> Iterator[Notice]:
    """Everything to act on now. `failures` are the plugins that could not be had, as an assembly names them.

    `stuck` are those that hang where they are asked about the whole node, by instance.
    """
    yield from (_of_stuck(name, error) for name, error in stuck.items())
    for name, failure in failures.items():
        if name not in drivers:  # else the driver says so, for it serves what is left of its claims
            yield _of_plain_text(Reason.DRIVER_NOT_SERVED, f"{name} is not served on this node: {failure}")
    for problem in survey.problems:
        if isinstance(problem.error, DuplicateDevice):
            yield _of_plain_text(Reason.DUPLICATE_DEVICE, f"driver {problem.driver}: {problem.error}", PASSING_SECONDS)
    for driver in drivers.values():
        yield from _of_driver(driver)
        yield from _of_slices(driver)
        yield from _of_claims(driver)
        yield from _of_faults(driver)


def _of_plain_text(reason: Reason, note: str, lasting_seconds: float = 0.0) -> Notice:
    return Notice(reason=reason, note=note, key=note, lasting_seconds=lasting_seconds)


def _of_stuck(name: str, error: PluginStuck) -> Notice:
    # For how long is no part of the key: it grows.
    note = f"{name} is stuck: {error}; if it does not, restart the agent's pod on this node"
    return Notice(reason=Reason.DRIVER_STUCK, note=note, key=name)


def _of_driver(driver: Driver) -> Iterator[Notice]:
    if (stuck := driver.worker.stuck) is not None:
        yield _of_stuck(driver.name, stuck)
    standing = driver.standing
    reasons = (standing.unserved, standing.unregistered, driver.refusal)
    if why := next(filter(None, reasons), ""):
        # Which of them it is tells matters apart, not the words: a hook may raise others in every round.
        key = f"{driver.name} {reasons.index(why)}"
        note = f"driver {driver.name} takes no new claims on this node: {why}"
        yield Notice(reason=Reason.DRIVER_NOT_SERVED, note=note, key=key, lasting_seconds=PASSING_SECONDS)


def _of_slices(driver: Driver) -> Iterator[Notice]:
    if driver.publisher is None:
        return
    status = driver.publisher.status
    for report in status.dropped:
        yield _of_plain_text(Reason.FIELDS_DROPPED, report)
    for error in () if status.outage else status.errors:
        yield _of_plain_text(Reason.SLICES_NOT_PUBLISHED, error, PASSING_SECONDS)


def _of_claims(driver: Driver) -> Iterator[Notice]:
    entries = list(driver.engine.journal.entries.values()) if driver.engine is not None else []
    for entry in entries:
        if entry.phase is Phase.QUARANTINED:
            yield Notice(
                reason=Reason.CLAIM_QUARANTINED,
                regarding=entry.claim,
                key=driver.name,
                note=(
                    f"the record that driver {driver.name} had of claim {entry.claim} ({entry.claim.uid}) was damaged: "
                    f"its devices stay held, and running containers keep them; delete the pod and its claim"
                ),
            )


def _of_faults(driver: Driver) -> Iterator[Notice]:
    """What stays until somebody acts, and what keeps pods from being evicted."""
    if driver.faults is None:
        return
    if driver.faults.widespread:
        note = (
            f"more than half of the devices of driver {driver.name} are faulty on this node: new claims are kept away "
            f"where taints are enabled, and no pod is evicted; look for what they have in common"
        )
        yield Notice(reason=Reason.MOST_DEVICES_FAULTY, note=note, key=driver.name)
    for fault in driver.faults.standing:
        if fault.end is FaultEnd.CLEARED:
            note = f"device {fault.device} is faulty: {fault.name}: {fault}; {driver.faults.remedy(fault)}"
            yield Notice(reason=Reason.DEVICE_FAULTY, note=note, key=f"{fault.device} {fault.name} {fault.since}")
