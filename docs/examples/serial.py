"""Serial adapters as DRA devices: a whole driver. The entry point is `serial`, in the group `drakit.plugins`."""

from __future__ import annotations

from collections.abc import Sequence

from drakit import (
    ClaimAllocation,
    ClaimRef,
    ContainerEdits,
    Device,
    DeviceNode,
    PluginContext,
    Pool,
    PreparedDevice,
    hookimpl,
)


class SerialPlugin:
    """Hands every USB serial adapter of the node to one claim at a time."""

    driver_name = "serial.example.com"

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    @hookimpl
    def discover(self) -> Sequence[Pool]:
        ports = sorted(self._context.path("/dev").glob("ttyUSB*"))
        return [Pool([Device(name=port.name.lower(), attributes={"port": port.name}) for port in ports])]

    @hookimpl
    def prepare(self, claim: ClaimAllocation) -> Sequence[PreparedDevice]:
        return [PreparedDevice.of(device, self._edits(device.device.name)) for device in claim.devices]

    @hookimpl
    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Nothing to undo: an adapter keeps no state."""

    def _edits(self, name: str) -> ContainerEdits:
        path = name.replace("ttyusb", "/dev/ttyUSB")
        return ContainerEdits(device_nodes=[DeviceNode(path, self._context.host_path(path))])
