"""A network-attached pool: devices that belong to no node, and that containers reach over the network.

Every agent of the cluster discovers the same pool, so all of it must follow from the settings, which are the same
everywhere, and nothing from the node. Whichever node the pod lands on prepares the claim there.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from drakit import (
    ALL_NODES,
    AllocatedDevice,
    ClaimAllocation,
    ClaimRef,
    ContainerEdits,
    Device,
    NodeSelector,
    NodeSelectorRequirement,
    PluginContext,
    Pool,
    PreparedDevice,
    hookimpl,
)


@frozen(kw_only=True)
class ApplianceOptions:
    """An appliance with accelerators, numbered from 0. With a `zone`, only the nodes there can reach it."""

    address: str = "appliance.example.com:7000"
    accelerators: int = 4
    zone: str | None = None


class AppliancePlugin:
    """Hands out the accelerators of one appliance; another appliance is another driver of the same plugin."""

    driver_name = "appliance.example.com"
    options = ApplianceOptions

    def __init__(self, context: PluginContext) -> None:
        self._options: ApplianceOptions = context.options

    @hookimpl
    def discover(self) -> Sequence[Pool]:
        devices = [
            Device(name=f"accelerator-{number}", attributes={"slot": number})
            for number in range(self._options.accelerators)
        ]
        if self._options.zone is None:
            return [Pool(devices, name="appliance", nodes=ALL_NODES)]
        near = NodeSelectorRequirement("topology.kubernetes.io/zone", "In", [self._options.zone])
        return [Pool(devices, name="appliance", nodes=NodeSelector([near]))]

    @hookimpl
    def prepare(self, claim: ClaimAllocation) -> Sequence[PreparedDevice]:
        return [PreparedDevice.of(allocated, self._edits(allocated)) for allocated in claim.devices]

    @hookimpl
    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Nothing to undo: connections end with the pod."""

    def _edits(self, allocated: AllocatedDevice) -> ContainerEdits:
        slot = allocated.device.name.removeprefix("accelerator-")
        return ContainerEdits(env={f"APPLIANCE_ACCELERATOR_{slot}": f"{self._options.address}/{slot}"})
