"""Opaque configuration in claims and classes, and the environment variables it becomes.

Documents are those of AWS's Neuron DRA driver, `neuron.aws.com/v1`. The size of logical cores is a setting of each
process, not of the hardware: claims with different sizes live side by side on a node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from attrs import Attribute, field, frozen
from drakit import AllocatedDevice, ClaimAllocation, InvalidDeviceConfig, PluginContext

from drakit_neuron import ultraserver
from drakit_neuron.devices import device_id
from drakit_neuron.instances import ARCHITECTURES, INSTANCE_TYPES, Architecture
from drakit_neuron.sysfs import Unreadable, read_architecture, read_instance_type

API_VERSION = "neuron.aws.com/v1"


def _one_of(name: str, allowed: tuple[int, ...]) -> Callable[[Any, Attribute[int], int], None]:
    def check(_instance: Any, _attribute: Attribute[int], value: int) -> None:
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, not {value!r}")

    return check


@frozen
class NeuronConfig:
    """`logicalNeuronCore`: how many physical cores a logical one is made of, 1 or 2."""

    api_version: ClassVar[str] = API_VERSION
    kind: ClassVar[str] = "NeuronConfig"
    logical_neuron_core: int = field(validator=_one_of("logicalNeuronCore", (1, 2)))


@frozen
class UltraServerConfig:
    """`ultraserverMode`: over how many nodes of an UltraServer the job runs, 1, 2 or 4."""

    api_version: ClassVar[str] = API_VERSION
    kind: ClassVar[str] = "UltraServerConfig"
    ultraserver_mode: int = field(validator=_one_of("ultraserverMode", (1, 2, 4)))


def claim_environment(context: PluginContext, claim: ClaimAllocation) -> list[Mapping[str, str]]:
    """The environment for each device of a claim, in order.

    A container may get several devices of a claim, and of a variable set twice it sees one value only. So a variable
    has one value over the whole claim. Raises InvalidDeviceConfig.
    """
    environments = []
    first: dict[str, tuple[str, str]] = {}
    for device in claim.devices:
        environment = _device_environment(context, device)
        environments.append(environment)
        for name, value in environment.items():
            other, request = first.setdefault(name, (value, device.request))
            if other != value:
                raise InvalidDeviceConfig(
                    f"requests {request!r} and {device.request!r} ask for different values of {name} ({other} and "
                    f"{value}), and a container with both could get one only; use a claim for each"
                )
    return environments


def _device_environment(context: PluginContext, device: AllocatedDevice) -> Mapping[str, str]:
    # Configurations come with the lowest precedence first, so that of each kind the last one counts.
    effective = {type(config): config for config in device.config}
    environment: dict[str, str] = {}
    for config in effective.values():
        if isinstance(config, NeuronConfig):
            _check_core_sizes(context, device)
            # The runtime's older name for this, NEURON_RT_VIRTUAL_CORE_SIZE, is left to images that still use it.
            environment["NEURON_LOGICAL_NC_CONFIG"] = str(config.logical_neuron_core)
        elif isinstance(config, UltraServerConfig):
            environment |= ultraserver.environment(context, config.ultraserver_mode)
    return environment


def _check_core_sizes(context: PluginContext, device: AllocatedDevice) -> None:
    """Raise InvalidDeviceConfig unless the device's logical cores come in several sizes."""
    name, architecture = _hardware(context, device)
    if architecture is not None and architecture.has_core_sizes:
        return
    able = " or ".join(known.name for known in ARCHITECTURES.values() if known.has_core_sizes)
    raise InvalidDeviceConfig(
        f"logicalNeuronCore cannot be set on {name}: it needs {able} devices; remove NeuronConfig from the claim "
        f"and its class, or ask for an instance type with {able}"
    )


def _hardware(context: PluginContext, device: AllocatedDevice) -> tuple[str, Architecture | None]:
    """A name for people, and the architecture: by the instance type, or of a new type by the device itself."""
    try:
        instance_type = read_instance_type(context)
    except Unreadable:
        instance_type = ""
    if (known := INSTANCE_TYPES.get(instance_type)) is not None:
        return known.name, known.architecture
    number = device_id(device.device.name)
    try:
        architecture = ARCHITECTURES.get(read_architecture(context, number)) if number is not None else None
    except Unreadable:
        architecture = None
    return instance_type or "this instance", architecture
