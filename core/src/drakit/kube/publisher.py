"""Keeps the ResourceSlices of one driver on one node as they should be."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Mapping, Sequence

from attrs import evolve, field, frozen

from drakit.documents import Document
from drakit.errors import DRAError, LimitExceeded, PublishError, describe
from drakit.kube.client import RESOURCE_SLICES, ApiError, KubeClient
from drakit.kube.observed import PERMISSIONS, ObservedSlices
from drakit.kube.pace import Pace, Timing
from drakit.kube.writer import PoolContested, SliceWriter
from drakit.model import ResolvedPool
from drakit.model.converters import frozen_mapping, frozen_tuple
from drakit.slices import PoolSlices, pool_slices

SPLIT_COUNTERS_SINCE = (1, 35)
_INVALID = frozenset({400, 422})
_CONFLICT = 409
_PASSING = frozenset({0, 429})
"""Of a server that is away or busy, as is everything from 500 on."""
_OF_ONE_POOL = frozenset({403, 404, _CONFLICT, 413})
"""What the server may say of one object and not of the next."""


@frozen(kw_only=True)
class PublisherStatus:
    """How publishing stands: for readiness, and for people.

    `current` says that all that is desired is published, as far as the last look tells, and `published_at` when a look
    last said so, in seconds since the epoch, 0 if none ever has. `generations` are those of the pools that are
    published, `errors` is why others are not, `dropped` what the API server did not keep of those that are. `outage`
    says that among the errors is one of a server that cannot answer just now, which passes by itself.
    """

    current: bool = False
    published_at: float = 0.0
    generations: Mapping[str, int] = field(factory=dict, converter=frozen_mapping)
    errors: tuple[str, ...] = field(default=(), converter=frozen_tuple)
    dropped: tuple[str, ...] = field(default=(), converter=frozen_tuple)
    outage: bool = False


@frozen(kw_only=True)
class _Outcome:
    """What one round came to; `complete` unless the round could not look at every pool.

    `failure` is what the server refused of one pool, and may take at the next try.
    """

    complete: bool = False
    failure: ApiError | None = None
    changed: bool = False
    generations: Mapping[str, int] = field(factory=dict, converter=frozen_mapping)
    errors: tuple[str, ...] = field(default=(), converter=frozen_tuple)


@frozen
class _Layout:
    """The slices of all pools that fit, and what is wrong with the others, by pool."""

    pools: tuple[PoolSlices, ...] = field(converter=frozen_tuple)
    errors: Mapping[str, str] = field(converter=frozen_mapping)


@frozen
class _Refused:
    """Slices that the server called invalid: not to be sent again before a time, unless they change."""

    slices: PoolSlices
    until: float
    error: str


class SlicePublisher:
    """Publishes what `desired` was last given, and repairs what others change; all from one event loop.

    Nothing is deleted on stop: the kubelet does that when the driver stays away. The node's own pools are those with
    its `nodeName`. A pool that is not bound to a node has one publisher: beside slices that another Node owns, none are
    written.
    """

    def __init__(
        self,
        client: KubeClient,
        driver: str,
        node_name: str,
        *,
        timing: Timing | None = None,
        log: logging.Logger | None = None,
    ) -> None:
        self._client = client
        self._driver = driver
        self._timing = timing or Timing()
        self._log = log or logging.getLogger(f"drakit.slices.{driver}")
        self._node = node_name
        self._writer = SliceWriter(client, driver, node_name, self._log)
        self._local = self._observe(node_name)
        self._shared = self._observe("")
        self._sharing = asyncio.Event()
        self._looked_for_shared = False
        self._pools: tuple[ResolvedPool, ...] | None = None
        self._layout: _Layout | None = None
        self._refused: dict[str, _Refused] = {}
        self._version: tuple[int, int] | None = None
        self._split = True
        self._status = PublisherStatus()
        self.failed_rounds = 0
        """In how many rounds something could not be published."""
        self._wake = asyncio.Event()
        self._pace = Pace(self._timing)
        self._distrust = False
        self._outage = False

    @property
    def status(self) -> PublisherStatus:
        """How publishing stands."""
        return self._status

    @property
    def writes(self) -> Mapping[str, int]:
        """How many slices were created, updated and deleted so far."""
        return self._writer.writes

    def desired(self, pools: Sequence[ResolvedPool]) -> None:
        """Take all pools of the driver, as they should be published from now on; none takes all slices away.

        May be called at any time, before `run` too. Changes in quick succession become one; what is no change costs
        nothing. Raises PublishError for two pools of one name.
        """
        if self._pools == tuple(pools):
            return
        names = [pool.name for pool in pools]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PublishError(f"driver {self._driver} has two pools named {twice[0]!r}; give each its own name")
        self._pools, self._layout = tuple(pools), None
        self._status = evolve(self._status, current=False)
        self._wake.set()

    def verify(self) -> None:
        """Look at what the API server has now, rather than at what the watch told, and repair it."""
        if self._local.listed:
            self._distrust = True
            self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled. Begins with a list; nothing is written before `desired` was called.

        May be run again: what a cancelled run has left halfway is then found and brought to its end.
        """
        self.verify()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._local.run())
            tasks.create_task(self._observe_shared())
            while True:
                await self._wake.wait()
                await asyncio.sleep(self._pace.delay())
                self._wake.clear()
                await self._attempt()

    def _observe(self, node_name: str) -> ObservedSlices:
        selector = f"spec.driver={self._driver},spec.nodeName={node_name}"
        return ObservedSlices(self._client, selector, self._wake_up, timing=self._timing, log=self._log)

    def _wake_up(self) -> None:
        self._wake.set()

    async def _observe_shared(self) -> None:
        """Slices that are not bound to a node may be many in a cluster: watched only where some are or were wanted."""
        await self._sharing.wait()
        await self._shared.run()

    async def _attempt(self) -> None:
        """One round. Whatever goes wrong, publishing goes on, at a pace that the server can bear."""
        anew, distrust = self._layout is None, self._distrust
        self._distrust = self._outage = False
        try:
            outcome = await self._round(refresh=distrust)
        except Exception as error:  # no error may end publishing, not even one of ours
            if not isinstance(error, DRAError):
                self._log.exception("driver %s: publishing met an error that drakit did not expect", self._driver)
            self._try_again(error)
            outcome = _Outcome(generations=self._status.generations, errors=(self._explain(error),))
        else:
            if outcome.failure is None:
                self._settle(outcome, anew=anew)
            else:
                self._try_again(outcome.failure)
        self._tell(outcome)

    def _try_again(self, error: Exception) -> None:
        """Have another round, after a while, that begins with a look at what the server has by then."""
        self._pace.failed(error.retry_after if isinstance(error, ApiError) else None)
        self._distrust = True
        self._wake.set()

    def _explain(self, error: Exception) -> str:
        self._outage |= isinstance(error, ApiError) and (error.status in _PASSING or error.status >= 500)
        advice = f"; {PERMISSIONS}" if isinstance(error, ApiError) and error.denied else ""
        return f"driver {self._driver}: slices cannot be published: {describe(error)}{advice}"

    def _settle(self, outcome: _Outcome, *, anew: bool) -> None:
        if not outcome.changed:
            self._pace.found_all_well()
        elif anew:
            self._pace.wrote()
        else:
            self._pace.repaired()

    def _tell(self, outcome: _Outcome) -> None:
        before = self._status
        # Without a layout something else is desired since the round began.
        current = outcome.complete and not outcome.errors and not outcome.failure and self._layout is not None
        self.failed_rounds += bool(outcome.errors)
        self._status = PublisherStatus(
            current=current,
            published_at=time.time() if current else before.published_at,
            generations=outcome.generations,
            errors=outcome.errors,
            dropped=self._writer.dropped,
            outage=self._outage,
        )
        for error in outcome.errors:
            if error not in before.errors:
                self._log.warning("%s", error)
        if outcome.complete and (outcome.changed or (before.errors and not outcome.errors)):
            pools = ", ".join(f"{pool} (generation {number})" for pool, number in outcome.generations.items())
            self._log.info("driver %s publishes pools: %s", self._driver, pools or "none")

    async def _round(self, *, refresh: bool) -> _Outcome:
        """Bring every pool up to date. Raises ApiError, and is then to be done again."""
        layout = await self._lay_out()
        if layout is None:
            return _Outcome()
        if any(not slices.node_local for slices in layout.pools):
            self._sharing.set()
        observers = [self._local, self._shared] if self._sharing.is_set() else [self._local]
        for observed in observers:
            if refresh:
                await observed.refresh()
            if not observed.listed:  # the round begins again as soon as it is
                errors = (self._explain(observed.error),) if observed.error else ()
                return _Outcome(generations=self._status.generations, errors=errors)
        outcome = _Outcome(complete=True, errors=tuple(layout.errors.values()))
        for observed in observers:
            outcome = await self._remove_unwanted(observed, layout, outcome)
        for slices in layout.pools:
            outcome = await self._one_by_one(self._publish(slices, outcome), outcome)
        await self._look_for_shared()
        return outcome

    async def _one_by_one(self, step: Awaitable[_Outcome], outcome: _Outcome) -> _Outcome:
        """Do a step for one pool. What the server may refuse of one alone does not hold up the others."""
        try:
            return await step
        except ApiError as error:
            if error.status not in _OF_ONE_POOL:
                raise
            # That somebody was faster is no error: another agent of the node, in a rolling update.
            told = () if error.status == _CONFLICT else (self._explain(error),)
            return evolve(outcome, failure=error, errors=(*outcome.errors, *told))

    async def _look_for_shared(self) -> None:
        """Once: whether an earlier agent of this node has left slices that are not bound to it. They are ours by owner.

        If so they are watched from now on, and with them comes the round that removes those that nobody wants.
        """
        if self._sharing.is_set() or self._looked_for_shared:
            return
        found = await self._client.list(RESOURCE_SLICES, field_selector=self._shared.field_selector)
        self._looked_for_shared = True
        if any(self._writer.owns(document) for document in found.get("items") or ()):
            self._sharing.set()

    async def _remove_unwanted(self, observed: ObservedSlices, layout: _Layout, outcome: _Outcome) -> _Outcome:
        local = observed is self._local
        wanted = {slices.pool for slices in layout.pools if slices.node_local is local} | layout.errors.keys()
        for pool, documents in self._ours(observed).items():
            if pool not in wanted:
                outcome = await self._one_by_one(self._remove(pool, observed, documents, outcome), outcome)
        return outcome

    async def _remove(
        self, pool: str, observed: ObservedSlices, documents: Sequence[Document], outcome: _Outcome
    ) -> _Outcome:
        await self._writer.remove(pool, observed, documents)
        return evolve(outcome, changed=True)

    def _ours(self, observed: ObservedSlices) -> dict[str, list[Document]]:
        """By pool, the slices that nobody but this publisher is to write."""
        pools: dict[str, list[Document]] = defaultdict(list)
        for document in observed.slices:
            if observed is self._local or self._writer.owns(document):
                pools[document["spec"]["pool"]["name"]].append(document)
        return pools

    async def _publish(self, slices: PoolSlices, outcome: _Outcome) -> _Outcome:
        """Bring one pool up to date; what is wrong with it alone becomes an error of the outcome."""
        refused = self._refused.get(slices.pool)
        now = asyncio.get_running_loop().time()
        if refused is not None and refused.slices == slices and now < refused.until:
            return evolve(outcome, errors=(*outcome.errors, refused.error))
        observed = self._local if slices.node_local else self._shared
        published = [document for document in observed.slices if document["spec"]["pool"]["name"] == slices.pool]
        try:
            written = await self._writer.write(slices, observed, published)
        except ApiError as error:
            if error.status not in _INVALID:
                raise
            if await self._is_laid_out_for_another_release(slices):
                return evolve(outcome, failure=error)
            text = describe(self._refuse(slices, now, error))
            return evolve(outcome, errors=(*outcome.errors, text))
        except PoolContested as error:
            return evolve(outcome, errors=(*outcome.errors, describe(error)))
        self._refused.pop(slices.pool, None)
        generations = {**outcome.generations, slices.pool: written.generation}
        return evolve(outcome, generations=generations, changed=outcome.changed or written.changed)

    async def _is_laid_out_for_another_release(self, slices: PoolSlices) -> bool:
        """Whether counters belong elsewhere by now: a server that was upgraded would refuse them for ever."""
        if not any("sharedCounters" in spec for spec in slices.specs):
            return False
        self._version = await self._client.server_version()
        if (self._version >= SPLIT_COUNTERS_SINCE) is self._split:
            return False
        self._layout = None
        return True

    def _refuse(self, slices: PoolSlices, now: float, error: ApiError) -> PublishError:
        """Let slices that the server called invalid rest; a release or a gate may change its mind."""
        report = PublishError(
            f"driver {self._driver}: the API server refuses pool {slices.pool}: {error.message}; it is tried again in "
            f"{self._timing.refused:.0f} s, or when the pool changes"
        )
        self._refused[slices.pool] = _Refused(slices, now + self._timing.refused, str(report))
        self._version = self._layout = None  # the server may be another release by now
        asyncio.get_running_loop().call_later(self._timing.refused, self._wake.set)
        return report

    async def _lay_out(self) -> _Layout | None:
        """The slices of what is desired; None if nothing ever was. Laid out once for all rounds that follow."""
        if self._pools is None or self._layout is not None:
            return self._layout
        pools, split = self._pools, True
        if any(pool.counters for pool in pools):
            if self._version is None:
                self._version = await self._client.server_version()
            split = self._version >= SPLIT_COUNTERS_SINCE
        self._split = split
        laid_out, errors = [], {}
        for pool in pools:
            try:
                laid_out.append(pool_slices(pool, self._node, split_counters=split))
            except LimitExceeded as error:  # what is published of it stays as it is
                errors[pool.name] = f"driver {self._driver}: {describe(error)}"
        layout = _Layout(laid_out, errors)
        if pools is self._pools:  # not changed while the version was asked for
            self._layout = layout
        return layout
