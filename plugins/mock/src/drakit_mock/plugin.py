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
    Health,
    HealthStatus,
    Inventory,
    PciFunction,
    PluginContext,
    Pool,
    PreparedDevice,
    SharePolicy,
    hookimpl,
)
from drakit.errors import DeviceNotFound

from drakit_mock.environment import capacity_variable, check_names, device_variable
from drakit_mock.grouping import device_groups
from drakit_mock.hardware import NODE_TYPES, pci_functions
from drakit_mock.profile import API_VERSION, Report
from drakit_mock.source import FleetSource, MockOptions

_HEALTHY = Report(status=HealthStatus.HEALTHY)


@frozen(kw_only=True)
class MockConfig:
    """Opaque configuration: `env` is set in the containers. What a claim says goes over what its class says."""

    api_version: ClassVar[str] = API_VERSION
    kind: ClassVar[str] = "MockConfig"

    env: Mapping[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        check_names(self.env)


class MockPlugin:
    """A backend of mock devices. One class serves any number of drivers, each with a profile of its own.

    A profile that is a file is read again when it has changed, by `discover` and `health`: to edit it is to plug, to
    unplug and to break devices.
    """

    driver_name = "mock.example.com"
    options = MockOptions
    config_types = (MockConfig,)
    node_types = NODE_TYPES
    data = Path(__file__).parent / "data"

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._source = FleetSource(context.options or MockOptions())

    @hookimpl
    def discover(self) -> Sequence[Pool]:
        """The profile's pool, as it stands in the file now."""
        self._source.refresh()
        return [self._source.fleet.pool]

    @hookimpl
    def share(self, device: Device) -> SharePolicy | None:
        """The request policies of the profile, for devices that have a `share`."""
        known = self._source.fleet.devices.get(device.name)
        return known.share if known else None

    @hookimpl
    def devicegroups(self, inventory: Inventory) -> Sequence[DeviceGroup]:
        """The profile's groups, which may take in devices of other drivers."""
        fleet = self._source.fleet
        return device_groups(fleet.groups, [self._ref(name) for name in fleet.devices], inventory)

    @hookimpl
    def prepare(self, claim: ClaimAllocation) -> Sequence[PreparedDevice]:
        """The profile's edits, the configuration over them, and variables that say what was allocated."""
        return [PreparedDevice.of(allocated, self._edits(allocated)) for allocated in claim.devices]

    @hookimpl
    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Nothing to undo: a mock device keeps no state."""

    @hookimpl
    def health(self) -> Sequence[Health]:
        """The profile's reports; a device without one is healthy."""
        if self._source.refresh():
            self._context.changed()
        fleet = self._source.fleet
        reports = {name: fleet.health.get(name, _HEALTHY) for name in fleet.devices}
        return [Health(self._ref(name), it.status, it.message, it.taint) for name, it in reports.items()]

    @hookimpl
    def layout(self, node_type: str, root: Path) -> Sequence[PciFunction]:  # noqa: ARG002 - nothing but PCI is faked
        """The PCI functions of the generic node types, and the GPUs of real ones."""
        return pci_functions(node_type)

    def _ref(self, name: str) -> DeviceRef:
        return DeviceRef(self._context.driver, self._context.pool, name)

    def _edits(self, allocated: AllocatedDevice) -> ContainerEdits:
        ref = allocated.device
        known = self._source.fleet.devices.get(ref.name)
        if known is None:
            raise DeviceNotFound(f"{ref} is not in the profile any more; put it back, or delete the pod")
        env = dict(known.edits.env)
        for config in allocated.config:
            env |= config.env
        env |= [device_variable(ref), *(capacity_variable(ref, *item) for item in allocated.consumed.items())]
        return evolve(known.edits, env=env, device_nodes=[self._node(node) for node in known.edits.device_nodes])

    def _node(self, node: DeviceNode) -> DeviceNode:
        # The default is the machine's own /dev/null, even over a faked tree: that need not have one.
        host_path = self._context.host_path(node.host_path) if node.host_path else "/dev/null"
        return evolve(node, host_path=host_path)
