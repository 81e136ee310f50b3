"""Whether a container has the Neuron devices that it was given: looked at from inside."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from drakit import DescribedDevice, Finding, PluginContext, Severity

from drakit_neuron.configuration import CORE_SIZE
from drakit_neuron.devices import NODE_DEVICE, OWN, device_id
from drakit_neuron.sharing import CORES_OF, VISIBLE
from drakit_neuron.ultraserver import MODE

NODES = "/dev"
ENVIRONMENT = "/proc/self/environ"
VARIABLES = (VISIBLE, CORE_SIZE, CORES_OF, MODE)

_NODE = re.compile(r"neuron(0|[1-9][0-9]{0,3})", re.ASCII)
_KINDS = ("neuron_device", "neuron_node")


def verify(context: PluginContext, devices: Sequence[DescribedDevice]) -> list[Finding]:
    """Findings about the container that the context's root is of; none where it has nothing to do with such devices."""
    given = [device for device in devices if _is_neuron(context, device)]
    seen = _seen(context)
    if not given and not seen:
        return []
    return [*(_given(given, seen) if given else _not_described(seen)), *_environment(context)]


def _is_neuron(context: PluginContext, device: DescribedDevice) -> bool:
    """Whether it is one of ours, whatever its driver is called."""
    return device.device.driver == context.driver or device.attributes.get("resourceType") in _KINDS


def _seen(context: PluginContext) -> set[int]:
    """The numbers of the device nodes that the container has."""
    try:
        names = [path.name for path in context.path(NODES).iterdir()]
    except OSError:
        return set()
    return {int(match[1]) for name in names if (match := _NODE.fullmatch(name))}


def _given(given: Sequence[DescribedDevice], seen: Collection[int]) -> Iterator[Finding]:
    """Whether the container sees just what it was given."""
    known: set[int] = set()
    for device in given:
        number = device_id(device.device.name)
        if device.device.name == NODE_DEVICE:
            yield from _whole_node(device, seen)
            known.update(seen)
        elif number is not None:
            known.add(number)
            if number not in seen:
                yield _missing(device, f"{NODES}/neuron{number} is not in this container")
    if own := known.intersection(seen):
        yield Finding(Severity.OK, "devices", f"{_names(own)}, as given")
    if foreign := set(seen) - known:
        yield Finding(
            Severity.WARNING,
            "foreign devices",
            f"{_names(foreign)}: seen here, and not given to this container; the runtime may take one that another pod "
            f"has; take away what brings them: privileged, a hostPath volume of {NODES}, or a device plugin",
        )


def _whole_node(device: DescribedDevice, seen: Collection[int]) -> Iterator[Finding]:
    number = device.attributes.get(f"{OWN}/devices")
    if isinstance(number, int) and len(seen) < number:
        yield _missing(device, f"it is {number} devices, and this container has {len(seen)}")


def _missing(device: DescribedDevice, why: str) -> Finding:
    return Finding(
        Severity.ERROR,
        device.device.name,
        f"of claim {device.claim}, request {device.request}: {why}; see that it names the claim in resources.claims",
    )


def _not_described(seen: Iterable[int]) -> Iterator[Finding]:
    """What a container sees that is not told what it was given."""
    yield Finding(Severity.OK, "devices", f"this container sees {_names(seen)}; whether it was given them is not known")


def _environment(context: PluginContext) -> Iterator[Finding]:
    """What the runtime is told; shown, whatever it is."""
    try:
        text = context.path(ENVIRONMENT).read_bytes().decode(errors="replace")
    except OSError:
        return
    values = {name: repr(value) for name, _, value in (entry.partition("=") for entry in text.split("\0"))}
    shown = [f"{name}={values.get(name, '(not set)')}" for name in VARIABLES]
    yield Finding(Severity.OK, "environment", ", ".join(shown))


def _names(numbers: Iterable[int]) -> str:
    return ", ".join(f"neuron{number}" for number in sorted(numbers))
