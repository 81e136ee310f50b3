"""Who has which devices now: claims and the pods that use them, by node and driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import field, frozen

from drakit.cli.switchover.pods import claims_of, full_name, is_over, name_of, namespace_of, node_of
from drakit.documents import Document
from drakit.kube.inspection import Inspection


@frozen(kw_only=True)
class Held:
    """A claim that has devices of a driver on a node, and the pods that use it."""

    claim: str
    driver: str
    node: str
    pods: tuple[Document, ...]


@frozen
class Holders:
    """All claims that have devices."""

    held: Sequence[Held]
    _places: dict[tuple[str, str], list[Held]] = field(init=False, factory=dict)
    _users: dict[str, list[Held]] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        for one in self.held:
            self._places.setdefault((one.node, one.driver), []).append(one)
            for pod in one.pods:
                self._users.setdefault(full_name(pod), []).append(one)

    def on(self, node: str, driver: str) -> list[Held]:
        """Those with devices of a driver on a node."""
        return self._places.get((node, driver), [])

    def of(self, pod: Document) -> list[Held]:
        """Those that a pod uses."""
        return self._users.get(full_name(pod), [])


def holders(found: Inspection) -> Holders:
    """Who has what, as far as claims, pods and slices could be read."""
    users: dict[tuple[str, str], list[Document]] = {}
    for pod in found.of("Pod"):
        if not is_over(pod):
            for claim in claims_of(pod):
                users.setdefault((namespace_of(pod), claim), []).append(pod)
    return Holders(list(_held(found, users, _nodes_of_pools(found.of("ResourceSlice")))))


def _held(
    found: Inspection,
    users: Mapping[tuple[str, str], Sequence[Document]],
    pools: Mapping[tuple[str, str], str],
) -> Iterator[Held]:
    for claim in found.of("ResourceClaim"):
        allocation = (claim.get("status") or {}).get("allocation") or {}
        pods = tuple(users.get((namespace_of(claim), name_of(claim)), ()))
        places: dict[tuple[str, str], None] = {}
        for result in (allocation.get("devices") or {}).get("results") or ():
            pool = (str(result.get("driver")), str(result.get("pool")))
            # A pool without slices is named after its node as a rule: a driver that was taken away leaves that.
            nodes = {node_of(pod) for pod in pods} - {""} or {pools.get(pool, pool[1])}
            places |= dict.fromkeys((pool[0], node) for node in sorted(nodes))
        for driver, node in places:
            on_it = tuple(pod for pod in pods if node_of(pod) in ("", node))
            yield Held(claim=full_name(claim), driver=driver, node=node, pods=on_it)


def _nodes_of_pools(slices: Sequence[Document]) -> dict[tuple[str, str], str]:
    return {
        (one["spec"]["driver"], one["spec"]["pool"]["name"]): one["spec"]["nodeName"]
        for one in slices
        if one["spec"].get("nodeName")
    }
