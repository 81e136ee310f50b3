"""The slices of one selector as the API server has them: listed, watched, and listed again now and then."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import aclosing

from drakit.documents import Document
from drakit.errors import DRAError, PublishError
from drakit.kube.client import RESOURCE_SLICES, ApiError, KubeClient
from drakit.kube.pace import Backoff, Timing


class ObservedSlices:
    """A copy of the slices a field selector names.

    Each watch lasts about `Timing.verify`, with jitter, and begins with a list: so a lost event, an expired version and
    a server that was set back are all repaired by what happens anyway. `changed` is called when the copy differs, and
    when the first list fails.
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
        self._selector = field_selector
        self._changed = changed
        self._timing = timing
        self._log = log
        self._slices: dict[str, Document] = {}
        self.listed = False
        self.error: Exception | None = None

    @property
    def slices(self) -> list[Document]:
        """All of them."""
        return list(self._slices.values())

    async def run(self) -> None:
        """List and watch, until cancelled. While the server cannot be reached, the last copy stands."""
        backoff = Backoff(self._timing.first_backoff, self._timing.most_backoff)
        loop = asyncio.get_running_loop()
        while True:
            began, retry_after = loop.time(), None
            try:
                await self._follow(await self.refresh())
            except DRAError as error:
                self.error = error
                retry_after = error.retry_after if isinstance(error, ApiError) else None
                self._log.info("slices are watched again after: %s", error)
            except Exception as error:  # whatever the server sent, watching must not end
                self.error = error
                self._log.exception("slices are watched again after an error that drakit did not expect")
            if not self.listed:
                self._changed()  # to the worse: there is an error to tell of
            if loop.time() - began > self._timing.most_backoff:
                backoff.reset()  # a watch that has lasted is no failure
            await asyncio.sleep(backoff.next(retry_after))

    async def refresh(self) -> str:
        """Replace the copy by what the server has now; returns the version it has it at."""
        document = await self._list()
        slices = {item["metadata"]["name"]: item for item in document.get("items") or ()}
        differs = not self.listed or _versions(slices) != _versions(self._slices)
        self._slices, self.listed, self.error = slices, True, None
        if differs:
            self._changed()
        version: str = document["metadata"]["resourceVersion"]
        return version

    async def _list(self) -> Document:
        try:
            return await self._client.list(RESOURCE_SLICES, field_selector=self._selector)
        except ApiError as error:
            if error.status != 404:
                raise
            raise PublishError(
                f"the API server {self._client.server} does not serve {RESOURCE_SLICES.plural} of "
                f"{RESOURCE_SLICES.group_version}; Kubernetes 1.34 or later is needed"
            ) from error

    def stored(self, document: Document) -> None:
        """Take the answer to a write of our own: the watch will tell nothing new of it."""
        self._slices[document["metadata"]["name"]] = document

    def removed(self, document: Document) -> None:
        """Forget an object that is deleted, but not another that has its name by now."""
        name, uid = document["metadata"]["name"], document["metadata"]["uid"]
        known = self._slices.get(name)
        if known is not None and known["metadata"]["uid"] == uid:
            del self._slices[name]

    async def _follow(self, version: str) -> None:
        seconds = max(1, round(self._timing.verify * random.uniform(0.8, 1.2)))  # noqa: S311 - not a secret
        events = self._client.watch(
            RESOURCE_SLICES, field_selector=self._selector, resource_version=version, timeout_seconds=seconds
        )
        async with aclosing(events):
            async for kind, document in events:
                if kind != "BOOKMARK" and self._apply(kind, document):
                    self._changed()

    def _apply(self, kind: str, document: Document) -> bool:
        """Take one event; says whether it told something new."""
        known = self._slices.get(document["metadata"]["name"])
        if kind == "DELETED":
            self.removed(document)
            return known is not self._slices.get(document["metadata"]["name"])
        if known is not None and _not_newer(document, known):
            return False
        self.stored(document)
        return True


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
