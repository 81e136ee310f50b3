"""From settings to constructed plugins: what the agent and the offline commands begin with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from attrs import evolve, field, frozen

from drakit.context import PluginContext, check_root, read_boot_id
from drakit.deaths import Deaths
from drakit.errors import ConfigError, PluginError, PluginLoadError
from drakit.host import HookTrace, PluginHost
from drakit.loading import LoadedPlugin, LoadReport, load
from drakit.model.converters import frozen_mapping
from drakit.running import CONSTRUCTOR, IMPORT, RunningHooks
from drakit.settings import BackendSettings, ExtensionSettings, Settings, decode_options


@frozen
class Assembly:
    """The plugins that could be constructed, and why others could not."""

    host: PluginHost
    report: LoadReport
    failures: Mapping[str, PluginError] = field(converter=frozen_mapping)
    """By driver where it is known, else by plugin name."""


def assemble(
    settings: Settings,
    *,
    node_labels: Mapping[str, str] = MappingProxyType({}),
    changed: Callable[[], None] = lambda: None,
    renumbered: Callable[[str], None] = lambda _driver: None,
    traces: Sequence[HookTrace] = (),
    deaths: Deaths | None = None,
) -> Assembly:
    """Load and construct every plugin that is enabled. A plugin that cannot be had is a failure of its own driver.

    `renumbered` is told the driver whose backend says that device numbers may differ.
    With `deaths`, of an agent, what its plugins do is recorded there, and those it holds out are not started.

    Raises ConfigError where the settings themselves are wrong: options a plugin does not take, two backends of one
    driver, a plugin enabled as what it is not.
    """
    check_root(settings.root)
    enabled: list[BackendSettings | ExtensionSettings] = [*settings.backends, *settings.extensions]
    allowed = [item.plugin for item in enabled if deaths is None or deaths.held_out(item.plugin) is None]
    running = deaths.running if deaths is not None else RunningHooks()
    report = load(allowed, lambda plugin: running.during(plugin, IMPORT))
    host = PluginHost(traces if deaths is None else [running, *traces])
    failures: dict[str, PluginError] = {}
    boot_id = read_boot_id(settings.root)
    seen: dict[str, str] = {}
    for item in enabled:
        loaded = report.loaded.get(item.plugin)
        if loaded is None:
            held = deaths.held_out(item.plugin, driver=_known_driver(item)) if deaths is not None else None
            failures[_known_name(item)] = held or _problem(report, item.plugin)
            continue
        name = _instance_name(item, loaded)
        if name in seen:
            raise ConfigError(
                f"driver {name!r} is served by plugin {seen[name]!r} and by {item.plugin!r}; give one another `driver`"
            )
        seen[name] = item.plugin
        if deaths is not None and (held := deaths.held_out(name, item.plugin, _driver(name, item))) is not None:
            failures[name] = held
            continue
        context = PluginContext(
            driver=_driver(name, item),
            node=settings.node_name or "this-node",
            pool=settings.node_name or "this-node",
            root=settings.root,
            host_root=settings.host_root or settings.root,
            options=decode_options(loaded.declarations.options, item.options, f"options of plugin {item.plugin!r}"),
            node_labels=node_labels,
            boot_id=boot_id,
            list_attributes=settings.list_attributes,
            log=logging.getLogger(f"drakit.plugins.{item.plugin}"),
            changed=changed,
            renumbered=partial(renumbered, _driver(name, item)),
        )
        try:
            with running.during(name, CONSTRUCTOR):
                host.add(name, _as_set(loaded, item), context)
        except PluginError as error:
            failures[name] = error
    return Assembly(host, report, failures)


def _as_set(loaded: LoadedPlugin, item: BackendSettings | ExtensionSettings) -> LoadedPlugin:
    """The plugin with what the settings say otherwise than its class. Raises ConfigError where it cannot be so."""
    without_labels = evolve(loaded, hooks=tuple(hook for hook in loaded.hooks if hook != "node_labels"))
    if isinstance(item, ExtensionSettings):
        return without_labels
    if item.node_labels and "node_labels" not in loaded.hooks:
        raise ConfigError(f"plugin {item.plugin!r} names no labels for its Node; remove its nodeLabels")
    chosen = loaded if item.node_labels else without_labels
    if item.device_metadata is None:
        return chosen
    return evolve(chosen, declarations=evolve(chosen.declarations, device_metadata=item.device_metadata))


def _instance_name(item: BackendSettings | ExtensionSettings, loaded: LoadedPlugin) -> str:
    """The driver a backend serves; an extension's own name."""
    default = loaded.declarations.driver_name
    if isinstance(item, ExtensionSettings):
        if default is not None:
            raise ConfigError(f"plugin {item.plugin!r} serves driver {default!r}; list it under backends")
        return item.plugin
    if default is None:
        raise ConfigError(f"plugin {item.plugin!r} has no driver; list it under extensions")
    return item.driver or default


def _driver(name: str, item: BackendSettings | ExtensionSettings) -> str:
    return name if isinstance(item, BackendSettings) else ""


def _known_name(item: BackendSettings | ExtensionSettings) -> str:
    return _known_driver(item) or item.plugin


def _known_driver(item: BackendSettings | ExtensionSettings) -> str:
    """The driver, where that is known without the plugin."""
    return (item.driver or "") if isinstance(item, BackendSettings) else ""


def _problem(report: LoadReport, name: str) -> PluginError:
    return report.problem(name) or PluginLoadError(name, "was not loaded")
