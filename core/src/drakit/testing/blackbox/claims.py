"""Claims that a cluster has allocated, as `kubectl get resourceclaims -o yaml` prints them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from drakit.decoding import read_yaml
from drakit.documents import claim_allocation
from drakit.errors import ConfigError, DRAError
from drakit.model import AllocatedDevice, ClaimRef
from drakit.model.converters import frozen_tuple


@frozen
class AllocatedClaim:
    """One claim, and what one driver has to prepare of it."""

    ref: ClaimRef
    devices: Sequence[AllocatedDevice] = field(converter=frozen_tuple)


def read_claims(path: Path, driver: str) -> list[AllocatedClaim]:
    """The claims in a file that have devices of the driver. Raises ConfigError for what is no allocated claim.

    The file holds ResourceClaims, or lists of them. Claims of other drivers only are passed over; one that is reserved
    for a pod is refused.
    """
    found = []
    for document in _flat(read_yaml(path)):
        if not isinstance(document, Mapping) or document.get("kind") != "ResourceClaim":
            raise ConfigError(f"{path}: must hold ResourceClaims, as `kubectl get resourceclaims -o yaml` prints them")
        try:
            allocation = claim_allocation(document, driver)
        except (DRAError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path}: {error}; give one whose status has an allocation") from None
        if reserved := (document["status"].get("reservedFor") or [{}])[0]:
            raise ConfigError(
                f"{path}: claim {allocation.claim} is reserved for {reserved.get('resource')} {reserved.get('name')}, "
                "which would lose its devices when the claim is undone; give one that nobody uses"
            )
        if not allocation.claim.uid:
            raise ConfigError(f"{path}: claim {allocation.claim} has no uid; take it from the cluster it is in")
        if allocation.devices:
            found.append(AllocatedClaim(allocation.claim, allocation.devices))
    return found


def _flat(documents: Sequence[Any]) -> list[Any]:
    """The documents, lists of them opened."""
    flat: list[Any] = []
    for document in documents:
        is_list = isinstance(document, Mapping) and str(document.get("kind", "")).endswith("List")
        flat += document.get("items") or [] if is_list else [document]
    return flat
