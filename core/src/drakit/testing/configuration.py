"""What an agent's configuration says of one plugin, for commands that a plugin brings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from drakit.loading import load
from drakit.settings import CONFIG_VARIABLE, decode_options, read_settings


@frozen
class Configured:
    """The agent's `root`, and the options, decoded, of each driver that the plugin serves; None where it is unknown."""

    root: Path
    options: Mapping[str, Any] | None


def configured(plugin: str, config: Path | None = None, root: Path | None = None) -> Configured:
    """Read an agent's configuration, DRAKIT_CONFIG by default; without either only the root is known.

    `root` goes over what the configuration and DRAKIT_ROOT say. Raises ConfigError, and PluginError where the plugin
    cannot be had.
    """
    settings = read_settings(config, overrides={} if root is None else {"root": str(root)})
    if config is None and not os.environ.get(CONFIG_VARIABLE):
        return Configured(settings.root, None)
    report = load([plugin])
    if (problem := report.problem(plugin)) is not None:
        raise problem
    declared = report.loaded[plugin].declarations
    return Configured(
        settings.root,
        {
            backend.driver or declared.driver_name or plugin: decode_options(
                declared.options, backend.options, f"options of plugin {plugin!r}"
            )
            for backend in settings.backends
            if backend.plugin == plugin
        },
    )
