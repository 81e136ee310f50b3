"""The plugin class: its declarations and its hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from drakit import (
    ClaimAllocation,
    ClaimRef,
    DescribedDevice,
    Device,
    DeviceGroup,
    DeviceRef,
    Finding,
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
from drakit_neuron.discovery import Discovery
from drakit_neuron.health import HealthReporter
from drakit_neuron.instances import DATA
from drakit_neuron.layout import NODE_TYPES, lay_out
from drakit_neuron.membership import LABELS
from drakit_neuron.numbering import Numbering
from drakit_neuron.options import NeuronOptions, options_of
from drakit_neuron.preparing import prepare_claim
from drakit_neuron.sharing import share_policy
from drakit_neuron.verifying import verify


class NeuronPlugin:
    """AWS Trainium and Inferentia devices. Names, attributes and configuration are those of AWS's own DRA driver."""

    driver_name = "neuron.aws.com"
    options = NeuronOptions
    config_types = (NeuronConfig, UltraServerConfig)
    side_effects = False
    device_plugin_resources = ("aws.amazon.com/neuron", "aws.amazon.com/neurondevice", "aws.amazon.com/neuroncore")
    node_label_keys = LABELS
    node_types = NODE_TYPES
    data: Path = DATA

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._discovery = Discovery(context)
        self._health = HealthReporter(context)
        self._numbering = Numbering(context)

    @hookimpl
    def discover(self) -> Sequence[Pool]:
        """Find the devices the kernel module has; on a node without any the pool is empty."""
        self._numbering.look()
        node = self._discovery.read()
        pool = self._discovery.pool(node)
        self._health.know((device.number for device in node.devices), (device.name for device in pool.devices))
        return [pool]

    @hookimpl
    def share(self, device: Device) -> SharePolicy | None:
        """By cores, where the operator has enabled it."""
        return share_policy(device) if options_of(self._context).core_sharing else None

    @hookimpl
    def devicegroups(self, inventory: Inventory) -> Sequence[DeviceGroup]:
        """Join Neuron devices with the EFA adapters nearest to them, whatever driver publishes those."""
        return self._discovery.groups(inventory)

    @hookimpl
    def node_labels(self) -> Mapping[str, str]:
        """The place of the node in its UltraServer, by the labels that AWS's device plugin sets."""
        return self._discovery.labels()

    @hookimpl
    def check(self) -> Sequence[Finding]:
        """Say what is lost on this node, and why."""
        return [*self._discovery.findings(), *self._health.findings()]

    @hookimpl
    def verify(self, devices: Sequence[DescribedDevice]) -> Sequence[Finding]:
        """Say whether a container has the devices that it was given, and what its runtime is told."""
        return verify(self._context, devices)

    @hookimpl
    def prepare(self, claim: ClaimAllocation, held: Callable[[DeviceRef], Sequence[Hold]]) -> Sequence[PreparedDevice]:
        """Give each device's node to the container, and the environment its configuration and its share ask for."""
        self._numbering.look()
        return prepare_claim(self._context, claim, held, self._health.gone_bad)

    @hookimpl
    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Nothing to undo: what was handed out was device nodes and environment alone."""

    @hookimpl
    def health(self) -> Sequence[Health]:
        """Report on every device this instance has seen, also on one that has gone since."""
        return self._health.report()

    @hookimpl
    def close(self) -> None:
        """Stop listening for changes of health."""
        self._health.close()

    @hookimpl
    def layout(self, node_type: str, root: Path) -> Sequence[PciFunction]:
        """Write a faked node's Neuron devices."""
        return lay_out(node_type, root)
