"""What the containers of a claim get, and what its status says of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

from attrs import frozen
from drakit import (
    AllocatedDevice,
    ClaimAllocation,
    Condition,
    ConditionStatus,
    ContainerEdits,
    DeviceNode,
    DeviceRef,
    DeviceStatus,
    Hold,
    NetworkData,
    PluginContext,
    PreparedDevice,
    Quantity,
)
from drakit.errors import DeviceNotFound

from drakit_efa import sharing
from drakit_efa.configuration import asked, check_agreement
from drakit_efa.devices import address_of
from drakit_efa.options import options_of
from drakit_efa.ports import read_link_gbps, read_mac
from drakit_efa.sysfs import Adapter, Unreadable, Unusable, check_namespaces, read_adapter, verbs_nodes

NODES = "/dev/infiniband"
READY, REASON = "Ready", "RDMAOnlyDeviceReady"
"""The condition that DRANET writes of a device without a network interface."""

_T = TypeVar("_T")

Held = Callable[[DeviceRef], Sequence[Hold]]


def prepare_claim(context: PluginContext, claim: ClaimAllocation, held: Held) -> Sequence[PreparedDevice]:
    """The answer to `prepare`: each adapter's verbs node, and what configuration asks for.

    Nothing is changed on the node. The number of a verbs node is read now, for loads of modules renumber. Raises
    ClaimError.
    """
    check_namespaces(context)
    return _Preparation(context, claim, held).devices()


@frozen
class _Preparation:
    """One claim that is being prepared, and on what."""

    context: PluginContext
    claim: ClaimAllocation
    held: Held

    def devices(self) -> list[PreparedDevice]:
        environments = [(device, self._environment(device)) for device in self.claim.devices]
        check_agreement(environments)
        return [
            PreparedDevice.of(device, self._edits(device, env), self._state(device), self._status(device))
            for device, env in environments
        ]

    @cached_property
    def _adapters(self) -> Mapping[DeviceRef, Adapter]:
        nodes = verbs_nodes(self.context)
        return {device.device: self._adapter(device.device, nodes) for device in self.claim.devices}

    def _adapter(self, ref: DeviceRef, nodes: Mapping[str, str]) -> Adapter:
        """An adapter that can be used now. Raises DeviceNotFound."""
        try:
            return read_adapter(self.context, address_of(ref.name) or ref.name, nodes)
        except Unusable as error:
            raise DeviceNotFound(
                f"EFA adapter {ref.name} cannot be used on node {self.context.node}: {error}; delete the pod to have "
                "it placed anew, and if the adapter does not come back, reboot or replace the node"
            ) from None

    def _environment(self, device: AllocatedDevice) -> Mapping[str, str]:
        """What a container is told; nothing where it only looks on, so that this differs from nobody's."""
        if device.admin_access:
            return {}
        refs = [other.device for other in self.claim.devices if other.request == device.request]
        return asked(device).environment([self._adapters[ref].verbs for ref in dict.fromkeys(refs)])

    def _edits(self, device: AllocatedDevice, env: Mapping[str, str]) -> ContainerEdits:
        path = f"{NODES}/{self._adapters[device.device].node}"
        host_path = self.context.host_path(path)
        return ContainerEdits(
            env=env,
            device_nodes=[DeviceNode(path, host_path if host_path != path else None)],
            additional_gids=asked(device).additional_gids,
        )

    def _state(self, device: AllocatedDevice) -> Mapping[str, str]:
        """What other claims need to know of it. Raises ClaimError where there is not as much as it is for."""
        if device.admin_access:
            return sharing.LOOKS_ON
        if device.share_id is None:
            return {}
        amounts = sharing.amounts(device)
        capacity = sharing.divided_by(options_of(self.context).sharing)
        if capacity is not None and capacity in amounts:
            self._check_room(device.device, capacity)
        return amounts

    def _check_room(self, ref: DeviceRef, capacity: str) -> None:
        """Raise DeviceBusy unless an adapter has as much free as the claim is for, in all its requests."""
        if (total := self._total(ref, capacity)) is None:
            return
        parts = [device for device in self.claim.devices if device.device == ref and not device.admin_access]
        wanted = sum(device.consumed[capacity].nanos for device in parts if capacity in device.consumed)
        others = [hold for hold in self.held(ref) if hold.claim.uid != self.claim.claim.uid]
        sharing.Division.of(capacity, total, others).check(ref.name, wanted)

    def _total(self, ref: DeviceRef, capacity: str) -> Quantity | None:
        """How much of it an adapter has now; None where that is not known."""
        if capacity == sharing.SHARES:
            return Quantity(options_of(self.context).sharing.shares or 0)
        gbps = self._read(read_link_gbps, ref)
        return Quantity(f"{gbps}G") if gbps is not None else None

    def _status(self, device: AllocatedDevice) -> DeviceStatus:
        """What the claim says of it: the adapter's names, how much of it, and the MAC of its network interface."""
        adapter = self._adapters[device.device]
        data = {
            "rdmaDevice": adapter.verbs,
            "verbsNode": f"{NODES}/{adapter.node}",
            "pciAddress": adapter.address,
            **self._share(device),
        }
        mac = self._read(read_mac, device.device)
        return DeviceStatus(
            data=data,
            conditions=[Condition(READY, ConditionStatus.TRUE, REASON)],
            network=NetworkData(hardware_address=mac) if mac is not None else None,
        )

    def _share(self, device: AllocatedDevice) -> Mapping[str, str]:
        """How much it is of an adapter that is shared, by what it is shared by."""
        if device.share_id is None or device.admin_access:
            return {}
        amounts = sharing.amounts(device)
        name = next((name for name in sharing.CAPACITIES if name in amounts), None)
        return {name.rpartition("/")[2]: amounts[name]} if name is not None else {}

    def _read(self, reader: Callable[[PluginContext, str], _T], ref: DeviceRef) -> _T | None:
        """What a file of the adapter's port says; None where it does not."""
        try:
            return reader(self.context, self._adapters[ref].verbs)
        except (Unreadable, OSError):
            return None
