"""What the tests of the core share: how hypothesis runs, and plugins given as classes."""

from __future__ import annotations

from pathlib import Path

import pytest
from drakit import PluginContext
from drakit.host import PluginHost
from drakit.loading import inspect
from hypothesis import HealthCheck, settings

# A slow machine is not a failure, so there is no deadline; what is found is found again, so there is no database.
settings.register_profile(
    "drakit", deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("drakit")

NODE = "node-1"


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


@pytest.fixture
def hosted(tmp_path: Path) -> Hosted:
    return Hosted(tmp_path)
