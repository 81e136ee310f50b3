"""What claims say of their devices: a driver's own entries of `status.devices`, by server-side apply (KEP-4817).

Nothing waits for it and nothing fails with it: a pod runs as well without. Each driver applies under a manager of its
own, so that it never touches the entries of others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from attrs import define

from drakit.documents import Document, status_to_api
from drakit.errors import describe
from drakit.kube.client import RESOURCE_CLAIMS, ApiError, KubeClient
from drakit.kube.pace import Backoff
from drakit.model import ClaimRef, PreparedDevice

TRIES = 5
"""How often in a row it is tried before it is said that the server takes no status, or one in conflict is given up."""
FIRST_BACKOFF_SECONDS = 0.5
MOST_BACKOFF_SECONDS = 30.0
_FINAL = frozenset({400, 403, 422})
"""What the server will say again if it is asked again."""
_CONFLICT = 409
"""Others are writing the claim just now, or it was replaced by another of its name: then that is final too."""


@define(eq=False)
class _Report:
    claim: ClaimRef
    document: Document
    tries: int = 0


class StatusWriter:
    """Writes what one driver has to say of the devices of its claims. Belongs to one event loop."""

    def __init__(
        self,
        client: KubeClient,
        driver: str,
        log: logging.Logger,
        *,
        backoff: Backoff | None = None,
    ) -> None:
        """`backoff` spaces requests while the server is in trouble: all of them, however many claims there are."""
        self._client = client
        self._driver = driver
        self._log = log
        self._backoff = backoff or Backoff(FIRST_BACKOFF_SECONDS, MOST_BACKOFF_SECONDS)
        self._reports: dict[str, _Report] = {}
        """By claim, the newest: what it says by now, or is to say."""
        self._due: asyncio.Queue[_Report] = asyncio.Queue()
        self._told: set[int] = set()
        self._failures = 0

    def report(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Have the status of a prepared claim written soon. Does nothing if no device has one, or the claim has it."""
        if all(device.status is None for device in prepared):
            return
        document = status_to_api(claim, prepared)
        known = self._reports.get(claim.uid)
        if known is None or known.document != document:
            report = self._reports[claim.uid] = _Report(claim, document)
            self._due.put_nowait(report)

    def forget(self, uid: str) -> None:
        """The claim is no longer prepared here: what is not written yet stays unwritten."""
        self._reports.pop(uid, None)

    async def run(self) -> None:
        """Write what is reported, one after another. Until cancelled; it may then be run again."""
        while True:
            report = await self._due.get()
            if self._is_current(report):
                try:
                    await self._write(report)
                except asyncio.CancelledError:
                    self._due.put_nowait(report)
                    raise

    def _is_current(self, report: _Report) -> bool:
        return self._reports.get(report.claim.uid) is report

    async def _write(self, report: _Report) -> None:
        report.tries += 1
        try:
            await self._client.apply_status(RESOURCE_CLAIMS, report.document, manager=f"drakit-{self._driver}")
        except ApiError as error:
            await self._failed(report, error)
        except Exception as error:
            self._give_up(report, 0, describe(error))
        else:
            self._told.clear()
            self._failures = 0
            self._backoff.reset()

    async def _failed(self, report: _Report, error: ApiError) -> None:
        """What passes is waited for, however long: for as long as the claim is prepared."""
        if _is_final(error) or (error.status == _CONFLICT and report.tries >= TRIES):
            self._give_up(report, error.status, _in_words(self._driver, error))
            return
        self._failures += 1
        if self._failures == TRIES:
            self._tell(report, error.status, f"{_in_words(self._driver, error)}; this is tried again")
        await asyncio.sleep(self._backoff.next(error.retry_after))
        self._due.put_nowait(report)

    def _give_up(self, report: _Report, kind: int, why: str) -> None:
        """Send it no more; a repeat of the claim tries again."""
        if self._is_current(report):
            self.forget(report.claim.uid)
        if kind not in (404, _CONFLICT):  # the claim is gone
            self._tell(report, kind, why)

    def _tell(self, report: _Report, kind: int, why: str) -> None:
        """Say why a status is not written, unless that is known already."""
        if kind not in self._told:
            self._told.add(kind)
            self._log.warning(
                "claim %s: its status.devices is not written, which its pod can do without: %s", report.claim, why
            )


def _is_final(error: ApiError) -> bool:
    # A 404 of another kind is not of the claim, but of its path: of a proxy, or a server that is not up yet.
    return error.status in _FINAL or (error.status == 404 and error.reason == "NotFound")


def _in_words(driver: str, error: ApiError) -> str:
    # What is bounded by driver is refused as invalid, with these words.
    if error.status != 403 and "resourceclaims/driver" not in error.message:
        return f"{error.message} ({error.status or error.reason})"
    return (
        f"{error.message} ({error.status}); allow the driver's service account to patch resourceclaims/status and, for "
        f"Kubernetes 1.36 and later, associated-node:patch on resourceclaims/driver named {driver}"
    )
