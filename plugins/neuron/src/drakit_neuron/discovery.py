"""Finding the devices of a node again and again: what is remembered from one time to the next."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from attrs import evolve
from drakit import DeviceGroup, DeviceRef, Finding, Inventory, PluginContext, Pool

from drakit_neuron.addresses import Addresses
from drakit_neuron.devices import NODE_DEVICE, device_id, pool
from drakit_neuron.findings import findings
from drakit_neuron.membership import Membership, labels
from drakit_neuron.node import Node, read_node
from drakit_neuron.options import known_instance, options_of
from drakit_neuron.sysfs import Unlistable, Unreadable, read_instance_type
from drakit_neuron.telling import Teller
from drakit_neuron.topology import by_pci_address, device_groups


class Discovery:
    """The devices of one node, for one instance of the plugin. Used on one thread."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._addresses = Addresses(context)
        self._membership: Membership | None = None
        self._teller = Teller(context.log)

    def read(self) -> Node:
        """The node as it is now; what is wrong with it is logged once.

        While the nodes of an UltraServer find out how they are linked, or the kernel module does not say, what they
        were before stands.
        """
        node = self._placed(read_node(self._context, self._addresses))
        self._teller.say("discover", node.problems)
        return node

    def _placed(self, node: Node) -> Node:
        """With its place in an UltraServer as that was last known, and what is wrong with how it is told now."""
        told, known = node.membership, self._membership
        if told is None or not node.in_ultraserver:
            return node
        if told.is_known:
            self._membership = told
            lost = "the labels and attributes that need it are left out"
        else:
            node = evolve(node, membership=known or told)
            lost = "labels and ids stay as they are"
        wrong = told.problems or ((told.unclear,) if told.unclear and known is not None else ())
        remedy = "load the kernel module anew, and reboot or replace the node if that does not help"
        problems = (f"{one}: {lost}, and claims whose ultraserverMode needs it are refused; {remedy}" for one in wrong)
        return evolve(node, problems=(*node.problems, *problems))

    def pool(self, node: Node) -> Pool:
        """What is published of it."""
        return pool(node, self._context.node_labels, options_of(self._context).ultra_server_devices)

    def groups(self, inventory: Inventory) -> Sequence[DeviceGroup]:
        """Neuron devices with the EFA adapters nearest to them, whatever driver publishes those."""
        own = inventory.of(self._context.driver)
        numbered = {device_id(ref.name): ref for ref, _ in own}
        neurons = {number: ref for number, ref in numbered.items() if number is not None}
        node = DeviceRef(self._context.driver, self._context.pool, NODE_DEVICE)
        adapters = self._adapters(bool(len(own)))
        if not adapters:
            return []
        return device_groups(adapters, neurons, by_pci_address(inventory), node if node in own.devices else None)

    def labels(self) -> Mapping[str, str]:
        """The labels of the Node object; none but on UltraServers."""
        node = self.read()
        if not node.in_ultraserver or node.membership is None:
            return {}
        return labels(node.membership, self._context.node_labels)

    def findings(self) -> Sequence[Finding]:
        """What an operator should know of the node."""
        try:
            node = self.read()
        except Unlistable:
            return ()  # discovery has said so
        return findings(node, self._context.node_labels, options_of(self._context))

    def _adapters(self, wanted: bool) -> Sequence[str]:
        """The EFA adapters of this instance type by device id; empty, said once, where there is no map."""
        try:
            instance_type = read_instance_type(self._context)
        except Unreadable:
            return ()  # discovery has said so
        known = known_instance(self._context, instance_type)
        adapters = known.adapters if known else ()
        lacking = [] if adapters or not wanted else [f"{instance_type} has no map of EFA adapters: no device groups"]
        self._teller.say("devicegroups", lacking, logging.INFO)
        return adapters
