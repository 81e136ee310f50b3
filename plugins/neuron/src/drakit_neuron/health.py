"""The health of a device, as far as the kernel module counts it."""

from __future__ import annotations

from drakit import HealthStatus, PluginContext

from drakit_neuron.sysfs import CLASS, is_present, read_uncorrected_errors


def device_health(context: PluginContext, device_id: int) -> tuple[HealthStatus, str]:
    """Whether one device can be relied on, and for people why not."""
    if not is_present(context, device_id):
        return HealthStatus.UNHEALTHY, f"neuron{device_id} has gone: {CLASS}/neuron{device_id} is no longer there"
    counters = read_uncorrected_errors(context, device_id)
    if not counters:
        return HealthStatus.UNKNOWN, f"the Neuron driver offers no error counters for neuron{device_id}"
    errors = ", ".join(f"{name} {count}" for name, count in counters.items() if count)
    if errors:
        return (
            HealthStatus.UNHEALTHY,
            f"neuron{device_id} has had uncorrected memory errors since its driver was loaded: {errors}",
        )
    return HealthStatus.HEALTHY, ""
