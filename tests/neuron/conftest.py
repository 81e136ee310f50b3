"""A faked node for the neuron plugin, laid out by the plugin itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    Hold,
    OpaqueConfig,
    PluginContext,
    PreparedDevice,
)
from drakit.decoding import decode_config
from drakit.loading import inspect
from drakit.testing import lay_out
from drakit_neuron.options import HealthOptions, NeuronOptions
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

    def write(self, number: int, path: str, text: str) -> None:
        """One file of a device, in a directory that is made where it is missing."""
        file = self.device_dir(number) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def remove(self, number: int) -> None:
        (self.root / CLASS / f"neuron{number}").unlink()

    def warnings(self) -> list[str]:
        return self.told.warnings()


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

    def prepare(self, plugin: NeuronPlugin, claim: ClaimAllocation) -> Sequence[PreparedDevice]:
        self.claims[claim.claim] = plugin.prepare(claim, self.held)
        return self.claims[claim.claim]


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
def node(tmp_path: Path, told: Any) -> FakeNode:
    return FakeNode(tmp_path, told)


@pytest.fixture
def watched(node: FakeNode) -> Iterator[Callable[..., NeuronPlugin]]:
    """Make a plugin on a laid out node, with thresholds as given; it is closed when the test ends."""
    plugins: list[NeuronPlugin] = []

    def build(node_type: str, **thresholds: Any) -> NeuronPlugin:
        options = NeuronOptions(health=HealthOptions(**({"kmsg": False} | thresholds)))
        plugin = node.lay_out(node_type).plugin(options=options)
        plugins.append(plugin)
        plugin.discover()
        return plugin

    yield build
    for plugin in plugins:
        plugin.close()


@pytest.fixture
def claim_of() -> Callable[..., ClaimAllocation]:
    """A claim for devices, by number or name, with configurations as documents, decoded as the core does it.

    What else an allocation of its devices has is given by name.
    """

    def build(
        *devices: int | str,
        configs: Mapping[int | str, list[dict[str, Any]]] | list[dict[str, Any]] = (),
        name: str = "claim",
        **changes: Any,
    ) -> ClaimAllocation:
        return ClaimAllocation(
            ClaimRef(f"uid-of-{name}", "default", name),
            tuple(
                AllocatedDevice(
                    request=f"request-{device}",
                    device=DeviceRef("neuron.aws.com", "node-1", _name(device)),
                    config=tuple(
                        decode_config(OpaqueConfig(ConfigSource.CLAIM, document), NeuronPlugin.config_types)
                        for document in (configs.get(device, []) if isinstance(configs, Mapping) else configs)
                    ),
                    **changes,
                )
                for device in devices
            ),
        )

    return build


def _name(device: int | str) -> str:
    return device if isinstance(device, str) else f"neuron-device-{device}"


def _document(kind: str, field_name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {"apiVersion": "neuron.aws.com/v1", "kind": kind, field_name: value}


@pytest.fixture
def core_size() -> Callable[[Any], dict[str, Any]]:
    """A NeuronConfig."""
    return _document("NeuronConfig", "logicalNeuronCore")


@pytest.fixture
def ultraserver() -> Callable[[Any], dict[str, Any]]:
    """An UltraServerConfig."""
    return _document("UltraServerConfig", "ultraserverMode")


@pytest.fixture
def environments() -> Callable[[Sequence[PreparedDevice]], list[dict[str, str]]]:
    return lambda prepared: [dict(device.edits.env) for device in prepared]
