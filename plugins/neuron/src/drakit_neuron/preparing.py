"""What the containers of a claim get, and the checks before they start that no scheduler can make."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property

from attrs import field, frozen
from drakit import (
    AllocatedDevice,
    ClaimAllocation,
    ContainerEdits,
    DeviceNode,
    DeviceRef,
    DeviceStatus,
    DeviceUnfit,
    Hold,
    InvalidDeviceConfig,
    PluginContext,
    PreparedDevice,
)
from drakit.errors import ClaimError, DeviceBusy, DeviceNotFound

from drakit_neuron import links, sharing, ultraserver
from drakit_neuron.configuration import CORE_SIZE, Asked, asked, check_agreement, check_core_size
from drakit_neuron.devices import NODE_DEVICE, device_id, device_name
from drakit_neuron.hardware import Hardware, core_count, ill_components, read_hardware
from drakit_neuron.instances import UltraServerDevices
from drakit_neuron.options import options_of
from drakit_neuron.sysfs import CLASS, device_node, has_device_node, is_present, present_devices

MISSING = "missing-devices"
"""The fault of a node that lacks some of the devices its type has, and of a device without its file in /dev."""

Held = Callable[[DeviceRef], Sequence[Hold]]
GoneBad = Callable[[int], Sequence[str]]
"""What a device has counted since health was last looked at, in words."""


def prepare_claim(
    context: PluginContext, claim: ClaimAllocation, held: Held, gone_bad: GoneBad
) -> Sequence[PreparedDevice]:
    """The answer to `prepare`: each device's nodes, and the environment that configuration and share ask for.

    Nothing is changed on the node. Raises ClaimError.
    """
    return _Preparation(context, claim, held, gone_bad).devices()


@frozen
class _Given:
    """What one allocated device comes to. `state` is what other claims need to know of it."""

    env: Mapping[str, str] = field(factory=dict)
    state: Mapping[str, str] = field(factory=dict)
    status: DeviceStatus | None = None


@frozen
class _Preparation:
    """One claim that is being prepared, and on what."""

    context: PluginContext
    claim: ClaimAllocation
    held: Held
    gone_bad: GoneBad

    @cached_property
    def hardware(self) -> Hardware:
        """What the claim is prepared on; read only where something depends on it."""
        numbers = (device_id(device.device.name) for device in self.claim.devices)
        return read_hardware(self.context, next((number for number in numbers if number is not None), 0))

    def devices(self) -> list[PreparedDevice]:
        numbers = [self._numbers(device.device) for device in self.claim.devices]
        self._check_overlap()
        given = [self._given(device) for device in self.claim.devices]
        check_agreement((device, part.env) for device, part in zip(self.claim.devices, given, strict=True))
        self._check_hardware(numbers)
        return [
            PreparedDevice.of(device, self._edits(own, part.env), part.state, part.status)
            for device, own, part in zip(self.claim.devices, numbers, given, strict=True)
        ]

    @property
    def _used(self) -> list[AllocatedDevice]:
        """What is not only looked at: the devices without administrative access."""
        return [device for device in self.claim.devices if not device.admin_access]

    @property
    def _names(self) -> list[str]:
        return [device.device.name for device in self._used]

    def _numbers(self, ref: DeviceRef) -> Sequence[int]:
        """The numbers of the devices that one allocated device stands for; all of them are there."""
        if ref.name == NODE_DEVICE:
            return self._all_numbers()
        number = device_id(ref.name)
        if number is None or not is_present(self.context, number):
            place = f"{CLASS}/neuron{number} is not there" if number is not None else "no Neuron device has such a name"
            raise DeviceNotFound(
                f"{ref.name} is not on node {self.context.node}: {place}; delete the pod to have it placed anew, and "
                "if the device does not come back, reboot or replace the node"
            )
        return (number,)

    def _all_numbers(self) -> Sequence[int]:
        if self.hardware.instance is None:
            return present_devices(self.context)
        numbers = range(self.hardware.instance.devices)
        missing = [f"neuron{number}" for number in numbers if not is_present(self.context, number)]
        if missing:
            raise DeviceUnfit(
                f"{NODE_DEVICE} is all {len(numbers)} devices that {self.hardware.name} has, and node "
                f"{self.context.node} lacks {', '.join(missing)}; delete the pod to have it placed anew, and if they "
                "do not come back, reboot or replace the node",
                fault=MISSING,
                devices=[NODE_DEVICE],
            )
        return numbers

    def _check_overlap(self) -> None:
        """Raise DeviceBusy where the whole node and a device of it would be held at once."""
        names = self._names
        if NODE_DEVICE in names and len(names) > 1:
            raise DeviceBusy(
                f"the claim was given {', '.join(names)}, and {NODE_DEVICE} has all devices of the node in it; let the "
                "claim ask for one or the other by its resourceType"
            )
        others = [self._ref(NODE_DEVICE)] if NODE_DEVICE not in names else self._device_refs()
        for other in others if names else ():
            for hold in self._others(other):
                if hold.prepared.state.get(sharing.STATE) != sharing.NONE:
                    raise DeviceBusy(
                        f"{names[0]} overlaps with {other.name}, which claim {hold.claim} ({hold.claim.uid}) holds "
                        "until that claim's pod has ended"
                    )

    def _given(self, device: AllocatedDevice) -> _Given:
        if device.admin_access:
            return _Given(state={sharing.STATE: sharing.NONE})
        wanted = asked(device)
        env: dict[str, str] = {}
        if wanted.core_size is not None:
            check_core_size(self.hardware, wanted.core_size)
            env[CORE_SIZE] = str(wanted.core_size)
        if wanted.nodes is not None:
            env |= self._modes[wanted.nodes]
        state = {ultraserver.STATE: env[ultraserver.MODE]} if wanted.nodes is not None else {}
        if device.share_id is None:
            return _Given(env, state)
        share = self._share(device, wanted)
        env |= sharing.environment(device.device.name, share)
        if share is None:
            return _Given(env, state)
        if len(self.hardware.core_sizes) > 1:  # also where nothing asks for it: the numbers above depend on it
            env[CORE_SIZE] = str(share.size)
        status = DeviceStatus(data={"device": device.device.name, "cores": share.text})
        return _Given(env, state | {sharing.STATE: share.text}, status)

    def _share(self, device: AllocatedDevice, wanted: Asked) -> sharing.Share | None:
        """The cores of a device that may be divided; None for all of them. Raises ClaimError."""
        ref = device.device
        total = core_count(self.context, self.hardware, device_id(ref.name) or 0)
        if total is None:
            raise self._unknown_cores(ref)
        division = sharing.Division.of(total, self._others(ref))
        count = sharing.asked_cores(device, total)
        if count is None:
            division.check_whole(ref.name)
            return None
        self._check_shareable(device, wanted)
        if not self.hardware.core_sizes:
            raise self._unknown_cores(ref)
        earlier = next((hold.prepared for hold in self._own(ref) if hold.prepared.key == device.key), None)
        size = wanted.core_size or max(self.hardware.core_sizes)
        return division.share(device, count, size, earlier.state.get(sharing.STATE, "") if earlier else "")

    def _unknown_cores(self, ref: DeviceRef) -> ClaimError:
        return ClaimError(
            f"{ref.name} cannot be shared: nothing says how many cores {self.hardware.name} has and how they make "
            "logical ones; let the claim ask for a whole device, and describe the instance type in the driver's option "
            "instances"
        )

    def _check_shareable(self, device: AllocatedDevice, wanted: Asked) -> None:
        if len(self.claim.devices) > 1:
            names = ", ".join(device.device.name for device in self.claim.devices)
            raise InvalidDeviceConfig(
                f"request {device.request!r} is for some cores of {device.device.name}, and the claim was given "
                f"{names}: a container can be told its cores of one device only, and must see no other; use a claim "
                "for each, and a container for each"
            )
        if wanted.nodes is not None:
            raise InvalidDeviceConfig(
                f"request {device.request!r} is for some cores of {device.device.name}, and ultraserverMode "
                f"{wanted.nodes} is for whole devices: links between nodes are not divided; ask for whole devices, or "
                "remove UltraServerConfig"
            )

    @cached_property
    def _modes(self) -> Mapping[int, Mapping[str, str]]:
        """What the runtime is told, by each number of nodes that devices of the claim ask for."""
        sizes = {asked(device).nodes for device in self._used}
        return {nodes: self._ultraserver(nodes) for nodes in sizes if nodes is not None}

    def _ultraserver(self, nodes: int) -> Mapping[str, str]:
        known = self.hardware.instance
        is_member = known is not None and known.ultra_server is not UltraServerDevices.AS_TYPE
        variables = ultraserver.environment(self.context, nodes, is_member=is_member, devices=self._names)
        everything = [self._ref(NODE_DEVICE), *self._device_refs()]
        ultraserver.check_mode(variables[ultraserver.MODE], everything, self._others)
        return variables

    def _check_hardware(self, numbers: Sequence[Sequence[int]]) -> None:
        """Look at what may have changed since the allocation, for all but administrative access."""
        used: set[int] = set()
        for device, own in zip(self.claim.devices, numbers, strict=True):
            self._check_nodes(device.device, own)
            if device.admin_access:
                continue
            used.update(own)
            if not device.tolerations:  # whoever puts up with faults may want the device for one
                self._check_health(own)
        if len(used) > 1:
            self._check_links(used)

    def _check_nodes(self, ref: DeviceRef, numbers: Iterable[int]) -> None:
        """Raise DeviceUnfit where the file is missing by which a container has a device."""
        if missing := [device_node(number) for number in numbers if not has_device_node(self.context, number)]:
            raise DeviceUnfit(
                f"{ref.name} cannot be given to a container: {', '.join(missing)} is not there on node "
                f"{self.context.node}; delete the pod to have it placed anew, and have udev make it (udevadm trigger), "
                "or load the kernel module anew",
                fault=MISSING,
                devices=[ref.name],
            )

    def _check_health(self, numbers: Iterable[int]) -> None:
        """Raise ClaimError where a device has gone bad and nobody knows yet; then health is asked at once."""
        components = options_of(self.context).health.components
        for number in numbers:
            ill = ill_components(self.context, number) if components else ()
            why = [f"its firmware calls {', '.join(ill)} unhealthy"] if ill else []
            if counted := self.gone_bad(number):
                why.append(f"it has counted {', '.join(counted)}")
            if why:
                self.context.changed()
                raise ClaimError(
                    f"{device_name(number)} has gone bad since it was allocated: {', and '.join(why)}; delete the pod "
                    "to have it placed anew"
                )

    def _check_links(self, numbers: Collection[int]) -> None:
        """Raise DeviceUnfit where devices of the claim that should be linked are not."""
        if self.hardware.instance is None:
            return
        broken = links.broken_link(self.context, self.hardware.instance, numbers)
        if broken is None:
            return
        shown = f"shows links to {', '.join(map(str, broken.shown))} only" if broken.shown else "shows no links"
        names = [device_name(broken.one), device_name(broken.other)]
        raise DeviceUnfit(
            f"{names[0]} and {names[1]} are linked on every {self.hardware.name}, and here neuron{broken.one} {shown}: "
            f"a job over both would fail; delete the pod to have it placed anew, and reset the devices, reboot or "
            f"replace node {self.context.node}, also if another of its devices is missing",
            fault=links.FAULT,
            devices=[name for name in names if name in self._names] or [NODE_DEVICE],
        )

    def _edits(self, numbers: Sequence[int], env: Mapping[str, str]) -> ContainerEdits:
        return ContainerEdits(env=env, device_nodes=[self._node(device_node(number)) for number in numbers])

    def _node(self, path: str) -> DeviceNode:
        host_path = self.context.host_path(path)
        return DeviceNode(path, host_path if host_path != path else None)

    def _ref(self, name: str) -> DeviceRef:
        return DeviceRef(self.context.driver, self.context.pool, name)

    def _device_refs(self) -> list[DeviceRef]:
        """Every device that the node can have, as far as that is known."""
        known = self.hardware.instance
        numbers = range(known.devices) if known is not None else present_devices(self.context)
        return [self._ref(device_name(number)) for number in numbers]

    def _others(self, ref: DeviceRef) -> list[Hold]:
        """How other claims hold a device."""
        return [hold for hold in self.held(ref) if hold.claim.uid != self.claim.claim.uid]

    def _own(self, ref: DeviceRef) -> list[Hold]:
        """How this claim held a device when it was prepared before."""
        return [hold for hold in self.held(ref) if hold.claim.uid == self.claim.claim.uid]
