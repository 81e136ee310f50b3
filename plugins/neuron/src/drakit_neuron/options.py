"""The settings of the Neuron backend."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attrs import Attribute, field, frozen
from drakit import PluginContext

from drakit_neuron.instances import InstanceEntry, InstanceType, UltraServerDevices, instance_type


def _limit(_instance: object, attribute: Attribute[int], value: int) -> None:
    if value < 0:
        words = attribute.name.split("_")
        name = words[0] + "".join(map(str.capitalize, words[1:]))
        raise ValueError(f"{name} must be how many errors are a fault, or 0 for never, not {value}")


@frozen(kw_only=True)
class HealthOptions:
    """What counts as a fault of a device.

    The numbers are how many errors of a kind it takes, counted since the fault was last cleared; 0 is never. A fault
    of lost data or hardware stands until the kernel module is loaded anew, the node is rebooted, or an operator clears
    it; one of errors that lost nothing until their count has not grown for a time.

    `uncorrected_ecc`: errors of the memory that lost data. `repairable_ecc`: those that the next load of the kernel
    module repairs. `corrected_ecc`: those that lost nothing. `hardware_errors`: errors of cores and DMA engines.

    `components`: whether what the firmware calls unhealthy is a fault.

    `kmsg`: whether the kernel's log is read for hardware errors, where it may be. The runtime writes those lines for
    whoever may open the device: have it off where pods are not to be trusted with that.
    """

    uncorrected_ecc: int = field(default=1, validator=_limit)
    repairable_ecc: int = field(default=0, validator=_limit)
    corrected_ecc: int = field(default=0, validator=_limit)
    hardware_errors: int = field(default=1, validator=_limit)
    components: bool = True
    kmsg: bool = True


def _read_only(entries: Mapping[str, InstanceEntry]) -> Mapping[str, InstanceEntry]:
    return MappingProxyType(dict(entries))


@frozen(kw_only=True)
class NeuronOptions:
    """`options` of the backend `neuron`.

    `instances`: instance types that this release does not know, or knows wrongly, by name. An entry replaces the one
    of the release as a whole.

    `ultra_server_devices`: what a node of an UltraServer publishes; empty for what its instance type says. With `both`,
    the device for the node and the single ones cannot be allocated at once.

    `core_sharing`: let claims ask for cores of a device; one that asks for none still gets the whole device.

    `health`: what counts as a fault.
    """

    instances: Mapping[str, InstanceEntry] = field(factory=dict, converter=_read_only)
    ultra_server_devices: UltraServerDevices = UltraServerDevices.AS_TYPE
    core_sharing: bool = False
    health: HealthOptions = field(factory=HealthOptions)


def options_of(context: PluginContext) -> NeuronOptions:
    """The settings a plugin was given; the defaults where it was given none, as offline."""
    return context.options if isinstance(context.options, NeuronOptions) else NeuronOptions()


def known_instance(context: PluginContext, name: str) -> InstanceType | None:
    """The facts of an instance type, those that the options add included; None for one that is not known."""
    return instance_type(name, options_of(context).instances)
