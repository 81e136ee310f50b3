"""Opaque configuration in claims and classes, and the environment variables it becomes.

Documents are those of AWS's Neuron DRA driver, `neuron.aws.com/v1`. The size of logical cores is a setting of each
process, not of the hardware: claims with different sizes live side by side on a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from attrs import field, frozen
from drakit import AllocatedDevice, InvalidDeviceConfig, OneOf

from drakit_neuron.hardware import Hardware
from drakit_neuron.instances import ARCHITECTURES

API_VERSION = "neuron.aws.com/v1"

CORE_SIZE = "NEURON_LOGICAL_NC_CONFIG"
"""The runtime's older name for this, NEURON_RT_VIRTUAL_CORE_SIZE, is left to images that still use it."""


@frozen
class NeuronConfig:
    """`logicalNeuronCore`: how many physical cores a logical one is made of, 1 or 2."""

    api_version: ClassVar[str] = API_VERSION
    kind: ClassVar[str] = "NeuronConfig"
    logical_neuron_core: int = field(validator=OneOf((1, 2)))


@frozen
class UltraServerConfig:
    """`ultraserverMode`: over how many nodes of an UltraServer the job runs, 1, 2 or 4."""

    api_version: ClassVar[str] = API_VERSION
    kind: ClassVar[str] = "UltraServerConfig"
    ultraserver_mode: int = field(validator=OneOf((1, 2, 4)))


@frozen(kw_only=True)
class Asked:
    """What the configurations of one allocated device ask for together; None where they leave it open."""

    core_size: int | None = None
    nodes: int | None = None


def asked(device: AllocatedDevice) -> Asked:
    """What is asked for: of each kind the last configuration counts, since they come lowest precedence first."""
    last = {type(config): config for config in device.config}
    neuron, ultraserver = last.get(NeuronConfig), last.get(UltraServerConfig)
    return Asked(
        core_size=neuron.logical_neuron_core if neuron else None,
        nodes=ultraserver.ultraserver_mode if ultraserver else None,
    )


def check_core_size(hardware: Hardware, size: int) -> None:
    """Raise InvalidDeviceConfig unless logical cores of the hardware come in several sizes, this one among them."""
    if len(hardware.core_sizes) > 1 and size in hardware.core_sizes:
        return
    able = " or ".join(known.name for known in ARCHITECTURES.values() if known.has_core_sizes)
    raise InvalidDeviceConfig(
        f"logicalNeuronCore cannot be set on {hardware.name}: it needs {able} devices; remove NeuronConfig from the "
        f"claim and its class, or ask for an instance type with {able}"
    )


def check_agreement(environments: Iterable[tuple[AllocatedDevice, Mapping[str, str]]]) -> None:
    """Raise InvalidDeviceConfig where devices of one claim would set a variable to different values.

    A container may get several devices of a claim, and of a variable set twice it sees one value only. So a variable
    has one value over the whole claim.
    """
    first: dict[str, tuple[str, str]] = {}
    for device, environment in environments:
        for name, value in environment.items():
            other, request = first.setdefault(name, (value, device.request))
            if other != value:
                raise InvalidDeviceConfig(
                    f"requests {request!r} and {device.request!r} ask for different values of {name} ({other} and "
                    f"{value}), and a container with both could get one only; use a claim for each"
                )
