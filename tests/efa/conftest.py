"""A faked node for the EFA plugin, laid out by the plugin itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from drakit import AllocatedDevice, ClaimAllocation, ClaimRef, DeviceRef, PciFunction, PluginContext, hookimpl
from drakit.loading import inspect
from drakit.testing import lay_out
from drakit_efa.plugin import EfaPlugin


@define
class FakeNode:
    """A directory that looks like a node, and an EFA plugin that takes it for one."""

    root: Path
    told: Any

    def lay_out(self, node_type: str, *others: PciFunction) -> FakeNode:
        """The adapters of an instance type and, besides, hardware of other kinds."""

        class Others:
            def __init__(self, context: PluginContext) -> None:
                pass

            @hookimpl
            def layout(self, node_type: str, root: Path) -> Sequence[PciFunction]:
                return others

        lay_out(node_type, self.root, [inspect("efa", EfaPlugin), inspect("others", Others)])
        return self

    def plugin(self, driver: str = "dra.net", **changes: Any) -> EfaPlugin:
        return EfaPlugin(self.context(driver, **changes))

    def context(self, driver: str = "dra.net", **changes: Any) -> PluginContext:
        arguments = {"root": self.root, "log": self.told.log} | changes
        return PluginContext(driver=driver, node="node-1", pool="node-1", **arguments)

    def function(self, address: str) -> Path:
        return self.root / "sys/bus/pci/devices" / address

    def warnings(self) -> list[str]:
        return self.told.warnings()


@pytest.fixture
def node(tmp_path: Path, told: Any) -> FakeNode:
    return FakeNode(tmp_path, told)


@pytest.fixture
def claim_of() -> Callable[..., ClaimAllocation]:
    """A claim for devices by name."""

    def build(*names: str) -> ClaimAllocation:
        return ClaimAllocation(
            ClaimRef("uid-1", "default", "claim"),
            tuple(AllocatedDevice("efas", DeviceRef("dra.net", "node-1", name)) for name in names),
        )

    return build
