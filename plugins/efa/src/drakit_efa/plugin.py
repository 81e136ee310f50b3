"""The plugin class: its declarations and its hooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from drakit import (
    ClaimAllocation,
    ClaimRef,
    ContainerEdits,
    DeviceNode,
    DeviceRef,
    PciFunction,
    PluginContext,
    Pool,
    PreparedDevice,
    hookimpl,
)
from drakit.errors import DeviceNotFound

from drakit_efa.devices import address_of, device
from drakit_efa.layout import DATA, NODE_TYPES, lay_out
from drakit_efa.numbering import Numbering
from drakit_efa.options import EfaOptions
from drakit_efa.sysfs import Adapter, Unusable, read_adapter, read_adapters


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
        self._options: EfaOptions = context.options or EfaOptions()
        self._said: frozenset[str] = frozenset()
        self._numbering = Numbering(context)

    @hookimpl
    def discover(self) -> Sequence[Pool]:
        """Find the adapters that can be used; on a node without any the pool is empty."""
        self._numbering.look()
        scan = read_adapters(self._context, self._options.addresses)
        self._say(scan.problems)
        return [Pool([device(adapter) for adapter in scan.adapters])]

    @hookimpl
    def prepare(self, claim: ClaimAllocation) -> Sequence[PreparedDevice]:
        """Give each adapter's verbs node to the container; its number is read now, for module loads renumber."""
        self._numbering.look()
        return [
            PreparedDevice.of(allocated, self._edits(self._adapter(allocated.device))) for allocated in claim.devices
        ]

    @hookimpl
    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Nothing to undo: what was handed out was device nodes alone."""

    @hookimpl
    def layout(self, node_type: str, root: Path) -> Sequence[PciFunction]:
        """Write a faked node's EFA adapters."""
        return lay_out(node_type, root)

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
