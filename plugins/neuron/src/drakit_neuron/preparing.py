"""What the containers of a claim get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drakit import ClaimAllocation, ContainerEdits, DeviceNode, DeviceRef, PluginContext, PreparedDevice
from drakit.errors import DeviceNotFound

from drakit_neuron.configuration import claim_environment
from drakit_neuron.devices import device_id
from drakit_neuron.sysfs import CLASS, is_present


def prepare_claim(context: PluginContext, claim: ClaimAllocation) -> Sequence[PreparedDevice]:
    """Give each device's node to the container, and the environment its configuration asks for. Raises ClaimError."""
    numbers = [_number(context, device.device) for device in claim.devices]
    environments = claim_environment(context, claim)
    return [
        PreparedDevice.of(device, _edits(context, number, environment))
        for device, number, environment in zip(claim.devices, numbers, environments, strict=True)
    ]


def _number(context: PluginContext, ref: DeviceRef) -> int:
    """The number of a device that is there. Raises DeviceNotFound."""
    number = device_id(ref.name)
    if number is None or not is_present(context, number):
        place = f"{CLASS}/neuron{number} is not there" if number is not None else "no Neuron device has such a name"
        raise DeviceNotFound(
            f"{ref.name} is not on node {context.node}: {place}; delete the pod to have it placed anew, and "
            "if the device does not come back, reboot or replace the node"
        )
    return number


def _edits(context: PluginContext, number: int, environment: Mapping[str, str]) -> ContainerEdits:
    path = f"/dev/neuron{number}"
    host_path = context.host_path(path)
    return ContainerEdits(env=environment, device_nodes=(DeviceNode(path, host_path if host_path != path else None),))
