"""Mock drivers, hosted as the agent hosts them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen
from drakit import (
    AllocatedDevice,
    ClaimAllocation,
    ClaimRef,
    ConfigSource,
    Device,
    DeviceRef,
    Inventory,
    OpaqueConfig,
    PluginContext,
    Pool,
    PreparedDevice,
    Quantity,
    hookimpl,
)
from drakit.decoding import decode_config, structure
from drakit.host import PluginHost
from drakit.loading import LoadedPlugin, inspect
from drakit_mock.plugin import MockPlugin

NODE = "node-1"
CLAIM = ClaimRef("5e9a3f1c-8a55-4f0e-9d0b-0d8c7a2f6b11", "default", "training")
LOADED = inspect("mock", MockPlugin)


@frozen
class Driver:
    """One mock driver in a host."""

    host: PluginHost
    name: str
    changes: list[None] = field(factory=list)
    renumberings: list[None] = field(factory=list)

    def pool(self) -> Pool:
        (pool,) = self.host.discover(self.name)
        return pool

    def device(self, name: str) -> Device:
        return next(device for device in self.pool().devices if device.name == name)

    def inventory(self) -> Inventory:
        return Inventory({self.ref(device.name): device for device in self.pool().devices})

    def ref(self, device: str) -> DeviceRef:
        return DeviceRef(self.name, NODE, device)

    def prepare(
        self,
        *devices: str,
        configs: Iterable[tuple[ConfigSource, Mapping[str, Any]]] = (),
        consumed: Mapping[str, str] | None = None,
        admin_access: bool = False,
    ) -> list[PreparedDevice]:
        """Prepare devices with opaque configurations, decoded as the core does, lowest precedence first."""
        opaque = [OpaqueConfig(source, parameters) for source, parameters in configs]
        amounts = {name: Quantity(amount) for name, amount in (consumed or {}).items()}
        decoded = [decode_config(config, MockPlugin.config_types) for config in opaque]
        allocated = [
            AllocatedDevice(
                "devices",
                self.ref(device),
                consumed=amounts,
                admin_access=admin_access,
                opaque=opaque,
                config=decoded,
            )
            for device in devices
        ]
        return list(self.host.prepare(self.name, ClaimAllocation(CLAIM, allocated)))


@pytest.fixture
def drivers() -> Callable[..., list[Driver]]:
    """Host several mock drivers on one node: name -> options as they stand in the YAML."""

    def host_drivers(root: Path = Path("/"), **options: Mapping[str, Any]) -> list[Driver]:
        host = PluginHost()
        hosted = []
        for word, given in options.items():
            driver = Driver(host, f"{word}.example.com")
            context = PluginContext(
                driver=driver.name,
                node=NODE,
                pool=NODE,
                root=root,
                options=structure(MockPlugin.options, given, "options"),
                changed=lambda driver=driver: driver.changes.append(None),
                renumbered=lambda driver=driver: driver.renumberings.append(None),
            )
            host.add(driver.name, LOADED, context)
            hosted.append(driver)
        return hosted

    return host_drivers


@pytest.fixture
def inline(drivers: Callable[..., list[Driver]]) -> Callable[..., Driver]:
    """Host one driver with a profile given as it stands in the YAML."""

    def host_inline(**profile: Any) -> Driver:
        (driver,) = drivers(mock={"inline": profile})
        return driver

    return host_inline


@pytest.fixture(scope="session")
def faker() -> Callable[..., LoadedPlugin]:
    """A loaded extension whose layout is a function of the node type and the root."""

    def load(name: str, layout: Callable[[str, Path], Any], node_types: tuple[str, ...] = ("box",)) -> LoadedPlugin:
        class Faker:
            def __init__(self, context: PluginContext) -> None:
                pass

            @hookimpl
            def layout(self, node_type: str, root: Path) -> Any:
                return layout(node_type, root)

        Faker.node_types = node_types  # type: ignore[attr-defined]
        return inspect(name, Faker)

    return load
