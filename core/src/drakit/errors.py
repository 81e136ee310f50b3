"""Every exception drakit raises on purpose.

    DRAError
    ├── ConfigError               the settings or an input file are wrong
    ├── PluginError               a plugin is at fault
    │   ├── PluginLoadError       it could not be imported or constructed
    │   ├── PluginContractError   it answered, but not as the hook's contract says
    │   ├── HookFailed            it raised; the cause is chained
    │   ├── PluginStuck           it has not returned within its bound
    │   └── PluginHeldOut         the agent died in its hooks, again and again (deaths.py)
    ├── InventoryError            what backends publish does not fit together
    │   ├── DuplicateDevice
    │   ├── AttributeConflict
    │   └── LimitExceeded         the API server would refuse it
    ├── ClaimError                one claim cannot be prepared
    │   ├── DeviceNotFound
    │   ├── DeviceBusy
    │   ├── InvalidDeviceConfig
    │   ├── DeviceUnfit           the device is there, and cannot do what the claim needs of it
    │   └── ClaimGone             it was deleted, or replaced by another of its name (kube/claims.py)
    ├── ClaimUnreadable           the API server did not say what a claim is (kube/claims.py)
    ├── JournalError              what is prepared cannot be recorded durably
    ├── PublishError              the API server did not take a ResourceSlice
    │   └── PoolContested         somebody else publishes the pool (kube/writer.py)
    ├── PodResourcesUnknown       the kubelet does not say which claims its pods use (kubelet/podresources.py)
    └── ApiError                  the API server refused a request (kube/client.py)
        └── ApiUnreachable        it gave no answer, or none that can be read (kube/client.py)

Where a file is named the exception stands there, beside its code; no plugin meets one of those.
The offline planner's, in `plan/errors.py` and `plan/cel/errors.py`, are below DRAError too.

A message says what happened to which plugin, device or claim, and what to do next. It is shown as it stands:
on the command line, in the log, or, for a claim, in the event of the pod that waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence


class DRAError(Exception):
    """Root of every error drakit raises on purpose."""


class ConfigError(DRAError):
    """The settings, or a file given on the command line, are wrong. The agent does not start on one."""


class PluginError(DRAError):
    """A plugin is at fault: it costs its own driver, never another one."""

    def __init__(self, plugin: str, message: str) -> None:
        super().__init__(f"plugin {plugin!r}: {message}")
        self.plugin = plugin


class PluginLoadError(PluginError):
    """The plugin could not be imported or constructed."""


class PluginContractError(PluginError):
    """The plugin does not keep the contract of a hook or declaration."""

    def __init__(self, plugin: str, hook: str, message: str) -> None:
        super().__init__(plugin, f"{hook}: {message}")
        self.hook = hook


class HookFailed(PluginError):
    """A hook raised something other than a ClaimError. `__cause__` is what it raised."""

    def __init__(self, plugin: str, hook: str, cause: BaseException) -> None:
        super().__init__(plugin, f"{hook} failed: {describe(cause)}")
        self.hook = hook
        self.__cause__ = cause


class PluginStuck(PluginError):
    """A hook has run past its bound; no other call to this plugin starts until it returns. `hook` where it is known."""

    def __init__(self, plugin: str, message: str, *, hook: str = "") -> None:
        super().__init__(plugin, message)
        self.hook = hook


class InventoryError(DRAError):
    """What backends publish does not fit together."""


class DuplicateDevice(InventoryError):
    """Two devices have one name, or two drivers publish the same hardware."""


class AttributeConflict(InventoryError):
    """Two plugins give one device different values of one attribute."""


class LimitExceeded(InventoryError, ValueError):
    """A value that the API server would refuse: names the field, the limit and the value."""

    def __init__(self, field: str, limit: str, value: object) -> None:
        super().__init__(f"{field} {limit}; got {shorten(value)}")
        self.field = field
        self.limit = limit
        self.value = value


class ClaimError(DRAError):
    """One claim cannot be prepared. The message goes into that claim's `error`, for the user of the pod.

    A plugin raises this (or a subclass) from `prepare` when the claim, not the plugin, is at fault.
    """


class DeviceNotFound(ClaimError):
    """The claim was allocated a device that this node does not have."""


class DeviceBusy(ClaimError):
    """The device is held by another claim."""


class InvalidDeviceConfig(ClaimError):
    """The claim's opaque configuration for this driver cannot be used."""


class DeviceUnfit(ClaimError):
    """The device is there, and cannot do what the claim needs of it, nor will it soon.

    A plugin raises this from `prepare` for what no scheduler could know. It is the one refusal that outlasts the call:
    the device counts as faulty for a time, under the name `fault` and with the same message, and where the driver has
    taints it is tainted, so that the pod is evicted and placed anew. `devices` are names of the claim's own devices;
    none means all of them.
    """

    def __init__(self, message: str, *, fault: str, devices: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.fault = fault
        self.devices = tuple(devices)


class JournalError(DRAError):
    """What is prepared could not be recorded durably; nothing was handed out on the strength of it."""


class PublishError(DRAError):
    """The API server did not take a ResourceSlice as it was meant."""


def describe(error: BaseException) -> str:
    """One line for an exception of any kind, never empty, never a stack trace."""
    text = " ".join(str(error).split())
    if isinstance(error, DRAError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shorten(value: object, limit: int = 80) -> str:
    """A value for a message: its repr, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
