"""A faked node for the neuron plugin, laid out by the plugin itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    OpaqueConfig,
    PluginContext,
)
from drakit.decoding import decode_config
from drakit.loading import inspect
from drakit.testing import lay_out
from drakit_neuron.plugin import NeuronPlugin

CLASS = "sys/class/neuron_device"


@define
class FakeNode:
    """A directory that looks like a node, and a neuron plugin that takes it for one."""

    root: Path
    told: Any
    labels: dict[str, str] = field(factory=dict)

    def lay_out(self, node_type: str) -> FakeNode:
        lay_out(node_type, self.root, [inspect("neuron", NeuronPlugin)])
        return self

    def plugin(self, driver: str = "neuron.aws.com", **changes: Any) -> NeuronPlugin:
        return NeuronPlugin(self.context(driver, **changes))

    def context(self, driver: str = "neuron.aws.com", **changes: Any) -> PluginContext:
        arguments = {"root": self.root, "node_labels": self.labels, "log": self.told.log} | changes
        return PluginContext(driver=driver, node="node-1", pool="node-1", **arguments)

    def device_dir(self, number: int) -> Path:
        return self.root / "sys/devices/virtual/neuron_device" / f"neuron{number}"

    def remove(self, number: int) -> None:
        (self.root / CLASS / f"neuron{number}").unlink()

    def warnings(self) -> list[str]:
        return self.told.warnings()


@pytest.fixture
def node(tmp_path: Path, told: Any) -> FakeNode:
    return FakeNode(tmp_path, told)


@pytest.fixture
def claim_of() -> Callable[..., ClaimAllocation]:
    """A claim for devices by number, with configurations as documents, decoded as the core does it."""

    def build(*numbers: int, configs: Mapping[int, list[dict[str, Any]]] | list[dict[str, Any]] = ()) -> Any:
        return ClaimAllocation(
            ClaimRef("uid-1", "default", "claim"),
            tuple(
                AllocatedDevice(
                    request=f"request-{number}",
                    device=DeviceRef("neuron.aws.com", "node-1", f"neuron-device-{number}"),
                    config=tuple(
                        decode_config(OpaqueConfig(ConfigSource.CLAIM, document), NeuronPlugin.config_types)
                        for document in (configs.get(number, []) if isinstance(configs, Mapping) else configs)
                    ),
                )
                for number in numbers
            ),
        )

    return build
