"""Finding plugins by entry point, and importing only those that are enabled.

An entry point in the group `drakit.plugins` names a plugin class. What a plugin declares are class attributes, read
here without constructing it. A plugin that cannot be loaded is an entry of the report, never an exception: it costs
its own driver and no other.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen
from stevedore import NamedExtensionManager

from drakit import hookspecs
from drakit.errors import LimitExceeded, PluginContractError, PluginError, PluginLoadError, describe
from drakit.model.converters import frozen_mapping
from drakit.model.names import check_driver_name, check_label_key

GROUP = "drakit.plugins"

HOOKS = tuple(name for name, spec in vars(hookspecs).items() if hasattr(spec, f"{hookspecs.PROJECT}_spec"))
"""The names of all hooks, in the order of their definition."""

REQUIRED_OF_BACKENDS = ("discover", "prepare", "unprepare")

KUBERNETES_DOMAINS = ("kubernetes.io", "k8s.io")
"""Of labels, with what is below them. By these the scheduler and its admission keep nodes apart."""


@frozen(kw_only=True)
class Declarations:
    """What a plugin class says of itself.

    `driver_name`: the DRA driver it serves by default; None for an extension. `options`: the attrs class of its
    settings. `config_types`: the attrs classes of its opaque configuration. `side_effects`: does `prepare` change
    anything but what CDI does? `device_metadata`: do containers get files that describe their devices? `node_types`:
    what its `layout` can fake. `data`: the directory of its DeviceClasses, templates and examples.
    `device_plugin_resources`: the extended resources by which a device plugin would offer the same hardware.
    `node_label_keys`: the labels that `node_labels` may name, whole keys.
    """

    driver_name: str | None = None
    options: type | None = None
    config_types: tuple[type, ...] = ()
    side_effects: bool = False
    device_metadata: bool = False
    device_plugin_resources: tuple[str, ...] = ()
    node_label_keys: tuple[str, ...] = ()
    node_types: tuple[str, ...] = ()
    data: Path | None = None


@frozen
class LoadedPlugin:
    """A plugin class, imported and checked, not constructed."""

    name: str
    factory: Callable[[Any], Any]
    declarations: Declarations
    hooks: tuple[str, ...]
    distribution: str = ""
    version: str = ""


@frozen
class LoadReport:
    """What became of every name that was asked for. A name is in exactly one of the three."""

    loaded: Mapping[str, LoadedPlugin] = field(converter=frozen_mapping)
    failed: Mapping[str, PluginError] = field(converter=frozen_mapping)
    missing: tuple[str, ...] = ()
    duplicates: Mapping[str, tuple[str, ...]] = field(factory=dict, converter=frozen_mapping)
    """Names that several distributions offer, with these; they are among the failed."""

    def problem(self, name: str) -> PluginError | None:
        """Why a plugin is not there; None if it is."""
        if name in self.missing:
            installed = ", ".join(installed_names()) or "none"
            return PluginLoadError(
                name, f"not installed; install the distribution that provides it (installed plugins: {installed})"
            )
        return self.failed.get(name)


def installed_names() -> list[str]:
    """Every plugin name some installed distribution offers. Imports none of them."""
    return sorted({entry.name for entry in _entry_points()})


def load(
    names: Iterable[str], around: Callable[[str], AbstractContextManager[object]] = contextlib.nullcontext
) -> LoadReport:
    """Import the plugins of these names, and no other; each inside of what `around` gives for its name."""
    loaded: dict[str, LoadedPlugin] = {}
    failed: dict[str, PluginError] = {}
    duplicates: dict[str, tuple[str, ...]] = {}
    missing: list[str] = []
    for name in dict.fromkeys(names):
        offered = {(entry.value, _distribution(entry)): entry for entry in _entry_points() if entry.name == name}
        if not offered:
            missing.append(name)
        elif len(offered) > 1:
            duplicates[name] = tuple(sorted(distribution for _, distribution in offered))
            failed[name] = PluginLoadError(
                name, f"several distributions provide it: {', '.join(duplicates[name])}; uninstall all but one"
            )
        else:
            (entry,) = offered.values()
            try:
                with around(name):
                    loaded[name] = _load_one(name, entry)
            except PluginError as error:
                failed[name] = error
    return LoadReport(loaded, failed, tuple(missing), duplicates)


def load_installed() -> LoadReport:
    """Import every installed plugin: for offline commands that have no configuration."""
    return load(installed_names())


def inspect(name: str, factory: Any, distribution: str = "", version: str = "") -> LoadedPlugin:
    """Check a plugin class against the contract. Raises PluginContractError; the class is not constructed."""
    if not isinstance(factory, type):
        raise PluginContractError(name, "entry point", f"must name a class, not {factory!r}")
    if any(getattr(factory, method) is not getattr(object, method) for method in ("__eq__", "__hash__")):
        raise PluginContractError(name, factory.__name__, "must compare by identity; give an attrs class eq=False")
    hooks = _hooks(name, factory)
    declarations = _declarations(name, factory)
    lacking = [hook for hook in REQUIRED_OF_BACKENDS if hook not in hooks] if declarations.driver_name else []
    if lacking:
        raise PluginContractError(name, lacking[0], "a plugin with a driver_name must implement this hook")
    return LoadedPlugin(name, factory, declarations, hooks, distribution, version)


def _hooks(name: str, factory: type) -> tuple[str, ...]:
    """The hooks a class implements. A hook that would never be called, or not as one plugin's, is refused."""
    marks = {
        attribute: mark
        for attribute in dir(factory)
        if (mark := getattr(getattr(factory, attribute, None), f"{hookspecs.PROJECT}_impl", None)) is not None
    }
    for hook in HOOKS:
        if getattr(factory, hook, None) is not None and hook not in marks:
            raise PluginContractError(name, hook, "has the name of a hook but no @hookimpl; mark it, or rename it")
    for attribute, mark in marks.items():
        if attribute not in HOOKS:
            raise PluginContractError(name, attribute, f"is marked @hookimpl, but the hooks are {', '.join(HOOKS)}")
        if mark.get("wrapper") or mark.get("hookwrapper"):
            raise PluginContractError(name, attribute, "must not be a wrapper; each plugin is asked for itself")
    return tuple(hook for hook in HOOKS if hook in marks)


@functools.cache
def _entry_points() -> tuple[metadata.EntryPoint, ...]:
    return tuple(metadata.entry_points(group=GROUP))


def _distribution(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist else ""


def _load_one(name: str, entry: metadata.EntryPoint) -> LoadedPlugin:
    failures: list[BaseException] = []
    try:
        manager: Iterable[Any] = NamedExtensionManager(
            GROUP,
            [name],
            invoke_on_load=False,
            on_load_failure_callback=lambda _manager, _entry, error: failures.append(error),
            on_missing_entrypoints_callback=lambda _missing: None,
        )
        if not failures:
            (extension,) = manager
            version = entry.dist.version if entry.dist else ""
            return inspect(name, extension.plugin, _distribution(entry), version)
    except PluginError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # an import may raise SystemExit as well, and must not end the agent
        failures.append(error)
    raise PluginLoadError(name, f"cannot import {entry.value}: {describe(failures[0])}") from failures[0]


def _declarations(name: str, factory: type) -> Declarations:
    declared = {a.name: getattr(factory, a.name) for a in attrs.fields(Declarations) if hasattr(factory, a.name)}
    _check_kinds(name, declared)
    if (driver := declared.get("driver_name")) is not None:
        try:
            check_driver_name("driver_name", driver)
        except LimitExceeded as error:
            raise PluginContractError(name, "driver_name", str(error)) from None
    for key in declared.get("node_label_keys", ()):
        _check_node_label_key(name, key)
    for kind in declared.get("config_types", ()):
        _check_config_type(name, kind)
    if (options := declared.get("options")) is not None and not attrs.has(options):
        raise PluginContractError(name, "options", f"{options!r} must be an attrs class")
    return Declarations(**declared)


def _check_config_type(name: str, kind: Any) -> None:
    header = [getattr(kind, variable, None) for variable in ("api_version", "kind")]
    if not (attrs.has(kind) and all(isinstance(value, str) for value in header)):
        raise PluginContractError(
            name, "config_types", f"{kind!r} must be an attrs class with class variables api_version and kind"
        )
    if any(header) and not all(header):
        raise PluginContractError(
            name, "config_types", f"{kind.__name__} must have both api_version and kind, or both empty"
        )


def _check_node_label_key(name: str, key: object) -> None:
    try:
        check_label_key("node_label_keys", key)
    except LimitExceeded as error:
        raise PluginContractError(name, "node_label_keys", str(error)) from None
    domain = str(key).rpartition("/")[0]
    if any(f".{domain}".endswith(f".{theirs}") for theirs in KUBERNETES_DOMAINS):
        raise PluginContractError(name, "node_label_keys", f"{key!r} belongs to Kubernetes; use a domain of your own")


def _check_kinds(name: str, declared: Mapping[str, Any]) -> None:
    kinds: dict[str, tuple[type, ...]] = {
        "driver_name": (str, type(None)),
        "options": (type, type(None)),
        "config_types": (tuple,),
        "side_effects": (bool,),
        "device_metadata": (bool,),
        "device_plugin_resources": (tuple,),
        "node_label_keys": (tuple,),
        "node_types": (tuple,),
        "data": (Path, type(None)),
    }
    for attribute, value in declared.items():
        if not isinstance(value, kinds[attribute]):
            wanted = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds[attribute])
            raise PluginContractError(name, attribute, f"must be {wanted}, not {value!r}")
