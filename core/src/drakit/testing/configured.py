"""What an agent's configuration says of one plugin, for commands that a plugin brings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from drakit.loading import load
from drakit.model.converters import frozen_mapping
from drakit.settings import decode_options, read_settings


@frozen
class Configured:
    """The agent's `root`, and the options, decoded, of each driver that the plugin serves."""

    root: Path
    options: Mapping[str, Any] = field(converter=frozen_mapping)


def configured(plugin: str, config: Path | None = None, root: Path | None = None) -> Configured:
    """Read an agent's configuration, DRAKIT_CONFIG by default; without either, the plugin serves no driver.

    `root` goes over what the configuration and DRAKIT_ROOT say. Raises ConfigError, and PluginError where the plugin
    cannot be had.
    """
    settings = read_settings(config, overrides={} if root is None else {"root": str(root)})
    report = load([plugin])
    if (problem := report.problem(plugin)) is not None:
        raise problem
    declared = report.loaded[plugin].declarations
    return Configured(
        settings.root,
        {
            backend.driver or declared.driver_name: decode_options(
                declared.options, backend.options, f"options of plugin {plugin!r}"
            )
            for backend in settings.backends
            if backend.plugin == plugin
        },
    )
