"""The plugin class: its declarations and its hooks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from drakit import (
    ClaimAllocation,
    ClaimRef,
    Device,
    DeviceGroup,
    DeviceRef,
    Health,
    Hold,
    Inventory,
    PciFunction,
    PluginContext,
    Pool,
    PreparedDevice,
    SharePolicy,
    hookimpl,
)

from drakit_neuron.configuration import NeuronConfig, UltraServerConfig
from drakit_neuron.devices import device_id, device_name, devices
from drakit_neuron.health import device_health
from drakit_neuron.instances import DATA, INSTANCE_TYPES
from drakit_neuron.layout import NODE_TYPES, lay_out
from drakit_neuron.options import NeuronOptions, options_of
from drakit_neuron.preparing import prepare_claim
from drakit_neuron.sharing import share_policy
from drakit_neuron.sysfs import Unreadable, read_instance_type, read_node
from drakit_neuron.topology import by_pci_address, device_groups


class NeuronPlugin:
    """AWS Trainium and Inferentia devices. Names, attributes and configuration are those of AWS's own DRA driver."""

    driver_name = "neuron.aws.com"
    options = NeuronOptions
    config_types = (NeuronConfig, UltraServerConfig)
    side_effects = False
    device_plugin_resources = ("aws.amazon.com/neuron", "aws.amazon.com/neurondevice", "aws.amazon.com/neuroncore")
    node_types = NODE_TYPES
    data: Path = DATA

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._seen: set[int] = set()
        self._said: dict[str, frozenset[str]] = {}

    @hookimpl
    def discover(self) -> Sequence[Pool]:
        """Find the devices the kernel module has; on a node without any the pool is empty."""
        node = read_node(self._context)
        self._say("discover", logging.WARNING, node.problems)
        self._seen.update(node.devices)
        return [Pool(devices(node, self._context.node_labels))]

    @hookimpl
    def share(self, device: Device) -> SharePolicy | None:
        """By cores, where the operator has enabled it."""
        return share_policy(device) if options_of(self._context).core_sharing else None

    @hookimpl
    def devicegroups(self, inventory: Inventory) -> Sequence[DeviceGroup]:
        """Join Neuron devices with the EFA adapters nearest to them, whatever driver publishes those."""
        numbered = {device_id(ref.name): ref for ref, _ in inventory.of(self._context.driver)}
        neurons = {number: ref for number, ref in numbered.items() if number is not None}
        adapters = self._adapters(bool(neurons))
        return device_groups(adapters, neurons, by_pci_address(inventory)) if adapters else []

    @hookimpl
    def prepare(self, claim: ClaimAllocation, held: Callable[[DeviceRef], Sequence[Hold]]) -> Sequence[PreparedDevice]:
        """Give each device's node to the container, and the environment its configuration and its share ask for."""
        return prepare_claim(self._context, claim, held)

    @hookimpl
    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Nothing to undo: what was handed out was device nodes and environment alone."""

    @hookimpl
    def health(self) -> Sequence[Health]:
        """Report on every device this instance has seen, also on one that has gone since."""
        reports = []
        for number in sorted(self._seen):
            status, message = device_health(self._context, number)
            ref = DeviceRef(self._context.driver, self._context.pool, device_name(number))
            reports.append(Health(ref, status, message))
        return reports

    @hookimpl
    def layout(self, node_type: str, root: Path) -> Sequence[PciFunction]:
        """Write a faked node's Neuron devices."""
        return lay_out(node_type, root)

    def _adapters(self, wanted: bool) -> Sequence[str]:
        """The EFA adapters of this instance type by device id; empty, said once, where there is no map."""
        try:
            instance_type = read_instance_type(self._context)
        except Unreadable:
            return ()  # discovery has said so
        known = INSTANCE_TYPES.get(instance_type)
        adapters = known.adapters if known else ()
        lacking = [] if adapters or not wanted else [f"{instance_type} has no map of EFA adapters: no device groups"]
        self._say("devicegroups", logging.INFO, lacking)
        return adapters

    def _say(self, topic: str, level: int, lines: Iterable[str]) -> None:
        """Log what was not so the last time: one line for a change, none for a rescan."""
        now = frozenset(lines)
        for line in sorted(now - self._said.get(topic, frozenset())):
            self._context.log.log(level, "%s", line)
        self._said[topic] = now
