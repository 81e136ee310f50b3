"""The state that pods are planned for: nodes, slices, classes, and what claims hold already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drakit.plan.allocator import Allocator, Verdict
from drakit.plan.claims import DeviceClass
from drakit.plan.nodes import NamedNode
from drakit.plan.placing.holdings import Holdings
from drakit.plan.placing.nodes import PlannedNode, matches_terms
from drakit.plan.pools import NodePool, SliceSet
from drakit.plan.profiles import KubeProfile
from drakit.plan.search import MAX_STEPS


@frozen(eq=False, kw_only=True)
class ClusterState:
    """What there is before anything is planned. Of `claims`, those that are allocated count."""

    nodes: tuple[PlannedNode, ...]
    slices: SliceSet
    classes: Mapping[str, DeviceClass]
    profile: KubeProfile
    claims: tuple[Mapping[str, Any], ...] = ()
    steps: int = MAX_STEPS
    _pools: dict[str, tuple[NodePool, ...]] = field(factory=dict, repr=False)

    def pools(self, node: PlannedNode) -> tuple[NodePool, ...]:
        """The pools that a node reaches."""
        if node.name not in self._pools:
            self._pools[node.name] = self.slices.pools(node.view, self.profile)
        return self._pools[node.name]

    def is_local(self, node: PlannedNode) -> bool:
        """Whether no device that the node reaches can be used from another node."""
        return all(isinstance(one.nodes, NamedNode) for pool in self.pools(node) for one in (*pool.slices, *pool.far))

    def survey(
        self, claims: Sequence[Mapping[str, Any]], nodes: Sequence[PlannedNode], holdings: Holdings
    ) -> tuple[Verdict, ...]:
        """One verdict for all nodes that are alike. Raises PlanError where the claims themselves are at fault."""
        pools = {(pool.driver, pool.name) for node in nodes for pool in self.pools(node)}
        allocator = Allocator(
            self.slices, self.classes, holdings.allocated(pools), profile=self.profile, steps=self.steps
        )
        return allocator.survey(claims, [node.view for node in nodes])

    def holdings(self) -> Holdings:
        """What is held to begin with. Raises InvalidDocument."""
        holdings = Holdings()
        for document in self.claims:
            if (document.get("status") or {}).get("allocation"):
                holdings.add_claim(document, holder_of(document))
        return holdings


def check_held(claim: Mapping[str, Any]) -> None:
    """Read what an allocated claim holds, and where it may be used.

    Raises InvalidDocument, or AttributeError, KeyError or TypeError for one that is not formed as a claim is.
    """
    if (claim.get("status") or {}).get("allocation"):
        Holdings().add_claim(claim, holder_of(claim))
        matches_terms(claim["status"]["allocation"].get("nodeSelector") or {}, PlannedNode("any"))


def holder_of(claim: Mapping[str, Any]) -> str:
    """Who has an allocated claim: the pods it is reserved for, or else the claim by its name."""
    metadata = claim.get("metadata") or {}
    pods = [one.get("name") for one in (claim.get("status") or {}).get("reservedFor") or () if one.get("name")]
    namespace = metadata.get("namespace") or "default"
    if pods:
        return ", ".join(f"pod {namespace}/{name}" for name in pods)
    return f"claim {namespace}/{metadata.get('name')}"


def allocated_claims(claims: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The claims with an allocation, by namespace and name."""
    return {
        (one["metadata"].get("namespace") or "", one["metadata"].get("name") or ""): one["status"]["allocation"]
        for one in claims
        if (one.get("status") or {}).get("allocation")
    }
