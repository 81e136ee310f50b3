"""The plugin class: its declarations and its hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from drakit import (
    ClaimAllocation,
    ClaimRef,
    ContainerEdits,
    DeviceNode,
    DeviceRef,
    Finding,
    Health,
    PciFunction,
    PluginContext,
    Pool,
    PreparedDevice,
    hookimpl,
)
from drakit.errors import DeviceNotFound

from drakit_efa.attachments import Attachments
from drakit_efa.devices import address_of, device
from drakit_efa.health import HealthReporter
from drakit_efa.layout import DATA, NODE_TYPES, lay_out
from drakit_efa.options import EfaOptions, options_of
from drakit_efa.ports import read_mac, read_state
from drakit_efa.sysfs import Adapter, Unreadable, Unusable, read_adapter, read_adapters


class EfaPlugin:
    """AWS Elastic Fabric Adapters, published as DRANET does and handed out by CDI alone."""

    driver_name = "dra.net"
    options = EfaOptions
    config_types = ()
    side_effects = False
    device_plugin_resources = ("vpc.amazonaws.com/efa",)
    node_types = NODE_TYPES
    data: Path = DATA

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._options = options_of(context)
        self._health = HealthReporter(context)
        self._attachments = Attachments(context)
        self._said: frozenset[str] = frozenset()

    @hookimpl
    def discover(self) -> Sequence[Pool]:
        """Find the adapters that can be used; on a node without any the pool is empty."""
        scan = read_adapters(self._context, self._options.addresses)
        self._say(scan.problems)
        states = {adapter: self._read(read_state, adapter) for adapter in scan.adapters}
        self._health.know(states)
        devices = [device(adapter, self._read(read_mac, adapter), state) for adapter, state in states.items()]
        return [Pool(self._attachments.describe(devices))]

    @hookimpl
    def prepare(self, claim: ClaimAllocation) -> Sequence[PreparedDevice]:
        """Give each adapter's verbs node to the container; its number is read now, for module loads renumber."""
        return [
            PreparedDevice.of(allocated, self._edits(self._adapter(allocated.device))) for allocated in claim.devices
        ]

    @hookimpl
    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Nothing to undo: what was handed out was device nodes alone."""

    @hookimpl
    def health(self) -> Sequence[Health]:
        """Report on every adapter this instance has seen, also on one that has gone since."""
        return self._health.report()

    @hookimpl
    def check(self) -> Sequence[Finding]:
        """Say what of the adapters cannot be told on this node."""
        return [*self._health.findings(), *self._attachments.findings()]

    @hookimpl
    def close(self) -> None:
        """Ask EC2 no more."""
        self._attachments.close()

    @hookimpl
    def layout(self, node_type: str, root: Path) -> Sequence[PciFunction]:
        """Write a faked node's EFA adapters."""
        return lay_out(node_type, root)

    def _read(self, read: Callable[[PluginContext, str], str], adapter: Adapter) -> str | None:
        try:
            return read(self._context, adapter.verbs)
        except (Unreadable, OSError):
            return None

    def _adapter(self, ref: DeviceRef) -> Adapter:
        """An adapter that can be used now. Raises DeviceNotFound."""
        try:
            return read_adapter(self._context, address_of(ref.name) or ref.name)
        except Unusable as error:
            raise DeviceNotFound(
                f"EFA adapter {ref.name} cannot be used on node {self._context.node}: {error}; delete the pod to have "
                "it placed anew, and if the adapter does not come back, reboot or replace the node"
            ) from None

    def _edits(self, adapter: Adapter) -> ContainerEdits:
        path = f"/dev/infiniband/{adapter.node}"
        host_path = self._context.host_path(path)
        return ContainerEdits(device_nodes=(DeviceNode(path, host_path if host_path != path else None),))

    def _say(self, lines: Iterable[str]) -> None:
        """Log what was not so the last time: one line for a change, none for a rescan."""
        now = frozenset(lines)
        for line in sorted(now - self._said):
            self._context.log.warning("%s", line)
        self._said = now
