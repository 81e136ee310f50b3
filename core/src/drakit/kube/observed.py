"""The slices of one selector as the API server has them: listed, watched, and listed again now and then."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import aclosing

from drakit.documents import Document
from drakit.errors import DRAError, PublishError, describe
from drakit.kube.client import RESOURCE_SLICES, ApiError, KubeClient
from drakit.kube.pace import Backoff, Timing

PERMISSIONS = (
    "allow the driver's service account to get nodes, and to list, watch, create, update and delete "
    "resourceslices in resource.k8s.io"
)
"""What to do about a refusal."""
_TRIES_PER_RESTART = 2
_EARLY_SECONDS = 0.5
"""How much before its time a watch must end to have been ended by something else."""


class ObservedSlices:
    """A copy of the slices a field selector names.

    Each watch lasts about `Timing.verify`, with jitter, and begins with a list: so a lost event, an expired version and
    a server that was set back are all repaired by what happens anyway. A list is whole and of now; the watch could send
    the same as events, but only where a gate of the server is on. `changed` is called when the copy differs, and when
    the first list fails.
    """

    def __init__(
        self,
        client: KubeClient,
        field_selector: str,
        changed: Callable[[], None],
        *,
        timing: Timing,
        log: logging.Logger,
    ) -> None:
        self._client = client
        self.field_selector = field_selector
        self._changed = changed
        self._timing = timing
        self._log = log
        self._slices: dict[str, Document] = {}
        self._listing = asyncio.Lock()
        self._learnt: dict[str, Document] = {}
        self._gone: set[str] = set()
        self.listed = False
        self.era = 0
        """Counts the times from which on the server may keep what it did not keep before: it may have been restarted.

        With a feature gate turned on, for one. Nothing tells a restart from a connection that was cut, so it goes up
        at most once in `Timing.refused`; and once more a while later, when the other servers of the cluster have been
        restarted too.
        """
        self._doubts = 0
        self._era_began = float("-inf")
        self.error: DRAError | None = None
        """Why the last list or watch failed; None from the next list on."""
        self._told: set[tuple[int, str]] = set()

    @property
    def slices(self) -> list[Document]:
        """All of them."""
        return list(self._slices.values())

    async def run(self) -> None:
        """List and watch, until cancelled. While the server cannot be reached, the last copy stands."""
        backoff = Backoff(self._timing.first_backoff, self._timing.most_backoff)
        loop = asyncio.get_running_loop()
        while True:
            began, failure = loop.time(), None
            try:
                version = await self.refresh()
                self._settle_doubts(loop.time())
                await self._follow(version)
            except DRAError as error:
                failure = error
            except Exception as error:  # whatever the server sent, watching must not end
                self._log.exception("watching slices met an error that drakit did not expect")
                failure = PublishError(describe(error))
            if loop.time() - began > self._timing.most_backoff:  # a watch that has lasted is no failure
                backoff.reset()
                self._told.clear()
            if failure is not None:
                self._fail(failure)
            await asyncio.sleep(backoff.next(failure.retry_after if isinstance(failure, ApiError) else None))

    async def refresh(self) -> str:
        """Replace the copy by what the server has now; returns the version it has it at.

        What events and answers to writes have told while the list was on its way is not undone by it.
        """
        async with self._listing:
            self._learnt.clear()
            self._gone.clear()  # a server that was restored from a backup has again what was deleted
            document = await self._list()
            version: str = document["metadata"]["resourceVersion"]
            slices = {item["metadata"]["name"]: item for item in document.get("items") or ()}
            slices |= {name: item for name, item in self._learnt.items() if _is_later(item, version)}
            slices = {name: item for name, item in slices.items() if item["metadata"]["uid"] not in self._gone}
        differs = not self.listed or _versions(slices) != _versions(self._slices)
        self._slices, self.listed, self.error = slices, True, None
        if differs:
            self._changed()
        return version

    def _doubt(self) -> None:
        """The server may be another than before."""
        self._doubts = _TRIES_PER_RESTART

    def _settle_doubts(self, now: float) -> None:
        """After a list, which says that there is a server: begin another era if there is reason to."""
        if self._doubts and now - self._era_began >= self._timing.refused:
            self._doubts -= 1
            self._era_began = now
            self.era += 1
            self._changed()

    def _fail(self, error: DRAError) -> None:
        """Note why slices cannot be watched; each reason is logged once, until a watch has lasted.

        That a watch is cut or too old is usual. What is refused, or fails again at once, somebody should look at.
        """
        self.error = error
        if not isinstance(error, ApiError) or error.status == 0 or error.status >= 500:
            self._doubt()
        if not self.listed:
            self._changed()  # to the worse: there is an error to tell of
        denied = isinstance(error, ApiError) and error.denied
        level = logging.WARNING if denied or self._told else logging.INFO
        reason = (level, error.message if isinstance(error, ApiError) else str(error))
        if reason not in self._told:
            self._told.add(reason)
            self._log.log(level, "slices are watched again after: %s%s", error, f"; {PERMISSIONS}" if denied else "")

    async def _list(self) -> Document:
        try:
            return await self._client.list(RESOURCE_SLICES, field_selector=self.field_selector)
        except ApiError as error:
            if error.status != 404:
                raise
            raise PublishError(
                f"the API server {self._client.server} does not serve {RESOURCE_SLICES.plural} of "
                f"{RESOURCE_SLICES.group_version}; Kubernetes 1.34 or later is needed"
            ) from error

    def stored(self, document: Document) -> bool:
        """Take an object as an event or the answer to a write tells it; says whether that is news.

        The two come on ways of their own: either may have been overtaken.
        """
        name, known = document["metadata"]["name"], self._slices.get(document["metadata"]["name"])
        if document["metadata"]["uid"] in self._gone or (known is not None and _not_newer(document, known)):
            return False
        self._slices[name] = self._learnt[name] = document
        return True

    def removed(self, document: Document) -> bool:
        """Forget an object that is deleted, but not another that has its name by now; says whether that is news."""
        name, uid = document["metadata"]["name"], document["metadata"]["uid"]
        self._gone.add(uid)
        known = self._slices.get(name)
        if known is None or known["metadata"]["uid"] != uid:
            return False
        del self._slices[name]
        return True

    async def _follow(self, version: str) -> None:
        seconds = max(1, round(self._timing.verify * random.uniform(0.8, 1.2)))  # noqa: S311 - not a secret
        events = self._client.watch(
            RESOURCE_SLICES, field_selector=self.field_selector, resource_version=version, timeout_seconds=seconds
        )
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        async with aclosing(events):
            async for kind, document in events:
                if kind != "BOOKMARK" and (self.removed if kind == "DELETED" else self.stored)(document):
                    self._changed()
        if clock() < until - _EARLY_SECONDS:  # so ends a watch of a server that is shut down in order
            self._doubt()


def _versions(slices: dict[str, Document]) -> dict[str, str]:
    return {document["metadata"]["uid"]: document["metadata"]["resourceVersion"] for document in slices.values()}


def _not_newer(document: Document, known: Document) -> bool:
    """Whether an event is the echo of what is known, or of an older state. Versions of one object can be compared."""
    new, old = document["metadata"], known["metadata"]
    if new["uid"] != old["uid"]:
        return False
    if new["resourceVersion"].isdecimal() and old["resourceVersion"].isdecimal():
        return int(new["resourceVersion"]) <= int(old["resourceVersion"])
    return bool(new["resourceVersion"] == old["resourceVersion"])


def _is_later(document: Document, version: str) -> bool:
    """Whether a list made at `version` cannot know this state of the object yet."""
    own = document["metadata"]["resourceVersion"]
    return own.isdecimal() and version.isdecimal() and int(own) > int(version)
