"""The backend of a driver as its claims need it: each hook a step of its own, answers in the allocation's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import evolve, frozen

from drakit.decoding import decode_config
from drakit.errors import ClaimError, InvalidDeviceConfig
from drakit.faults import FaultBook
from drakit.host import Instance, PluginHost
from drakit.loading import Declarations
from drakit.model import AllocatedDevice, ClaimAllocation, ClaimRef, DeviceRef, Hold, PreparedDevice

Held = Callable[[DeviceRef], Sequence[Hold]]
"""What is prepared of a device; for the call alone that it is given to."""


class Backend(Protocol):
    """The hooks of the backend that are asked about claims, and what it declares."""

    @property
    def declarations(self) -> Declarations:
        """What the plugin class says of itself."""

    def check(self, claim: ClaimAllocation) -> None:
        """Raise ClaimError where a device of a claim that is not prepared yet is known to be faulty."""

    def prepare(self, claim: ClaimAllocation, held: Held) -> Sequence[PreparedDevice]:
        """Ask the plugin. Raises ClaimError or PluginError."""

    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Ask the plugin. Raises PluginError."""

    def in_use(self, device: DeviceRef) -> bool | None:
        """Ask the plugin; None where it does not know, or does not implement this. Raises PluginError."""


@frozen
class HostedBackend:
    """The backend of one driver, as the claims engine asks it."""

    host: PluginHost
    instance: Instance
    faults: FaultBook | None = None
    """What is known to be wrong with its devices; None where that is not kept."""

    @property
    def declarations(self) -> Declarations:
        """What the plugin class says of itself."""
        return self.instance.declarations

    def check(self, claim: ClaimAllocation) -> None:
        """Raise ClaimError where a device is faulty, and the claim does not put up with that."""
        if self.faults is not None:
            self.faults.check(claim)

    def prepare(self, claim: ClaimAllocation, held: Held) -> Sequence[PreparedDevice]:
        """Ask the plugin to prepare."""
        return self.host.prepare(self.instance.name, claim, held)

    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Ask the plugin to undo it."""
        self.host.unprepare(self.instance.name, claim, prepared)

    def in_use(self, device: DeviceRef) -> bool | None:
        """Ask the plugin whether anything has the device open."""
        return self.host.in_use(self.instance.name, device)


@frozen
class Hooks:
    """How the claims of a driver ask its backend, which may not be there. Raises what the backend raises."""

    driver: str
    backend: Backend | None
    began: Callable[[str], None]
    """Told before each hook, which so has the whole bound to itself."""

    @property
    def side_effects(self) -> bool:
        """Whether `prepare` changes anything but CDI files. Nothing can without a backend."""
        return self.backend is not None and self.backend.declarations.side_effects

    def required(self) -> Backend:
        """The backend. Raises ClaimError, for the user of a new claim, where there is none."""
        if self.backend is None:
            raise ClaimError(f"driver {self.driver} has no backend on this node now and can only unprepare")
        return self.backend

    def decoded(self, allocation: ClaimAllocation, *, strict: bool = True) -> ClaimAllocation:
        """The allocation with its configuration decoded. Raises InvalidDeviceConfig.

        With `strict=False`, for what was journalled, unknown keys are ignored.
        """
        if not any(device.opaque for device in allocation.devices):
            return allocation
        return evolve(allocation, devices=tuple(self._decode(device, strict) for device in allocation.devices))

    def prepare(self, decoded: ClaimAllocation, held: Held) -> tuple[PreparedDevice, ...]:
        """Ask for the first preparation of a claim, unless a device of it is faulty."""
        self.required().check(decoded)
        return self._prepared(decoded, held)

    def prepare_again(
        self, decoded: ClaimAllocation, before: Sequence[PreparedDevice], held: Held
    ) -> tuple[PreparedDevice, ...]:
        """Ask about what is prepared already; conditions that hold as they did `before` do so since then."""
        return tuple(
            evolve(now, status=now.status.since(then.status)) if now.status and then.status else now
            for now, then in zip(self._prepared(decoded, held), before, strict=True)
        )

    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice] = ()) -> None:
        """Ask for it to be undone; `prepared` is empty where `prepare` was interrupted."""
        self.began(f"unprepare of {claim}")
        self.required().unprepare(claim, prepared)

    def in_use(self, claim: ClaimRef, device: DeviceRef) -> bool | None:
        """Ask whether anything has a device of the claim open; None where that is not known."""
        self.began(f"in_use of {device}, of {claim}")
        return self.required().in_use(device)

    def _prepared(self, decoded: ClaimAllocation, held: Held) -> tuple[PreparedDevice, ...]:
        """Ask the plugin; the answer is in the order of the allocation, so that ids depend on it alone."""
        self.began(f"prepare of {decoded.claim}")
        order = {device.key: index for index, device in enumerate(decoded.devices)}
        return tuple(sorted(self.required().prepare(decoded, held), key=lambda device: order[device.key]))

    def _decode(self, device: AllocatedDevice, strict: bool) -> AllocatedDevice:
        kinds = self.required().declarations.config_types
        try:
            config = tuple(decode_config(opaque, kinds, strict=strict) for opaque in device.opaque)
        except InvalidDeviceConfig as error:
            raise InvalidDeviceConfig(f"request {device.request!r}, driver {self.driver}: {error}") from None
        return evolve(device, config=config)
