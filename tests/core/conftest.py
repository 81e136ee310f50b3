"""What the tests of the core share: plugins given as classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drakit import PluginContext, hookimpl
from drakit.host import PluginHost
from drakit.loading import inspect

NODE, DRIVER = "node-1", "gpu.example.com"


def _nothing(**_arguments: Any) -> tuple[()]:
    return ()


class _Everything:
    """Every hook, answered by a function that gets the hook's arguments by name."""

    answers: dict[str, Callable[..., Any]]

    def __init__(self, context: PluginContext) -> None:
        self.context = context

    @hookimpl
    def discover(self):
        return self.answers["discover"]()

    @hookimpl
    def attributes(self, ref, device):
        return self.answers["attributes"](ref=ref, device=device)

    @hookimpl
    def share(self, device):
        return self.answers["share"](device=device)

    @hookimpl
    def devicegroups(self, inventory):
        return self.answers["devicegroups"](inventory=inventory)

    @hookimpl
    def prepare(self, claim):
        return self.answers["prepare"](claim=claim)

    @hookimpl
    def unprepare(self, claim, prepared):
        return self.answers["unprepare"](claim=claim, prepared=prepared)

    @hookimpl
    def health(self):
        return self.answers["health"]()

    @hookimpl
    def in_use(self, device):
        return self.answers["in_use"](device=device)

    @hookimpl
    def node_labels(self):
        return self.answers["node_labels"]()

    @hookimpl
    def check(self):
        return self.answers["check"]()

    @hookimpl
    def verify(self, devices):
        return self.answers["verify"](devices=devices)

    @hookimpl
    def layout(self, node_type, root):
        return self.answers["layout"](node_type=node_type, root=root)

    @hookimpl
    def close(self):
        return self.answers["close"]()


def _plugin(hooks: dict[str, Callable[..., Any]], **declared: Any) -> type:
    """A plugin class that implements just these hooks."""
    members = {name: vars(_Everything)[name] for name in ("__init__", *hooks)}
    return type("Plugin", (), members | {"answers": hooks} | declared)


class Hosted:
    """A PluginHost, and how a test puts plugins into it."""

    def __init__(self, root: Path) -> None:
        self.host = PluginHost()
        self._root = root

    def add(self, plugin: type, name: str = "", driver: str | None = "") -> str:
        """Add a plugin class; returns the instance's name. `driver=None` makes an extension of it."""
        loaded = inspect(plugin.__name__.lower(), plugin)
        driver = loaded.declarations.driver_name if driver == "" else driver
        name = name or driver or loaded.name
        context = PluginContext(driver=driver or "", node=NODE, pool=NODE, root=self._root)
        self.host.add(name, loaded, context)
        return name

    @staticmethod
    def backend(driver: str = DRIVER, node_label_keys: tuple[str, ...] = (), **hooks: Callable[..., Any]) -> type:
        """A backend class that implements what it must, and the hooks given besides."""
        required = {"discover": _nothing, "prepare": _nothing, "unprepare": _nothing}
        return _plugin(required | hooks, driver_name=driver, node_label_keys=node_label_keys)

    @staticmethod
    def extension(**hooks: Callable[..., Any]) -> type:
        """An extension class that implements just the hooks given."""
        return _plugin(hooks)


@pytest.fixture
def hosted(tmp_path: Path) -> Hosted:
    return Hosted(tmp_path)
