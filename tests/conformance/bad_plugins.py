"""Plugins that break one rule each, named by it. `Good` breaks none; the others are as it is but for one thing."""

# ruff: noqa: N801 - classes are called as the rules they break
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from attrs import evolve, field, frozen
from drakit import (
    AllocatedDevice,
    AtMost,
    AttributeValue,
    ClaimAllocation,
    ClaimError,
    ClaimRef,
    ContainerEdits,
    CounterConsumption,
    CounterSet,
    DescribedDevice,
    Device,
    DeviceGroup,
    DeviceNode,
    DeviceRef,
    Finding,
    Health,
    HealthStatus,
    Inventory,
    PluginContext,
    Pool,
    PreparedDevice,
    RequestPolicy,
    Severity,
    SharePolicy,
    hookimpl,
)

GROUP = "example.com/half"


class Good:
    """Every hook, as it should be: ports in /dev, which may be shared."""

    driver_name = "port.example.com"
    node_label_keys = ("example.com/ports",)

    def __init__(self, context: PluginContext) -> None:
        self.context = context

    @hookimpl
    def discover(self) -> Sequence[Pool]:
        return [Pool([self.device(name) for name in self.names()])]

    @hookimpl
    def attributes(self, ref: DeviceRef, device: Device) -> Mapping[str, AttributeValue] | None:
        return {"example.com/seen": True}

    @hookimpl
    def share(self, device: Device) -> SharePolicy | None:
        return SharePolicy({"lanes": RequestPolicy(default=1)}) if device.name == "port0" else None

    @hookimpl
    def devicegroups(self, inventory: Inventory) -> Sequence[DeviceGroup]:
        return [DeviceGroup(GROUP, "all", set(inventory.devices))]

    @hookimpl
    def prepare(self, claim: ClaimAllocation) -> Sequence[PreparedDevice]:
        return [PreparedDevice.of(device, self.edits(claim, device)) for device in claim.devices]

    @hookimpl
    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        pass

    @hookimpl
    def health(self) -> Sequence[Health]:
        return [self.report(name) for name in self.names()]

    @hookimpl
    def in_use(self, device: DeviceRef) -> bool | None:
        return None

    @hookimpl
    def node_labels(self) -> Mapping[str, str]:
        return {"example.com/ports": str(len(self.names()))}

    @hookimpl
    def check(self) -> Sequence[Finding]:
        return [Finding(Severity.OK, "ports", f"{len(self.names())} of them")]

    @hookimpl
    def verify(self, devices: Sequence[DescribedDevice]) -> Sequence[Finding]:
        return [Finding(Severity.OK, "ports", f"{len(devices)} of them")]

    def names(self) -> list[str]:
        return sorted(path.name for path in self.context.path("/dev").glob("port*"))

    def device(self, name: str) -> Device:
        return Device(name=name, attributes={"port": name}, capacity={"lanes": 4})

    def edits(self, claim: ClaimAllocation, device: AllocatedDevice) -> ContainerEdits:
        path = f"/dev/{device.device.name}"
        return ContainerEdits(
            env={"PORT": path, **self.environment(claim, device)},
            device_nodes=[DeviceNode(path, self.context.host_path(path))],
        )

    def environment(self, claim: ClaimAllocation, device: AllocatedDevice) -> dict[str, str]:
        return {}

    def report(self, name: str) -> Health:
        return Health(DeviceRef(self.context.driver, self.context.pool, name), HealthStatus.HEALTHY)


class Marking(Good):
    """Leaves a file for each claim while it is prepared."""

    side_effects = True

    def marker(self, claim: ClaimRef) -> Path:
        return self.context.root / "dev" / f"claim-{claim.uid}"

    @hookimpl
    def prepare(self, claim):
        self.marker(claim.claim).touch()
        return super().prepare(claim)

    @hookimpl
    def unprepare(self, claim, prepared):
        self.marker(claim).unlink(missing_ok=True)


class declarations_are_legal(Good):
    driver_name = "Not A Name"


class it_can_be_constructed(Good):
    def __init__(self, context):
        raise RuntimeError("no library")


class hooks_are_declared_as_specified(Good):
    @hookimpl
    def prepare(self, claim: ClaimRef) -> Sequence[PreparedDevice]:
        return super().prepare(claim)


class device_classes_are_valid(Good):
    data = Path(__file__).parent / "bad_data"


@frozen
class Config:
    api_version: ClassVar[str] = "port.example.com/v1"
    kind: ClassVar[str] = "Config"
    speed: int = 1


@frozen
class Twin(Config):
    pass


@frozen
class Greedy(Config):
    a_key_that_no_configuration_has: int = 0


@frozen
class SelfContradicting(Config):
    mode: str = field(default="none")

    @mode.validator
    def _known(self, _attribute, value):
        if value not in ("fast", "slow"):
            raise ValueError(f"must be fast or slow, not {value!r}")


@frozen
class Misnaming:
    """Excludes a field that it does not have."""

    api_version: ClassVar[str] = "bad.example.com/v1"
    kind: ClassVar[str] = "Misnaming"
    cross_checks: ClassVar = (AtMost(count=1, fields=("speed", "pace"), says="exclude each other"),)

    speed: int | None = None

    @property
    def pace(self):
        return None


class configuration_is_told_apart(Good):
    config_types = (Config, Twin)


class configuration_is_strict(Good):
    config_types = (Greedy,)


class configuration_has_working_defaults(Good):
    config_types = (SelfContradicting,)


class configuration_can_be_checked_at_admission(Good):
    config_types = (Misnaming,)


class configuration_of_class_and_claim_combine(Good):
    config_types = (Config,)

    def environment(self, claim, device):
        return {"SPEED": str(sum(config.speed for config in device.config))}


class discovery_answers(Good):
    @hookimpl
    def discover(self):
        return [Pool([Device(name="port_0")])]


class hardware_is_found(Good):
    def names(self):
        return []


class discovery_is_stable(Good):
    asked = 0

    def device(self, name):
        self.asked += 1
        return Device(name=name, attributes={"asked": self.asked}, capacity={"lanes": 4})


class slices_are_accepted(Good):
    """Counters that fit the slices of 1.35, and not the one slice that 1.34 wants them in."""

    @hookimpl
    def discover(self):
        many = {f"counter-{number}": 1 for number in range(32)}
        both = ("left", "right")
        first, *others = [self.device(name) for name in self.names()]
        first = evolve(first, consumes=[CounterConsumption(name, many) for name in both])
        return [Pool([first, *others], counters=[CounterSet(name, many) for name in both])]


class attributes_are_legal(Good):
    @hookimpl
    def attributes(self, ref, device):
        return {"model": "mine"}


class share_policies_are_legal(Good):
    @hookimpl
    def share(self, device):
        return SharePolicy({"lanes": RequestPolicy(default=5)})


class groups_are_consistent(Good):
    @hookimpl
    def devicegroups(self, inventory):
        return [DeviceGroup(GROUP, value, set(inventory.devices)) for value in ("left", "right")]


class health_is_within_contract(Good):
    def report(self, name):
        return Health(DeviceRef(self.context.driver, "another-pool", name), HealthStatus.HEALTHY)


class labels_are_declared_and_stable(Good):
    rounds = 0

    @hookimpl
    def node_labels(self):
        self.rounds += 1
        return {"example.com/ports": str(self.rounds)}


class checks_are_findings(Good):
    @hookimpl
    def check(self):
        return ["all is well"]


class verifications_are_findings(Good):
    @hookimpl
    def verify(self, devices):
        return [Finding(Severity.OK, "first port", devices[0].device.name)]


class prepare_answers_every_device(Good):
    @hookimpl
    def prepare(self, claim):
        return super().prepare(claim)[1:]


class prepare_fails_at_length(Good):
    @hookimpl
    def prepare(self, claim):
        raise RuntimeError("dump: " + "0123456789abcdef" * 20000)


class prepare_keeps_the_names_of_subrequests(Good):
    @hookimpl
    def prepare(self, claim):
        return [PreparedDevice(d.base_request, d.device, self.edits(claim, d), {}, d.share_id) for d in claim.devices]


class prepare_is_idempotent(Good):
    asked = 0

    def environment(self, claim, device):
        self.asked += 1
        return {"NUMBER": str(self.asked)}


class prepare_changes_more_each_time(Marking):
    @hookimpl
    def prepare(self, claim):
        with self.marker(claim.claim).open("a") as marker:
            marker.write("once more\n")
        return super().prepare(claim)


class unprepare_undoes_what_prepare_did(Marking):
    @hookimpl
    def unprepare(self, claim, prepared):
        if not prepared:
            self.marker(claim).unlink(missing_ok=True)


class what_is_counted_never_falls(Marking):
    """Undoes a claim by its uid, and leaves on the node how many there have been."""

    @hookimpl
    def prepare(self, claim):
        if not self.marker(claim.claim).exists():
            with (self.context.root / "dev" / "claims").open("a") as claims:
                claims.write("one more\n")
        return super().prepare(claim)


class side_effects_are_declared(Marking):
    side_effects = False


class edits_can_be_applied(Good):
    def edits(self, claim, device):
        return ContainerEdits(device_nodes=[DeviceNode("/dev/port", "/dev/no-such-port")])


class unprepare_is_idempotent(Marking):
    @hookimpl
    def unprepare(self, claim, prepared):
        if prepared:
            self.marker(claim).unlink()
        else:
            self.marker(claim).unlink(missing_ok=True)


class unprepare_takes_an_interrupted_prepare(Marking):
    @hookimpl
    def unprepare(self, claim, prepared):
        if prepared:
            self.marker(claim).unlink(missing_ok=True)


class unprepare_takes_an_unknown_claim(Marking):
    @hookimpl
    def unprepare(self, claim, prepared):
        self.marker(claim).unlink(missing_ok=bool(prepared))


class admin_access_is_honoured(Good):
    @hookimpl
    def prepare(self, claim):
        if any(device.admin_access for device in claim.devices):
            raise ClaimError("the device is in use")
        return super().prepare(claim)


class use_is_told_of_every_device(Good):
    @hookimpl
    def in_use(self, device):
        return self.known[device.name]
