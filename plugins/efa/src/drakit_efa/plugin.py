"""The plugin class: its declarations and its hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from drakit import (
    ClaimAllocation,
    ClaimRef,
    Device,
    DeviceRef,
    Hold,
    PciFunction,
    PluginContext,
    Pool,
    PreparedDevice,
    SharePolicy,
    hookimpl,
)

from drakit_efa.configuration import EfaConfig
from drakit_efa.devices import device
from drakit_efa.dranet import NetworkConfig
from drakit_efa.layout import DATA, NODE_TYPES, lay_out
from drakit_efa.options import EfaOptions, options_of
from drakit_efa.ports import read_link_gbps
from drakit_efa.preparing import prepare_claim
from drakit_efa.sharing import divisible, share_policy, undivided
from drakit_efa.sysfs import Adapter, Unreadable, read_adapters


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
        self._options = options_of(context)
        self._said: frozenset[str] = frozenset()

    @hookimpl
    def discover(self) -> Sequence[Pool]:
        """Find the adapters that can be used; on a node without any the pool is empty."""
        scan = read_adapters(self._context, self._options.addresses)
        sharing = self._options.sharing
        devices = [divisible(device(adapter, self._gbps(adapter)), sharing) for adapter in scan.adapters]
        self._say([*scan.problems, *undivided(devices, sharing)])
        return [Pool(devices)]

    @hookimpl
    def share(self, device: Device) -> SharePolicy | None:
        """By shares or by bandwidth, where the operator has enabled one of them."""
        return share_policy(device, self._options.sharing)

    @hookimpl
    def prepare(self, claim: ClaimAllocation, held: Callable[[DeviceRef], Sequence[Hold]]) -> Sequence[PreparedDevice]:
        """Give each adapter's verbs node to the container, and what its configuration asks for."""
        return prepare_claim(self._context, claim, held)

    @hookimpl
    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Nothing to undo: what was handed out was device nodes, environment and groups alone."""

    @hookimpl
    def layout(self, node_type: str, root: Path) -> Sequence[PciFunction]:
        """Write a faked node's EFA adapters."""
        return lay_out(node_type, root)

    def _gbps(self, adapter: Adapter) -> int | None:
        try:
            return read_link_gbps(self._context, adapter.verbs)
        except (Unreadable, OSError):
            return None

    def _say(self, lines: Iterable[str]) -> None:
        """Log what was not so the last time: one line for a change, none for a rescan."""
        now = frozenset(lines)
        for line in sorted(now - self._said):
            self._context.log.warning("%s", line)
        self._said = now
