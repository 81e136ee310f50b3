"""What a claim is prepared on: the instance type and the generation of its devices."""

from __future__ import annotations

from attrs import frozen
from drakit import PluginContext

from drakit_neuron.counters import COMPONENTS, HEALTH_STATUS, Files, read_components
from drakit_neuron.instances import ARCHITECTURES, Architecture, InstanceType
from drakit_neuron.node import CORE_COUNT, read_cores
from drakit_neuron.options import known_instance
from drakit_neuron.sysfs import CLASS, Unreadable, read_architecture, read_instance_type


@frozen(kw_only=True)
class Hardware:
    """`name` is for people. What is not known is None."""

    name: str
    instance: InstanceType | None
    architecture: Architecture | None

    @property
    def core_sizes(self) -> tuple[int, ...]:
        """How many physical cores a logical one may be made of; empty where that is not known."""
        return self.architecture.logical_core_sizes if self.architecture else ()


def read_hardware(context: PluginContext, number: int) -> Hardware:
    """The hardware of a device: by the instance type, or of a new type by the device itself."""
    try:
        name = read_instance_type(context)
    except Unreadable:
        name = ""
    if (known := known_instance(context, name)) is not None:
        return Hardware(name=known.name, instance=known, architecture=known.architecture)
    try:
        architecture = ARCHITECTURES.get(read_architecture(context, number))
    except Unreadable:
        architecture = None
    return Hardware(name=name or "this instance", instance=None, architecture=architecture)


def core_count(context: PluginContext, hardware: Hardware, number: int) -> int | None:
    """How many physical cores a device has, as it is published; None where nothing says."""
    try:
        return read_cores(context, f"{CLASS}/neuron{number}/{CORE_COUNT}")
    except Unreadable:
        return hardware.architecture.cores if hardware.architecture else None


def ill_components(context: PluginContext, number: int) -> tuple[str, ...]:
    """What the firmware of a device calls unhealthy now; empty where the kernel module does not say."""
    path = context.path(f"{CLASS}/neuron{number}/stats/hardware/{HEALTH_STATUS}/{COMPONENTS}")
    return read_components(Files(components=str(path)))
