"""files/plugins.yaml: of each shipped plugin its driver, its DeviceClasses and the labels it may give to its Node."""

from __future__ import annotations

from typing import Any

import yaml
from drakit.classes import device_classes
from drakit.loading import LoadedPlugin
from drakit.settings import BackendSettings, Settings

from generated.shipped import shipped

PATH = "files/plugins.yaml"
DRIVER = "driver.invalid"
"""Stands in the DeviceClasses where the driver's name belongs, whichever it is."""
_HEAD = "# Made by `make chart` from the plugins. In the classes, driver.invalid stands for the name of the driver.\n"


def files() -> dict[str, str]:
    """The file, for every shipped plugin."""
    facts = {name: _facts(plugin) for name, plugin in shipped().items()}
    return {PATH: _HEAD + yaml.safe_dump(facts, sort_keys=False, width=110)}


def _facts(plugin: LoadedPlugin) -> dict[str, Any]:
    settings = Settings(backends=(BackendSettings(plugin=plugin.name, driver=DRIVER),))
    return {
        "driver": plugin.declarations.driver_name,
        "nodeLabels": list(plugin.declarations.node_label_keys),
        "deviceClasses": device_classes(settings, {plugin.name: plugin}),
    }
