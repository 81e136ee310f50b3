"""The plugin class: its declarations and its hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from drakit import (
    ClaimAllocation,
    ClaimRef,
    DescribedDevice,
    Device,
    DeviceRef,
    Finding,
    Health,
    Hold,
    PciFunction,
    PluginContext,
    Pool,
    PreparedDevice,
    SharePolicy,
    hookimpl,
)

from drakit_efa.attachments import Attachments
from drakit_efa.configuration import EfaConfig
from drakit_efa.discovery import Discovery
from drakit_efa.dranet import NetworkConfig
from drakit_efa.faked import NODE_TYPES
from drakit_efa.health import HealthReporter
from drakit_efa.instances import DATA
from drakit_efa.layout import lay_out
from drakit_efa.numbering import Numbering
from drakit_efa.options import EfaOptions, options_of
from drakit_efa.preparing import prepare_claim
from drakit_efa.sharing import share_policy
from drakit_efa.verifying import verify


class EfaPlugin:
    """AWS Elastic Fabric Adapters, published as DRANET does and handed out by CDI alone."""

    driver_name = "dra.net"
    options = EfaOptions
    config_types = (EfaConfig, NetworkConfig)
    side_effects = False
    device_plugin_resources = ("vpc.amazonaws.com/efa",)
    node_types = NODE_TYPES
    data: Path = DATA

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._discovery = Discovery(context)
        self._health = HealthReporter(context)
        self._attachments = Attachments(context)
        self._numbering = Numbering(context)

    @hookimpl
    def discover(self) -> Sequence[Pool]:
        """Find the adapters that can be used; on a node without any the pool is empty."""
        self._numbering.look()
        node = self._discovery.read()
        self._health.know({found.adapter: found.state for found in node.devices})
        return [Pool(self._attachments.describe(self._discovery.devices(node)))]

    @hookimpl
    def share(self, device: Device) -> SharePolicy | None:
        """By shares or by bandwidth, where the operator has enabled one of them."""
        return share_policy(device, options_of(self._context).sharing)

    @hookimpl
    def check(self) -> Sequence[Finding]:
        """Say what is lost on this node, and why."""
        return [*self._discovery.findings(), *self._health.findings(), *self._attachments.findings()]

    @hookimpl
    def prepare(self, claim: ClaimAllocation, held: Callable[[DeviceRef], Sequence[Hold]]) -> Sequence[PreparedDevice]:
        """Give each adapter's verbs node to the container, and what its configuration asks for."""
        self._numbering.look()
        return prepare_claim(self._context, claim, held)

    @hookimpl
    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Nothing to undo: what was handed out was device nodes, environment and groups alone."""

    @hookimpl
    def health(self) -> Sequence[Health]:
        """Report on every adapter this instance has seen, also on one that has gone since."""
        return self._health.report()

    @hookimpl
    def close(self) -> None:
        """Ask EC2 no more."""
        self._attachments.close()

    @hookimpl
    def verify(self, devices: Sequence[DescribedDevice]) -> Sequence[Finding]:
        """Say what keeps a container from using its adapters."""
        return verify(self._context, devices)

    @hookimpl
    def layout(self, node_type: str, root: Path) -> Sequence[PciFunction]:
        """Write a faked node's EFA adapters."""
        return lay_out(node_type, root)
