"""What an operator should know of a node's Neuron devices, though nothing is wrong with what runs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from drakit import Finding, Severity

from drakit_neuron.devices import published
from drakit_neuron.instances import UltraServerDevices
from drakit_neuron.membership import LABELS
from drakit_neuron.node import ARCHITECTURE, CONNECTED, CORE_COUNT, SERIAL, Node
from drakit_neuron.options import NeuronOptions

_LOST = {
    CORE_COUNT: "the number of cores is taken from the table of instance types, and is not published for other types",
    CONNECTED: "neuron.drakit/connectedDevices is not complete, or absent",
    SERIAL: "neuron.drakit/serialNumber is not published",
    ARCHITECTURE: "the generation is taken from the table of instance types, and is not published for other types",
}
_PUBLISHED = {
    UltraServerDevices.NODE: "one device for the node, which is never divided",
    UltraServerDevices.BOTH: "its devices beside one for the node, which takes them all, so that none is divided",
}
_SHOWN = 4


def findings(node: Node, node_labels: Mapping[str, str], options: NeuronOptions) -> list[Finding]:
    """What is lost on this node, and what to do; nothing for a node without devices."""
    if not node.devices:
        return []
    return [
        *_missing(node),
        *_unread(node),
        *_unlocated(node),
        *_unshared(node, options),
        *_unplaced(node),
        *_unlabelled(node, node_labels),
    ]


def _missing(node: Node) -> Iterator[Finding]:
    present = {device.number for device in node.devices}
    missing = sorted(set(range(node.known.devices)) - present) if node.known else []
    if node.known and missing:
        yield _warning(
            "devices",
            f"{_names(missing)} of the {node.known.devices} of {node.known.name} not there: a device that does not "
            "start leaves a gap in the numbers; see the kernel's log, and reboot or replace the node",
        )
    if node.known and (more := sorted(present - set(range(node.known.devices)))):
        yield _warning(
            "devices",
            f"{_names(more)}: more than the {node.known.devices} that {node.known.name} is known to have, published "
            "all the same; give its facts in the option instances",
        )


def _unread(node: Node) -> Iterator[Finding]:
    """By file and by what helps, for that is not the same for all devices."""
    for file, devices in node.unread.items():
        by_remedy: dict[str, dict[int, str]] = {}
        for number, unread in devices.items():
            by_remedy.setdefault(unread.remedy, {})[number] = unread.why
        for remedy, why in by_remedy.items():
            text = f"of {_names(why)}: {next(iter(why.values()))}; {_LOST[file]}"
            yield _warning(file, f"{text}; {remedy}" if remedy else text)


def _unlocated(node: Node) -> Iterator[Finding]:
    if not node.unlocated:
        return
    yield _warning(
        "PCI addresses",
        f"of {_names(node.unlocated)}: no table has them, and {next(iter(node.unlocated.values()))}; the standard "
        "attributes pciBusID, pcieRoot and numaNode of these devices are not published, and nothing else depends on "
        "them; if claims need them, give addresses in the option instances, or let the agent open /dev/neuron* or "
        "/dev/kmsg",
    )


def _unshared(node: Node, options: NeuronOptions) -> Iterator[Finding]:
    """Sharing by cores that the operator has enabled, and that no device here offers."""
    shown = published(node, options.ultra_server_devices)
    if options.core_sharing and shown is not UltraServerDevices.DEVICES:
        yield _warning(
            "coreSharing",
            f"shares nothing here: this node publishes {_PUBLISHED[shown]}; set ultraServerDevices: devices to have "
            "its devices shared by cores, or take coreSharing out",
        )


def _unplaced(node: Node) -> Iterator[Finding]:
    """A node of an UltraServer that can take part in no job over several, now or until something is done."""
    member = node.membership
    if not node.in_ultraserver or member is None or member.problems:  # which discovery has told of
        return
    refused = "claims with ultraserverMode 2 or 4 are refused"
    servers = "see that the other nodes of its UltraServer run, and that its links are not down"
    if member.busy:
        found = (
            f"its nodes are still finding out how they are linked: {refused} until they have; if this lasts, {servers}"
        )
    elif member.unclear:
        found = f"{member.unclear}: {refused}; update the Neuron driver if this type should be one of an UltraServer"
    elif not member.servers:
        found = f"this node is in no group of several: {refused}; {servers}"
    else:
        return
    yield _warning("UltraServer", found)


def _unlabelled(node: Node, node_labels: Mapping[str, str]) -> Iterator[Finding]:
    """The labels of a node of an UltraServer that nobody has set; nothing of a Node that was not read."""
    if not node.in_ultraserver or not node_labels or any(key in node_labels for key in LABELS):
        return
    if node.membership is None or not node.membership.servers:
        return  # in no group of several nodes: there is nothing to be labelled with
    yield _warning(
        "node labels",
        "this node of an UltraServer has no labels neuron.amazonaws.com/ultraserver-*: LeaderWorkerSets with "
        "exclusive-topology, and affinities that name them, place no pods here; set nodeLabels: true for this backend, "
        "or label the node by other means",
    )


def _names(numbers: Collection[int]) -> str:
    shown = [f"neuron{number}" for number in sorted(numbers)[:_SHOWN]]
    more = len(numbers) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _warning(what: str, found: str) -> Finding:
    return Finding(Severity.WARNING, what, found)
