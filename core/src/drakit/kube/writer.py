"""Writing the slices of one pool: the plan carried out, and what the API server made of it taken as it is."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from drakit.documents import Document
from drakit.errors import PublishError
from drakit.kube import dropped
from drakit.kube.client import NODES, RESOURCE_SLICES, ApiError, KubeClient
from drakit.kube.observed import ObservedSlices
from drakit.kube.reconcile import plan, replacement
from drakit.slices import PoolSlices, differences, keep_taint_times, slice_document

_NOT_FOUND = 404


class PoolContested(PublishError):
    """Somebody else publishes the pool: nothing is written until their slices change."""


@frozen
class _Adopted:
    """A spec as it was wanted, and as the server keeps it: to look for it otherwise would be to write it for ever.

    Whenever the slice is written it is as wanted, all the same; and so it is offered anew in every era of the server.
    """

    wanted: Mapping[str, Any]
    kept: Mapping[str, Any]
    name: str
    era: int
    report: str


@frozen
class Written:
    """A pool that is as it should be now: its generation, and whether anything had to be done for that."""

    generation: int
    changed: bool


class SliceWriter:
    """Writes for one driver on one node. Every write is told to the copy it was planned from."""

    def __init__(self, client: KubeClient, driver: str, node_name: str, log: logging.Logger) -> None:
        self._client = client
        self._driver = driver
        self._node = node_name
        self._log = log
        self._adopted: dict[str, dict[int, _Adopted]] = {}
        self.writes = {"create": 0, "update": 0, "delete": 0}
        """How many slices were written so far, and how."""

    @property
    def dropped(self) -> tuple[str, ...]:
        """What the server did not keep, slice by slice."""
        return tuple(adopted.report for slices in self._adopted.values() for adopted in slices.values())

    async def write(self, slices: PoolSlices, observed: ObservedSlices, published: Sequence[Document]) -> Written:
        """Make the pool's slices what they should be; `published` are all that it has.

        Raises ApiError, after which the copy may not be right, and PublishError.
        """
        expected = self._expected(slices)
        if not slices.node_local:
            others = [document for document in published if not self.owns(document)]
            if others:
                own = [document for document in published if self.owns(document)]
                return await self._stand_by(slices, expected, observed, own, others)
        specs = keep_taint_times(slices.specs, [document["spec"] for document in published])
        steps = plan(specs, published, expected)
        node_uid = await self._node_uid() if steps.create else ""
        await self._delete(observed, steps.delete)
        for index, document in steps.replace:
            await self._replace(slices, index, observed, document)
        for index in steps.create:
            document = slice_document(
                specs[index], index=index, generation=steps.generation, node=self._node, node_uid=node_uid
            )
            self._take(slices, index, observed, await self._client.create(RESOURCE_SLICES, document))
            self.writes["create"] += 1
        self._forget_from(slices.pool, len(specs))
        taken = await self._offer_anew(slices, observed, specs)
        return Written(steps.generation, taken or not steps.empty)

    def _expected(self, slices: PoolSlices) -> list[Mapping[str, Any]]:
        """The specs as they are to be found: what the server was seen not to keep is not missed."""
        adopted = self._adopted.get(slices.pool, {})
        return [
            adopted[index].kept if index in adopted and adopted[index].wanted == spec else spec
            for index, spec in enumerate(slices.specs)
        ]

    async def _offer_anew(
        self, slices: PoolSlices, observed: ObservedSlices, specs: Sequence[Mapping[str, Any]]
    ) -> bool:
        """Once in an era, write what the server did not keep before; says whether it keeps another part of it now.

        Where it keeps what it kept, such a write changes nothing, and nobody hears of it. Where it keeps more, the
        devices of each slice are still the same: a new generation is not needed.
        """
        taken = False
        current = {document["metadata"]["name"]: document for document in observed.slices}
        for index, adopted in list(self._adopted.get(slices.pool, {}).items()):
            document = current.get(adopted.name)
            if adopted.era != observed.era and document is not None:
                generation = document["spec"]["pool"]["generation"]
                await self._replace(slices, index, observed, replacement(document, specs[index], generation))
                after = self._adopted[slices.pool].get(index)
                taken |= after is None or after.report != adopted.report
        return taken

    async def _replace(self, slices: PoolSlices, index: int, observed: ObservedSlices, document: Document) -> None:
        self._take(slices, index, observed, await self._client.replace(RESOURCE_SLICES, document))
        self.writes["update"] += 1

    async def remove(self, pool: str, observed: ObservedSlices, published: Sequence[Document]) -> None:
        """Delete a pool's slices. Raises ApiError."""
        await self._delete(observed, published)
        self._forget_from(pool, 0)

    def owns(self, document: Document) -> bool:
        """Whether a slice belongs to this node: by its owner, as the node's own slices and its shared ones all do."""
        return _owner(document) == self._node

    async def _stand_by(
        self,
        slices: PoolSlices,
        specs: Sequence[Mapping[str, Any]],
        observed: ObservedSlices,
        own: Sequence[Document],
        others: Sequence[Document],
    ) -> Written:
        """A pool that is not bound to a node has one publisher; of two that began at once the first by name stays."""
        owner = min(_owner(document) for document in others)
        if own and owner > self._node:
            raise PoolContested(
                f"driver {self._driver}: pool {slices.pool} is published by {owner} too, which is to give way; if it "
                f"does not, let only one node publish the pool, or give each node's pool a name of its own"
            )
        if own:
            await self.remove(slices.pool, observed, own)
        steps = plan(specs, others)
        if steps.empty:
            return Written(steps.generation, changed=bool(own))
        raise PoolContested(
            f"driver {self._driver}: pool {slices.pool} is published by {owner or 'somebody else'} already, and not as "
            f"here; let only one node publish it, or give each node's pool a name of its own"
        )

    async def _delete(self, observed: ObservedSlices, documents: Sequence[Document]) -> None:
        for document in documents:
            try:
                await self._client.delete(RESOURCE_SLICES, document)
            except ApiError as error:
                if error.status != _NOT_FOUND:
                    raise
            else:
                self.writes["delete"] += 1
            observed.removed(document)

    async def _node_uid(self) -> str:
        """Asked for anew whenever slices are created: a Node may be deleted and come back as another."""
        try:
            node = await self._client.get(NODES, self._node)
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            raise PublishError(
                f"driver {self._driver}: there is no Node {self._node!r} to own slices; check NODE_NAME, or wait "
                "until the kubelet has registered it"
            ) from error
        uid: str = node["metadata"]["uid"]
        return uid

    def _take(self, slices: PoolSlices, index: int, observed: ObservedSlices, stored: Document) -> None:
        """Learn what the server made of a write."""
        observed.stored(stored)
        wanted = slices.specs[index]
        adopted = self._adopted.setdefault(slices.pool, {})
        before = adopted.pop(index, None)
        if paths := differences(wanted, stored["spec"]):
            report = dropped.report(self._driver, slices.pool, index, paths)
            adopted[index] = _Adopted(wanted, stored["spec"], stored["metadata"]["name"], observed.era, report)
            if before is None or before.report != report:
                self._log.warning("%s", report)

    def _forget_from(self, pool: str, index: int) -> None:
        adopted = {key: value for key, value in self._adopted.pop(pool, {}).items() if key < index}
        if adopted:
            self._adopted[pool] = adopted


def _owner(document: Document) -> str:
    """The name of the Node that owns a slice, empty if none does."""
    references = document["metadata"].get("ownerReferences") or ()
    return next((str(owner["name"]) for owner in references if owner.get("kind") == "Node"), "")
