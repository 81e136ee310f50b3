"""Reading a claim for Prepare: one GET, live, and nothing remembered.

Claims are not watched: they have no field selector for a node, so every node would receive every claim's events.
"""

from __future__ import annotations

import asyncio

from drakit.decoding import load_json
from drakit.documents import Document
from drakit.errors import ClaimError, DRAError
from drakit.kube.client import RESOURCE_CLAIMS, ApiError, KubeClient
from drakit.model import ClaimRef

READ_SECONDS = 10.0
_LEAST_PAUSE = 0.1
MAX_READS = 32
"""How many claims are read at once. Only reads wait for each other: slices are written past them."""


class ClaimGone(ClaimError):
    """The claim that the kubelet means no longer exists: deleted, or replaced by another of its name."""


class ClaimUnreadable(DRAError):
    """The API server did not say what the claim is. Whether it still exists is not known."""


class ClaimReader:
    """Reads the claims of one driver."""

    def __init__(self, client: KubeClient, *, timeout_seconds: float = READ_SECONDS) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._slots = asyncio.Semaphore(MAX_READS)

    async def read(self, claim: ClaimRef, *, patient: bool = True) -> Document:
        """The claim's document, with exactly this uid. Otherwise as `find`."""
        document = await self.find(claim, patient=patient)
        uid = document["metadata"]["uid"]
        if uid != claim.uid:
            raise ClaimGone(
                f"claim {claim} with uid {claim.uid} was deleted and replaced by another of the same name, with uid "
                f"{uid}; the pod must be created again to use that one"
            )
        return document

    async def find(self, claim: ClaimRef, *, patient: bool = True) -> Document:
        """The document of the claim of this name, whatever its uid, within the bound that includes waiting for others.

        A server that says when to come again is asked again then, if that is within the bound and the caller is
        `patient`: the kubelet would take longer to. Duplicate keys stay visible in the document (see
        `decoding.load_json`). Raises ClaimGone, and ClaimUnreadable where the caller may go by what it knows.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds) as bound, self._slots:
                return await self._get(claim, (bound.when() or 0.0) if patient else 0.0)
        except TimeoutError:
            raise ClaimUnreadable(
                f"claim {claim} could not be read: {self._client.server} did not answer within "
                f"{self._timeout_seconds:g} s; it is tried again"
            ) from None
        except ApiError as error:
            raise _unread(claim, error) from error

    async def _get(self, claim: ClaimRef, until: float) -> Document:
        clock = asyncio.get_running_loop().time
        while True:
            try:
                return await self._client.get(RESOURCE_CLAIMS, claim.name, claim.namespace, decode=load_json)
            except ApiError as error:
                if error.retry_after is None or clock() + error.retry_after >= until:
                    raise
                await asyncio.sleep(max(error.retry_after, _LEAST_PAUSE))


def _unread(claim: ClaimRef, error: ApiError) -> DRAError:
    if error.status == 404 and error.reason == "NotFound":
        return ClaimGone(
            f"claim {claim} with uid {claim.uid} was deleted; the pod must be created again with a new claim"
        )
    if error.status == 404:  # not of the claim, but of its path: what a proxy, or a server without the API, says
        return ClaimUnreadable(
            f"claim {claim} could not be read: the API server does not serve {RESOURCE_CLAIMS.group_version} just now "
            f"({error.message}); it is tried again"
        )
    if error.status in {401, 403}:
        return ClaimUnreadable(
            f"claim {claim} could not be read: {error.message} ({error.status}); allow the driver's service account to "
            "get resourceclaims in resource.k8s.io"
        )
    return ClaimUnreadable(f"claim {claim} could not be read: {error.message}; it is tried again")
