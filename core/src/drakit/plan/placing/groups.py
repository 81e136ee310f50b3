"""What is left of device groups: those that are free as a whole, and what is stranded in broken ones, and by whom.

A group is the devices of one driver on one node with the same value of an attribute `DOMAIN/devicegroup<N>_id`, whoever
publishes it. It is free as a whole where every device of it is: unallocated, and without a taint.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import field, frozen

from drakit.model import AttributeValue, DeviceRef, TaintEffect
from drakit.plan.contents import Offer
from drakit.plan.placing.cluster import ClusterState
from drakit.plan.placing.holdings import Holdings
from drakit.plan.placing.nodes import PlannedNode
from drakit.plan.pools import NodePool

_ATTRIBUTE = re.compile(r".+/devicegroup(\d+)_id")


@frozen(kw_only=True)
class GroupUse:
    """The groups of one attribute and driver on one node.

    `stranded` are free devices of groups that are not free as a whole; `blocked_by` are those who hold the rest of
    these groups, or the taint that is on it.
    """

    node: str
    attribute: str
    driver: str
    size: int
    groups: int
    free: int
    untouched: int
    stranded: tuple[DeviceRef, ...] = ()
    blocked_by: tuple[str, ...] = ()

    @property
    def quiet(self) -> bool:
        """Whether nothing of them is taken."""
        return self.free == self.groups


@frozen
class _Group:
    free: list[DeviceRef] = field(factory=list)
    taken: list[tuple[DeviceRef, str]] = field(factory=list)


def groups_of(cluster: ClusterState, holdings: Holdings) -> tuple[GroupUse, ...]:
    """Every kind of group on every node, nodes in their order, small groups before large ones."""
    return tuple(use for node in cluster.nodes for use in _of_node(cluster, node, holdings))


def _of_node(cluster: ClusterState, node: PlannedNode, holdings: Holdings) -> Iterator[GroupUse]:
    groups: dict[tuple[int, str, str], dict[AttributeValue, _Group]] = {}
    for pool in cluster.pools(node):
        for one in pool.slices:
            for offer in one.content.offers:
                ref = DeviceRef(pool.driver, pool.name, offer.device.name)
                why = _taken(pool, offer, ref, holdings)
                for name, value in offer.device.attributes.items():
                    if match := _ATTRIBUTE.fullmatch(name):
                        key = int(match[1]), name, pool.driver
                        group = groups.setdefault(key, {}).setdefault(value, _Group())
                        if why:
                            group.taken.append((ref, why))
                        else:
                            group.free.append(ref)
    for (size, attribute, driver), values in sorted(groups.items(), key=lambda item: item[0]):
        broken = [group for group in values.values() if group.taken and group.free]
        yield GroupUse(
            node=node.name,
            attribute=attribute,
            driver=driver,
            size=size,
            groups=len(values),
            free=sum(not group.taken for group in values.values()),
            untouched=sum(len(group.free) for group in values.values()),
            stranded=tuple(ref for group in broken for ref in group.free),
            blocked_by=tuple(dict.fromkeys(why for group in broken for _, why in group.taken)),
        )


def _taken(pool: NodePool, offer: Offer, ref: DeviceRef, holdings: Holdings) -> str:
    """Who or what keeps a device from being given as a whole; "" if nothing does."""
    if holders := holdings.holders(ref):
        return ", ".join(holders)
    taints = [taint for taint in offer.device.taints if taint.effect is not TaintEffect.NONE]
    if taints:
        return f"taint {taints[0].key}"
    return f"pool {pool.name}: {pool.problem}" if pool.problem else ""
