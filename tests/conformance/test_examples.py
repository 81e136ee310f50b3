"""The plugins that the documentation prints keep every rule of the conformance kit."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from drakit.testing.conformance import PluginConformance

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def example(name: str) -> type:
    """The plugin class of an example."""
    spec = importlib.util.spec_from_file_location(f"conformance_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (plugin,) = [value for value in vars(module).values() if hasattr(value, "driver_name")]
    return plugin


class WithoutRounds(PluginConformance):
    """A full round costs seconds: test_command_line.py and test_plugins.py have plugins of this kind go through it."""

    test_a_full_round_over_v1 = None
    test_a_full_round_over_v1beta1 = None


class TestSerial(WithoutRounds):
    plugin = example("serial")

    def lay_out(self, root):
        (root / "dev").mkdir()
        for number in range(3):
            (root / "dev" / f"ttyUSB{number}").touch()


class TestNetworkPool(PluginConformance):
    plugin = example("network_pool")
    test_a_full_round_over_v1beta1 = None


class TestPartitionableGpu(WithoutRounds):
    plugin = example("partitionable_gpu")

    def lay_out(self, root):
        (root / "dev").mkdir()
        for number in range(2):
            (root / "dev" / f"gpu{number}").touch()
