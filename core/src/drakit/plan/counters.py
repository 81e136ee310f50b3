"""What is left of the counters that devices of one pool share (KEP-4815)."""

from __future__ import annotations

from collections.abc import Container

from drakit.model import Device, DeviceRef, ResolvedPool


class CounterLedger:
    """The counters of one pool. Devices that are in use have had their part taken already."""

    def __init__(self, pool: ResolvedPool, in_use: Container[DeviceRef]) -> None:
        self._left = {
            (counter_set.name, counter): amount.nanos
            for counter_set in pool.counters
            for counter, amount in counter_set.counters.items()
        }
        for device in pool.devices:
            if device.consumes and DeviceRef(pool.driver, pool.name, device.name) in in_use:
                self._change(device, -1)

    def take(self, device: Device) -> bool:
        """Take what the device consumes; False, and nothing changed, if there is too little."""
        for consumption in device.consumes:
            for counter, amount in consumption.counters.items():
                if self._left[consumption.counter_set, counter] < amount.nanos:
                    return False
        self._change(device, -1)
        return True

    def give(self, device: Device) -> None:
        """Give back what the device consumed."""
        self._change(device, 1)

    def _change(self, device: Device, sign: int) -> None:
        for consumption in device.consumes:
            for counter, amount in consumption.counters.items():
                self._left[consumption.counter_set, counter] += sign * amount.nanos
