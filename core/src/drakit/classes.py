"""DeviceClasses: what plugins ship, under the names and for the drivers that the settings give.

An administrator applies them; the agent does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from drakit.decoding import read_yaml
from drakit.documents import Document
from drakit.errors import ConfigError
from drakit.loading import LoadedPlugin
from drakit.settings import BackendSettings, ExtensionSettings, Settings

_DRIVER = "device.driver"


def device_classes(settings: Settings, loaded: Mapping[str, LoadedPlugin]) -> list[Document]:
    """The DeviceClasses of every plugin that is enabled and loaded, each once.

    Raises ConfigError for a `deviceClass` of a plugin that has not exactly one, for two classes of one name that
    differ, and for a shipped class that cannot be made one of another driver.
    """
    found: dict[str, tuple[str, Document]] = {}
    enabled: list[BackendSettings | ExtensionSettings] = [*settings.backends, *settings.extensions]
    for item in enabled:
        if item.plugin not in loaded:
            continue
        for document in _classes_of(item, loaded[item.plugin]):
            name = document["metadata"]["name"]
            whose, other = found.setdefault(name, (_name(item), document))
            if other != document:
                raise ConfigError(
                    f"DeviceClass {name!r} is one thing for {whose} and another for {_name(item)}; give one of the "
                    "backends a `deviceClass` of its own"
                )
    return [document for _, document in found.values()]


def _classes_of(item: BackendSettings | ExtensionSettings, plugin: LoadedPlugin) -> list[Document]:
    shipped = list(_shipped(plugin))
    if isinstance(item, ExtensionSettings):
        return shipped
    default = plugin.declarations.driver_name
    if item.driver and default and item.driver != default:
        shipped = [_of_driver(document, default, item.driver) for document in shipped]
    if item.device_class is None:
        return shipped
    if len(shipped) != 1:
        names = ", ".join(document["metadata"]["name"] for document in shipped) or "none"
        raise ConfigError(
            f"deviceClass of plugin {item.plugin!r}: only the one class of a plugin can be given a name, and this one "
            f"ships {len(shipped)} ({names}); remove it"
        )
    (only,) = shipped
    return [only | {"metadata": only["metadata"] | {"name": item.device_class}}]


def _shipped(plugin: LoadedPlugin) -> Iterator[Document]:
    """The classes in a plugin's package. Raises ConfigError for a file that has anything else."""
    directory = plugin.declarations.data
    for path in sorted((directory / "deviceclasses").glob("*.yaml")) if directory else ():
        for document in read_yaml(path):
            if not isinstance(document, dict) or document.get("kind") != "DeviceClass":
                raise ConfigError(f"{path}: has something that is no DeviceClass; plugin {plugin.name!r} is defective")
            yield document


def _of_driver(document: Document, default: str, driver: str) -> Document:
    """The class with another driver wherever it names the default one as the driver: by selector, or to configure.

    The name may also be that of a domain of attributes, and then it stays. Raises ConfigError where a selector compares
    the driver otherwise than by `==`.
    """
    spec: Mapping[str, Any] = document.get("spec") or {}
    changed: dict[str, Any] = {}
    if "selectors" in spec:
        changed["selectors"] = [
            {"cel": {"expression": _compared(document, one["cel"]["expression"], default, driver)}}
            for one in spec["selectors"]
        ]
    if "config" in spec:
        changed["config"] = [
            {"opaque": one["opaque"] | ({"driver": driver} if one["opaque"]["driver"] == default else {})}
            for one in spec["config"]
        ]
    return document | {"spec": {**spec, **changed}}


def _compared(document: Document, expression: str, default: str, driver: str) -> str:
    quoted = f"([\"']){re.escape(default)}\\1"
    own = re.compile(rf"\b{re.escape(_DRIVER)}\s*==\s*{quoted}")
    rest, count = own.subn("", expression)
    if not count and re.search(quoted, expression) and _DRIVER in rest:
        raise ConfigError(
            f"DeviceClass {document['metadata']['name']!r} cannot be made one of driver {driver!r}: its selector "
            f'{expression!r} names the driver otherwise than by {_DRIVER} == "{default}"'
        )
    return own.sub(f'{_DRIVER} == "{driver}"', expression)


def _name(item: BackendSettings | ExtensionSettings) -> str:
    driver = item.driver if isinstance(item, BackendSettings) else None
    return f"driver {driver!r}" if driver else f"plugin {item.plugin!r}"
