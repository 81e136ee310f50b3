"""Whether so many of a template fit on a node as its catalog says: the planner is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from drakit.plan.allocated import Allocated
from drakit.plan.allocator import Allocator
from drakit.plan.catalog.expanding import Template, Variant
from drakit.plan.catalog.rendering import claim_templates
from drakit.plan.claims import DeviceClass, claim_from_template
from drakit.plan.nodes import NodeView
from drakit.plan.outcome import Unsatisfied
from drakit.plan.pools import SliceSet

MAX_COPIES = 512
"""So many of a template are tried on a node, and no more."""

_NAMESPACE = "default"


@frozen
class EmptyNode:
    """What the planner knows of a node that nobody uses."""

    view: NodeView
    slices: SliceSet
    classes: Mapping[str, DeviceClass]

    def fill(self, claims: Iterable[Mapping[str, Any]]) -> int:
        """Allocate claims one after another, as for pods that come in this order; how many of them fit.

        Raises PlanError where the scheduler would stop with an error, and where the planner cannot tell.
        """
        given: list[Mapping[str, Any]] = []
        for claim in claims:
            allocator = Allocator(self.slices, self.classes, Allocated.of_claims(given))
            outcome = allocator.allocate(claim, self.view)
            if isinstance(outcome, Unsatisfied):
                break
            given.append({**claim, "status": {"allocation": outcome.to_api()}})
        return len(given)


def misfit(node: EmptyNode, template: Template, variant: Variant) -> str | None:
    """How a template does not fit as its catalog says; None if it does. Raises PlanError."""
    promised = min(variant.per_node, MAX_COPIES)
    documents = claim_templates(template, variant, _NAMESPACE)

    def claim(document: Mapping[str, Any], number: int) -> Mapping[str, Any]:
        name = f"{document['metadata']['name']}-{number}"
        return claim_from_template(document, name, _NAMESPACE, name)

    in_turn = (claim(document, number) for number in range(promised + 1) for document in documents)
    fitting = node.fill(in_turn) // len(documents)
    if fitting > promised and variant.per_node > MAX_COPIES:
        return f"more than {promised} fit, and no more are tried: perNode {variant.per_node} cannot be checked"
    if fitting != variant.per_node:
        number = f"more than {promised}" if fitting > promised else str(fitting)
        return f"{number} fit, not {variant.per_node}"
    by_kind = [claim(document, number) for document in documents for number in range(promised)]
    if node.fill(by_kind) != len(by_kind):
        return f"{variant.per_node} fit only if claims come in turn"
    return None
