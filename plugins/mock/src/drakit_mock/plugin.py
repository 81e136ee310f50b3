"""The mock backend: a DRA driver whose devices come from a YAML profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from attrs import evolve, field, frozen
from drakit import (
    AllocatedDevice,
    ClaimAllocation,
    ClaimRef,
    ContainerEdits,
    Device,
    DeviceGroup,
    DeviceNode,
    DeviceRef,
    EachKey,
    Health,
    HealthStatus,
    Inventory,
    PciFunction,
    PluginContext,
    Pool,
    PreparedDevice,
    SharePolicy,
    Taint,
    hookimpl,
)
from drakit.errors import ClaimError, DeviceNotFound, DeviceUnfit

from drakit_mock.effects import Effects
from drakit_mock.environment import VARIABLE_NAME, capacity_variable, device_variable
from drakit_mock.faults import FaultKind, faults_file, state_directory
from drakit_mock.grouping import device_groups
from drakit_mock.hardware import NODE_TYPES, pci_functions
from drakit_mock.injected import InjectedFaults
from drakit_mock.profile import API_VERSION, Report
from drakit_mock.source import FleetSource, MockOptions

_HEALTHY = Report(status=HealthStatus.HEALTHY)


@frozen(kw_only=True)
class MockConfig:
    """Opaque configuration: `env` is set in the containers. What a claim says goes over what its class says."""

    api_version: ClassVar[str] = API_VERSION
    kind: ClassVar[str] = "MockConfig"

    env: Mapping[str, str] = field(factory=dict, validator=EachKey(VARIABLE_NAME))


class MockPlugin:
    """A backend of mock devices. One class serves any number of drivers, each with a profile of its own.

    A profile that is a file is read again when it has changed, by `discover` and `health`: to edit it is to plug, to
    unplug and to break devices. Faults that were injected are read again by these and by `prepare`.
    """

    driver_name = "mock.example.com"
    options = MockOptions
    config_types = (MockConfig,)
    side_effects = False
    node_types = NODE_TYPES
    data = Path(__file__).parent / "data"

    def __init__(self, context: PluginContext) -> None:
        options: MockOptions = context.options or MockOptions()
        state = state_directory(context.root, options.state)
        self._context = context
        self._source = FleetSource(options, context)
        self._faults = InjectedFaults(faults_file(state), context.driver, context.changed)
        self._effects = Effects(state, context.driver)
        self.side_effects = options.side_effects

    @hookimpl
    def discover(self) -> Sequence[Pool]:
        """The profile's pool, as it stands in the file now, without the devices that have vanished."""
        self._refresh()
        self._faults.refresh()
        fleet = self._source.fleet
        self._faults.hold_up("discover", fleet.devices)
        return [evolve(fleet.pool, devices=[item for item in fleet.pool.devices if not self._has_vanished(item.name)])]

    @hookimpl
    def share(self, device: Device) -> SharePolicy | None:
        """The request policies of the profile, for devices that have a `share`."""
        self._faults.hold_up("share", [device.name])
        known = self._source.fleet.devices.get(device.name)
        return known.share if known else None

    @hookimpl
    def devicegroups(self, inventory: Inventory) -> Sequence[DeviceGroup]:
        """The profile's groups, which may take in devices of other drivers."""
        fleet = self._source.fleet
        self._faults.hold_up("devicegroups", fleet.devices)
        return device_groups(fleet.groups, [self._ref(name) for name in fleet.devices], inventory)

    @hookimpl
    def prepare(self, claim: ClaimAllocation) -> Sequence[PreparedDevice]:
        """The profile's edits, the configuration over them, and variables that say what was allocated."""
        names = [allocated.device.name for allocated in claim.devices]
        self._faults.hold_up("prepare", names)
        prepared = [self._prepared(allocated) for allocated in claim.devices]
        if self.side_effects:
            self._effects.leave(claim.claim, [allocated.device for allocated in claim.devices])
        for name in names:
            self._fail_where_told(name)
        return prepared

    @hookimpl
    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Take away the marks of side effects; beyond them a mock device keeps no state."""
        self._faults.hold_up("unprepare", [item.device.name for item in prepared])
        if self.side_effects:
            self._effects.remove(claim)

    @hookimpl
    def in_use(self, device: DeviceRef) -> bool | None:
        """What was injected: nothing ever has a mock device open."""
        self._faults.refresh_quietly()
        return self._faults.find(device.name, FaultKind.IN_USE) is not None

    @hookimpl
    def health(self) -> Sequence[Health]:
        """What was injected, and beneath it the profile's reports; a device without any is healthy."""
        if self._refresh():
            self._context.changed()
        self._faults.refresh()
        fleet = self._source.fleet
        self._faults.hold_up("health", fleet.devices)
        return [self._health(name, fleet.health.get(name, _HEALTHY)) for name in fleet.devices]

    @hookimpl
    def layout(self, node_type: str, root: Path) -> Sequence[PciFunction]:  # noqa: ARG002 - nothing but PCI is faked
        """The PCI functions of the generic node types, and the GPUs of real ones."""
        return pci_functions(node_type)

    def _refresh(self) -> bool:
        """Read the profile again if it is another one now. Device nodes that are others are numbers dealt out anew."""
        before = self._source.fleet
        if not self._source.refresh():
            return False
        now = self._source.fleet.devices
        if any(
            known.edits.device_nodes != now[name].edits.device_nodes
            for name, known in before.devices.items()
            if name in now
        ):
            self._context.renumbered()
        return True

    def _ref(self, name: str) -> DeviceRef:
        return DeviceRef(self._context.driver, self._context.pool, name)

    def _has_vanished(self, name: str) -> bool:
        return self._faults.find(name, FaultKind.VANISH) is not None

    def _health(self, name: str, report: Report) -> Health:
        told = self._told(name, report)
        faults = [fault.reported() for fault in self._faults.of(name, FaultKind.FAULTY)]
        counters = {fault.name: fault.count for fault in faults if fault.count is not None}
        return evolve(told, faults=faults, counters=counters, epoch=self._faults.epoch(name))

    def _told(self, name: str, report: Report) -> Health:
        """What is said of a device beside the faults that end of themselves."""
        ref = self._ref(name)
        if self._has_vanished(name):
            return Health(ref, HealthStatus.UNHEALTHY, f"{name} has vanished: a fault that was injected")
        fault = self._faults.find(name, FaultKind.UNHEALTHY)
        if fault is None:
            return Health(ref, report.status, report.message, report.taint)
        taint = Taint(f"{self._context.driver}/unhealthy", effect=fault.taint) if fault.taint else None
        return Health(ref, HealthStatus.UNHEALTHY, fault.message or "a fault that was injected", taint)

    def _fail_where_told(self, name: str) -> None:
        unfit = self._faults.find(name, FaultKind.UNFIT)
        if unfit is not None:
            why = unfit.message or f"{self._ref(name)} is unfit: a fault that was injected"
            raise DeviceUnfit(why, fault=unfit.name, devices=[name])
        fault = self._faults.find(name, FaultKind.FAIL_PREPARE)
        if fault is not None:
            raise ClaimError(fault.message or f"{self._ref(name)} cannot be prepared: a fault that was injected")

    def _prepared(self, allocated: AllocatedDevice) -> PreparedDevice:
        ref = allocated.device
        known = self._source.fleet.devices.get(ref.name)
        if known is None:
            raise DeviceNotFound(f"{ref} is not in the profile any more; put it back, or delete the pod")
        if self._has_vanished(ref.name):
            raise DeviceNotFound(
                f"{ref} has vanished: a fault that was injected; delete the pod to have it placed anew"
            )
        more = known.admin if allocated.admin_access else ContainerEdits()
        env = {**known.edits.env, **more.env}
        for config in allocated.config:
            env |= config.env
        env |= [device_variable(ref), *(capacity_variable(ref, *item) for item in allocated.consumed.items())]
        nodes = [self._node(node) for node in (*known.edits.device_nodes, *more.device_nodes)]
        return PreparedDevice.of(allocated, ContainerEdits(env=env, device_nodes=nodes), status=known.status)

    def _node(self, node: DeviceNode) -> DeviceNode:
        # The default is the machine's own /dev/null, even over a faked tree: that need not have one.
        host_path = self._context.host_path(node.host_path) if node.host_path else "/dev/null"
        return evolve(node, host_path=host_path)
