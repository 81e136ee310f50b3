"""What plugins say of others that serve their hardware: `migration.yaml` in the `data` of a plugin.

The file is decoded strictly; docs/migration.md is the page for whoever writes one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import field, frozen

from drakit.classes import device_classes
from drakit.decoding import read_document
from drakit.documents import Document
from drakit.loading import LoadedPlugin, load
from drakit.settings import BackendSettings, Settings

FILE_NAME = "migration.yaml"
API_VERSION = "drakit/v1alpha1"
KIND = "Migration"


@frozen(kw_only=True)
class DevicePluginResource:
    """An extended resource of a device plugin, and the DeviceClass whose claims are for the same hardware.

    One unit is one device, or, with `part_of`, a part of one: as many to a device as a Node offers of them for each of
    the first of those resources that it offers.
    """

    resource: str
    device_class: str = ""
    part_of: tuple[str, ...] = ()


@frozen(kw_only=True)
class OtherDriver:
    """Another DRA driver of the same name. `managers`: as it writes its slices, `images`: what its pods run.

    `pods_stay`: whether pods that have its devices run on, restart and end under drakit; and the reason.
    """

    title: str
    managers: tuple[str, ...]
    images: tuple[str, ...] = ()
    pods_stay: bool
    reason: str


@frozen(kw_only=True)
class Migration:
    """What else serves the hardware of one plugin. `images`: of its device plugins, and of what goes with them."""

    device_plugins: tuple[DevicePluginResource, ...] = ()
    images: tuple[str, ...] = ()
    drivers: tuple[OtherDriver, ...] = ()


@frozen(kw_only=True)
class Backend:
    """One backend as the settings have it, and what else serves its hardware."""

    plugin: str
    driver: str
    device_plugins: tuple[DevicePluginResource, ...]
    images: tuple[str, ...]
    others: tuple[OtherDriver, ...]


@frozen(kw_only=True)
class Declared:
    """All that plugins declare that is looked for in a cluster. `problems`: plugins that could not be had, and why."""

    backends: tuple[Backend, ...]
    classes: tuple[Document, ...]
    problems: tuple[str, ...] = ()
    resources: Mapping[str, DevicePluginResource] = field(init=False)
    """By name, of all backends."""

    @resources.default
    def _resources(self) -> Mapping[str, DevicePluginResource]:
        return {one.resource: one for backend in self.backends for one in backend.device_plugins}

    def backend_of(self, driver: str) -> Backend | None:
        """The backend that serves a driver's name."""
        return next((one for one in self.backends if one.driver == driver), None)


def declared(settings: Settings, problems: Sequence[tuple[str, str]]) -> Declared:
    """What the plugins of these settings declare. Raises ConfigError for a file of a plugin that is wrong."""
    names = dict.fromkeys(backend.plugin for backend in settings.backends)
    report = load(names)
    lost = [*problems, *((name, str(error)) for name in names if (error := report.problem(name)))]
    return Declared(
        backends=tuple(_backends(settings.backends, report.loaded)),
        classes=tuple(device_classes(settings, report.loaded)),
        problems=tuple(f"{name}: {problem}" for name, problem in lost),
    )


def _backends(enabled: Sequence[BackendSettings], loaded: Mapping[str, LoadedPlugin]) -> Iterator[Backend]:
    for item in enabled:
        if (plugin := loaded.get(item.plugin)) is not None:
            migration = _migration(plugin)
            yield Backend(
                plugin=item.plugin,
                driver=item.driver or plugin.declarations.driver_name or item.plugin,
                device_plugins=tuple(_resources(item, plugin, migration)),
                images=migration.images,
                others=migration.drivers,
            )


def _migration(plugin: LoadedPlugin) -> Migration:
    directory = plugin.declarations.data
    path = directory / FILE_NAME if directory else None
    return read_document(path, Migration, API_VERSION, KIND) if path and path.is_file() else Migration()


def _resources(item: BackendSettings, plugin: LoadedPlugin, migration: Migration) -> Iterator[DevicePluginResource]:
    """Those of the file, and those that the plugin gives way to without saying more of them."""
    described = {one.resource: one for one in migration.device_plugins}
    for name in dict.fromkeys((*described, *plugin.declarations.device_plugin_resources)):
        one = described.get(name, DevicePluginResource(resource=name))
        yield DevicePluginResource(
            resource=name, device_class=item.device_class or one.device_class, part_of=one.part_of
        )
