"""What an operator should know of a node's EFA adapters, though nothing is wrong with what runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from drakit import Finding, Severity

from drakit_efa.instances import most_adapters
from drakit_efa.node import ADAPTERS, ADDRESSES, ATTRIBUTE, KERNEL_MODULE, NAMESPACES, Node, shown, unbound
from drakit_efa.sysfs import EXCLUSIVE


def findings(node: Node, instance_type: str) -> list[Finding]:
    """What is lost on this node, and what to do."""
    return [
        *_exclusive(node),
        *(_warning(KERNEL_MODULE, line) for line in unbound(node)),
        *_count(node, instance_type),
        *_left_out(node),
        *_lost(node),
        *_unknown(node),
    ]


def _exclusive(node: Node) -> Iterator[Finding]:
    if node.exclusive and node.scan.present:
        yield Finding(Severity.ERROR, NAMESPACES, f"claims for EFA adapters are refused: {EXCLUSIVE}")


def _count(node: Node, instance_type: str) -> Iterator[Finding]:
    """Whether the node has as many adapters as its type can have; nothing for a type of which that is not known."""
    most = most_adapters(instance_type)
    if most is None or node.scan.present == most:
        return
    if node.scan.present < most:
        yield _warning(
            ADAPTERS,
            f"the launch template decides: {node.scan.present} of {most} that {instance_type} can have; for more, give "
            "it more interfaces of type efa or efa-only, each on a network card of its own",
        )
    else:
        yield _warning(
            ADAPTERS,
            f"{node.scan.present}: more than the {most} that {instance_type} is known to have, and all are published; "
            "nothing is lost, drakit's table is out of date",
        )


def _left_out(node: Node) -> Iterator[Finding]:
    """Adapters with the driver that no container could use: one finding, with the reason of the first."""
    if node.scan.left_out:
        first = next(iter(node.scan.left_out.values()))
        yield _warning(ADAPTERS, f"{shown(list(node.scan.left_out))}: not published; {first}")


def _lost(node: Node) -> Iterator[Finding]:
    """By attribute, the adapters that lack it, and why the first does."""
    for attribute in dict.fromkeys(loss.attribute for loss in node.losses):
        lost = [loss for loss in node.losses if loss.attribute == attribute]
        yield _warning(
            f"{ATTRIBUTE} {attribute}",
            f"{lost[0].cost} for {shown([loss.address for loss in lost])}: {lost[0].why}; check that the agent "
            "has the whole /sys of the host, and the kernel's log",
        )


def _unknown(node: Node) -> Iterator[Finding]:
    if node.unknown:
        yield _warning(
            ADDRESSES,
            f"{shown(node.unknown)}: no EFA adapter is there; claims never get it. Correct or remove the address",
        )


def _warning(what: str, found: str) -> Finding:
    return Finding(Severity.WARNING, what, found)
