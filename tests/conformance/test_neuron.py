"""The Neuron plugin keeps every rule of the conformance kit, on nodes of every shape, also on broken ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

from drakit.testing.conformance import PluginConformance
from drakit_neuron.plugin import NeuronPlugin

CLASS = "sys/class/neuron_device"


class OnNeuron(PluginConformance):
    """Without the rounds: a full one costs seconds, so that few types go through it."""

    plugin = NeuronPlugin
    test_a_full_round_over_v1 = None
    test_a_full_round_over_v1beta1 = None


class TestTrn2(PluginConformance):
    plugin = NeuronPlugin
    node_type = "trn2.48xlarge"
    parameters = ({"apiVersion": "neuron.aws.com/v1", "kind": "NeuronConfig", "logicalNeuronCore": 1},)


class TestTrn1BelowAnOldModule(OnNeuron):
    node_type = "trn1.32xlarge@driver-2.26"


class TestInf2ByCores(OnNeuron):
    node_type = "inf2.24xlarge"
    options: ClassVar = {"coreSharing": True}


class TestInf1(OnNeuron):
    node_type = "inf1.6xlarge"


class TestTrn3(OnNeuron):
    node_type = "trn3.48xlarge@node-2"
    options: ClassVar = {"coreSharing": True}


class TestUltraServerByNodesAndDevicesAndCores(OnNeuron):
    node_type = "trn2u.48xlarge@node-1"
    options: ClassVar = {"ultraServerDevices": "both", "coreSharing": True}
    test_a_full_round_over_v1 = PluginConformance.test_a_full_round_over_v1


class TestNodeOfAnUltraServer(OnNeuron):
    node_type = "trn2u.48xlarge"
    parameters = (
        {"apiVersion": "neuron.aws.com/v1", "kind": "UltraServerConfig", "ultraserverMode": 2},
        {"apiVersion": "neuron.aws.com/v1", "kind": "NeuronConfig", "logicalNeuronCore": 1},
    )


class TestTypeOfNoTable(OnNeuron):
    """An instance type that no release knows, on which devices are missing and files are not what they should be."""

    node_type = "trn1.32xlarge"

    def lay_out(self, root: Path) -> None:
        super().lay_out(root)
        (root / "sys/devices/virtual/dmi/id/product_name").write_text("trn9.96xlarge\n")
        (root / CLASS / "neuron0").unlink()
        shutil.rmtree(root / "sys/devices/virtual/neuron_device/neuron7")
        (root / CLASS / "ultraserver_mode").write_text("busy\n")
        (root / CLASS / "neuron3/core_count").unlink()
        (root / CLASS / "neuron4/connected_devices").write_text("10, 11, 12, 13, 1\n")
        (root / CLASS / "neuron5/info/serial_number").write_text("\n")
        (root / CLASS / "neuron6/stats/hardware/mem_ecc_uncorrected").write_bytes(b"\xff\xfe")


class TestNodeWithoutAnyFacts(OnNeuron):
    """Device directories and nothing in them; neither DMI nor the module's version."""

    def lay_out(self, root: Path) -> None:
        for number in (2, 5):
            (root / CLASS / f"neuron{number}").mkdir(parents=True)
            (root / "dev").mkdir(exist_ok=True)
            (root / "dev" / f"neuron{number}").touch()
