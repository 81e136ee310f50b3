"""The hooks: their one definition.

A plugin is a class. It is constructed with one PluginContext and implements the hooks it needs, each marked with
`@hookimpl`. A plugin with a `driver_name` is a *backend*: it owns a DRA driver and must implement `discover`,
`prepare` and `unprepare`. One without is an *extension*: only the hooks asked of every plugin are asked of it.

All hooks are synchronous. Two threads call into one instance: one runs `prepare` and `unprepare`, which therefore
never overlap; the other runs everything else. A hook may block on hardware, within its bound: past it the driver
counts as stuck until the hook returns. What a hook raises is charged to its plugin alone.

Specs grow by new arguments: an implementation names the arguments it wants and may leave out the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pluggy

from drakit.model import (
    AttributeValue,
    ClaimAllocation,
    ClaimRef,
    DescribedDevice,
    Device,
    DeviceGroup,
    DeviceRef,
    Finding,
    Health,
    Hold,
    Inventory,
    PciFunction,
    Pool,
    PreparedDevice,
    SharePolicy,
)

PROJECT = "drakit"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def discover() -> Sequence[Pool]:
    """Find the hardware and describe it.

    Asked of the backend, at start, when it calls `context.changed()`, and every now and then. Names and order must be
    the same as long as the hardware is: they are what claims were allocated by. No hardware is an empty pool, not an
    error. If this raises, the last good answer stays published.
    """


@hookspec
def attributes(ref: DeviceRef, device: Device) -> Mapping[str, AttributeValue] | None:
    """Add attributes to a device.

    Asked of every plugin, for every device on the node, after `discover`. On a device of another driver only names
    with a `domain/` are allowed. Two plugins that give one attribute different values are refused, both named.
    """


@hookspec
def share(device: Device) -> SharePolicy | None:
    """Say whether several claims may hold a device at once, and how they divide it.

    Asked of the backend, for each device of its own, attributes included. None keeps the device exclusive.
    """


@hookspec
def devicegroups(inventory: Inventory) -> Sequence[DeviceGroup]:
    """Name the devices that belong together, over all drivers of the node.

    Asked of every plugin, after all attributes are known. The core stamps the group's value on every member, so that
    a claim's `matchAttribute` can hold requests of different drivers together. Members must be in the inventory.
    """


@hookspec
def prepare(claim: ClaimAllocation, held: Callable[[DeviceRef], Sequence[Hold]]) -> Sequence[PreparedDevice]:
    """Make a claim's devices ready and say what its containers get.

    Asked of the backend, before any container of the pod starts. Returns exactly one PreparedDevice per allocated
    device. It must be idempotent: it is asked again after a crash, and after a reboot for claims already prepared.
    The core has refused unknown and busy devices before, and writes the CDI files afterwards. Raise a ClaimError
    where the claim is at fault; its message is shown in the pod's events. Raise DeviceUnfit where the device is.

    `held(device)` is what is prepared of any device of this driver, this claim's own earlier preparation among it: for
    backends that divide a device between claims, or whose devices overlap. It may be asked only within the call.
    """


@hookspec
def unprepare(claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
    """Undo `prepare`.

    Asked of the backend, when the last pod with the claim has ended. `prepared` is what `prepare` returned, perhaps
    in another process and another version; it is empty if that was interrupted. Idempotent. The claim may be gone.
    """


@hookspec
def in_use(device: DeviceRef) -> bool | None:
    """Say whether anything on the node has a device open.

    Asked of the backend, if it implements this, on the thread of `prepare`, about a claim that no longer exists though
    it was never unprepared. Only a False for all of its devices sets them free; None is "not known", and keeps them
    held. A process counts, in a container or not; so does what outlives one, as a mapping or a queue on the device.
    """


@hookspec
def health() -> Sequence[Health]:
    """Report the health of devices.

    Asked of the backend, if it implements this, every few seconds and on `context.changed()`. Devices left out are
    not reported on. A taint here is published with the device and goes when a later report no longer has it. Faults
    are remembered as each one's `end` says, and tainted as the operator has configured.
    """


@hookspec
def node_labels() -> Mapping[str, str]:
    """Say which labels the Node object should have.

    Asked of the backend after `discover`, if the operator has enabled `nodeLabels` for it. Only keys that the class
    declares in `node_label_keys` are allowed. A label that is no longer named is removed; no other is touched.
    """


@hookspec
def check() -> Sequence[Finding]:
    """Say what an operator should know of this node: what is lost by it, and what to do.

    Asked of every plugin, after a survey, by the offline command `drakit check` alone. Nothing may be changed. What is
    good needs no finding.
    """


@hookspec
def verify(devices: Sequence[DescribedDevice]) -> Sequence[Finding]:
    """Say what whoever runs this container should know of it: what of its devices it cannot use, and what to do.

    Asked of every plugin, inside a workload's container, by the offline command `drakit verify` alone: the context's
    root is what the container sees, and no other hook is asked. `devices` are those that the container was given, of
    all drivers, as far as metadata files describe them: none where it has no such files. Nothing may be changed. What
    is good may be told too, so that people see what was looked at; of hardware that the container does not have, there
    is nothing to say.
    """


@hookspec
def layout(node_type: str, root: Path) -> Sequence[PciFunction]:
    """Write this plugin's part of a faked node below `root`: what its `discover` would read on real hardware.

    Asked of every plugin, offline, with a context whose root is the same directory. Returns the PCI functions its
    hardware has; the caller writes their sysfs entries, before this is asked for nothing may be assumed to exist.
    An instance type that has none of this plugin's hardware is an empty answer; `TYPE@VARIANT` is asked for where
    `node_types` has it. Device nodes are made where the process may, and are regular files elsewhere.
    """


@hookspec
def close() -> None:
    """Release what the instance holds. Asked of every plugin, once, when the agent stops."""
