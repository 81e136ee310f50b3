"""A faked node for the EFA plugin, laid out by the plugin itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from drakit import (
    AllocatedDevice,
    ClaimAllocation,
    ClaimRef,
    ConfigSource,
    DeviceRef,
    Health,
    Hold,
    OpaqueConfig,
    PciFunction,
    PluginContext,
    PreparedDevice,
    hookimpl,
)
from drakit.decoding import decode_config
from drakit.loading import inspect
from drakit.testing import lay_out
from drakit_efa.options import EfaOptions, HealthOptions
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


class Watched:
    """A plugin on a faked node that has discovered its adapters, and what it said of changes; of these, one adapter."""

    ADDRESS, NAME = "0000:20:1b.0", "pci-0000-20-1b-0"

    def __init__(self, node: FakeNode, **thresholds: Any) -> None:
        self.node, self.changes = node, 0
        options = EfaOptions(health=HealthOptions(**thresholds))
        self.plugin = node.plugin(options=options, changed=self.changed)
        self.plugin.discover()

    def changed(self) -> None:
        self.changes += 1

    def verbs(self, address: str = ADDRESS) -> Path:
        (directory,) = (self.node.function(address) / "infiniband").iterdir()
        return directory

    def write(self, path: str, text: str) -> None:
        (self.verbs() / path).write_text(text)

    def state(self, text: str) -> None:
        self.write("ports/1/state", text)

    def report(self) -> Health:
        (report,) = (report for report in self.plugin.health() if report.device.name == self.NAME)
        return report

    def published(self) -> dict[str, Any]:
        (pool,) = self.plugin.discover()
        return {device.name: device.attributes["efa.drakit/health"] for device in pool.devices}


@pytest.fixture
def watched(node: FakeNode) -> Callable[..., Watched]:
    """Make a plugin on a laid out p4d, with thresholds as given."""
    return lambda **thresholds: Watched(node.lay_out("p4d.24xlarge"), **thresholds)


@define
class Record:
    """What is prepared, as the core has it on record and shows it to a plugin that prepares."""

    claims: dict[ClaimRef, Sequence[PreparedDevice]] = field(factory=dict)

    def held(self, device: DeviceRef) -> list[Hold]:
        return [
            Hold(claim, prepared)
            for claim, devices in self.claims.items()
            for prepared in devices
            if prepared.device == device
        ]

    def prepare(self, plugin: EfaPlugin, claim: ClaimAllocation) -> Sequence[PreparedDevice]:
        self.claims[claim.claim] = plugin.prepare(claim, self.held)
        return self.claims[claim.claim]


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
def claim_of() -> Callable[..., ClaimAllocation]:
    """A claim for devices by name, with configurations as documents, decoded as the core does it.

    Its requests are given by `requests`, device by device; configurations for all of them, or by request. What else an
    allocation of its devices has is given by name.
    """

    def build(
        *names: str,
        requests: Sequence[str] = (),
        configs: Mapping[str, list[dict[str, Any]]] | list[dict[str, Any]] = (),
        name: str = "claim",
        **changes: Any,
    ) -> ClaimAllocation:
        return ClaimAllocation(
            ClaimRef(f"uid-of-{name}", "default", name),
            tuple(
                AllocatedDevice(
                    request,
                    DeviceRef("dra.net", "node-1", device),
                    config=tuple(
                        decode_config(OpaqueConfig(ConfigSource.CLAIM, document), EfaPlugin.config_types)
                        for document in (configs.get(request, []) if isinstance(configs, Mapping) else configs)
                    ),
                    **changes,
                )
                for device, request in zip(names, requests or ["efas"] * len(names), strict=True)
            ),
        )

    return build


@pytest.fixture
def efa_config() -> Callable[..., dict[str, Any]]:
    """An EfaConfig with these fields."""
    return lambda **fields: {"apiVersion": "efa.drakit/v1", "kind": "EfaConfig", **fields}


@pytest.fixture
def environments() -> Callable[[Sequence[PreparedDevice]], list[dict[str, str]]]:
    return lambda prepared: [dict(device.edits.env) for device in prepared]
