"""The plugins in docs/examples work as they are printed: against the public API, in a host, up to the API server."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest
from attrs import evolve
from drakit import AllocatedDevice, ClaimAllocation, ClaimRef, DeviceRef, PluginContext
from drakit.host import PluginHost
from drakit.inventory import begin, finish
from drakit.loading import inspect
from drakit.slices import pool_slices
from drakit.testing import InMemoryApiServer

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
NODE = "node-1"
CLASSES = {
    "serial": "SerialPlugin",
    "network_pool": "AppliancePlugin",
    "partitionable_gpu": "PartitionableGpuPlugin",
}


class Example:
    """One example, loaded from its file and hosted with some options on a root."""

    def __init__(self, name, root, **options):
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        loaded = inspect(name, getattr(module, CLASSES[name]))
        declared = loaded.declarations
        self.driver = declared.driver_name
        self.host = PluginHost()
        context = PluginContext(
            driver=self.driver,
            node=NODE,
            pool=NODE,
            root=root,
            options=declared.options(**options) if declared.options else None,
        )
        self.host.add(self.driver, loaded, context)

    def pool(self):
        (pool,) = self.host.discover(self.driver)
        return pool

    def names(self):
        return [device.name for device in self.pool().devices]

    def prepare(self, *devices):
        pool = self.pool().name or NODE
        allocated = [AllocatedDevice("request", DeviceRef(self.driver, pool, device)) for device in devices]
        claim = ClaimAllocation(ClaimRef("uid-1", "default", "claim"), allocated)
        prepared = self.host.prepare(self.driver, claim)
        assert [item.device.name for item in prepared] == list(devices)
        self.host.unprepare(self.driver, claim.claim, prepared)
        self.host.unprepare(self.driver, claim.claim, [])
        return [item.edits for item in prepared]

    def publish(self, *, minor=37):
        """The specs an API server of that release has after the example's pool was published there."""
        ((resolved,),) = finish(begin(NODE, {self.driver: [self.pool()]})).pools.values()
        slices = pool_slices(resolved, NODE, split_counters=minor >= 35)
        with InMemoryApiServer(git_version=f"v1.{minor}.0") as server:
            for number, spec in enumerate(slices.specs):
                complete = spec | {"pool": spec["pool"] | {"generation": 1}}
                server.create(
                    {
                        "apiVersion": "resource.k8s.io/v1",
                        "kind": "ResourceSlice",
                        "metadata": {"name": f"slice-{number}"},
                        "spec": complete,
                    }
                )
            return [document["spec"] for document in server.list("ResourceSlice")]


@pytest.fixture
def dev(tmp_path):
    """Make empty files below a faked /dev, and give its root."""
    (tmp_path / "dev").mkdir()

    def make(*names):
        for name in names:
            (tmp_path / "dev" / name).touch()
        return tmp_path

    return make


@pytest.mark.parametrize("name", CLASSES)
def test_an_example_imports_nothing_of_drakit_but_its_public_names(name):
    tree = ast.parse((EXAMPLES / f"{name}.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {module for module in imported if module.startswith("drakit")} <= {"drakit", "drakit.errors"}


def test_the_examples_type_check_strictly():
    api = pytest.importorskip("mypy.api")
    config = Path(__file__).parents[2] / "pyproject.toml"
    paths = [str(EXAMPLES / f"{name}.py") for name in CLASSES]
    output, errors, status = api.run(["--strict", "--config-file", str(config), *paths])
    assert status == 0, output + errors


@pytest.mark.parametrize("minor", [34, 37])
@pytest.mark.parametrize("name", CLASSES)
def test_every_example_makes_slices_the_api_server_takes(dev, name, minor):
    assert Example(name, dev("ttyUSB0", "gpu0", "gpu1")).publish(minor=minor)


@pytest.mark.parametrize("name", CLASSES)
def test_every_example_discovers_the_same_again(dev, name):
    example = Example(name, dev("ttyUSB0", "ttyUSB1", "gpu0"))
    assert example.pool() == example.pool()


def test_the_whole_third_party_plugin_has_at_most_forty_lines_of_code():
    lines = (EXAMPLES / "serial.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 40


def test_serial_adapters_are_found_and_handed_out(dev):
    root = dev("ttyUSB0", "ttyUSB12", "ttyS0")
    example = Example("serial", root)
    assert example.names() == ["ttyusb0", "ttyusb12"]
    (edits,) = example.prepare("ttyusb12")
    (node,) = edits.device_nodes
    assert (node.path, node.host_path) == ("/dev/ttyUSB12", f"{root}/dev/ttyUSB12")


def test_a_node_without_adapters_has_an_empty_pool(dev):
    example = Example("serial", dev())
    (spec,) = example.publish()
    assert spec["nodeName"] == NODE
    assert not spec.get("devices")


def test_a_network_pool_is_for_every_node(tmp_path):
    (spec,) = Example("network_pool", tmp_path, accelerators=2).publish()
    assert spec["allNodes"] is True
    assert "nodeName" not in spec
    assert spec["pool"]["name"] == "appliance"
    assert [device["name"] for device in spec["devices"]] == ["accelerator-0", "accelerator-1"]


def test_a_network_pool_can_be_for_the_nodes_of_a_zone(tmp_path):
    (spec,) = Example("network_pool", tmp_path, zone="eu-1a").publish()
    (term,) = spec["nodeSelector"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["eu-1a"]}]


def test_a_network_pool_is_the_same_from_every_node(tmp_path):
    (tmp_path / "other").mkdir()
    pools = [Example("network_pool", root).pool() for root in (tmp_path, tmp_path / "other")]
    assert pools[0] == pools[1]


def test_a_container_learns_where_its_accelerator_is(tmp_path):
    first, second = Example("network_pool", tmp_path, address="10.0.0.9:7000").prepare("accelerator-1", "accelerator-3")
    assert first.env == {"APPLIANCE_ACCELERATOR_1": "10.0.0.9:7000/1"}
    assert second.env == {"APPLIANCE_ACCELERATOR_3": "10.0.0.9:7000/3"}


def test_a_gpu_is_offered_whole_in_halves_and_in_quarters(dev):
    example = Example("partitionable_gpu", dev("gpu0", "gpu1"))
    assert [name for name in example.names() if name.startswith("gpu0")] == [
        "gpu0-full-0",
        "gpu0-half-0",
        "gpu0-half-1",
        "gpu0-quarter-0",
        "gpu0-quarter-1",
        "gpu0-quarter-2",
        "gpu0-quarter-3",
    ]


def test_the_partitions_of_each_kind_use_up_exactly_one_gpu(dev):
    pool = Example("partitionable_gpu", dev("gpu0"), memory_gib=96, engines=12).pool()
    (whole,) = pool.counters
    for kind in ("full", "half", "quarter"):
        parts = [device.consumes[0] for device in pool.devices if device.attributes["partition"] == kind]
        assert {part.counter_set for part in parts} == {whole.name}
        for counter, amount in whole.counters.items():
            assert sum(part.counters[counter].nanos for part in parts) == amount.nanos


def test_from_1_35_the_counters_stand_in_a_slice_of_their_own(dev):
    example = Example("partitionable_gpu", dev("gpu0"))
    assert ["sharedCounters" in spec for spec in example.publish(minor=37)].count(True) == 1
    assert not any("sharedCounters" in spec and spec.get("devices") for spec in example.publish(minor=37))
    assert all("sharedCounters" in spec and spec.get("devices") for spec in example.publish(minor=34))


def test_a_partition_brings_its_gpus_node_and_says_which_part_it_is(dev):
    root = dev("gpu0", "gpu1")
    (edits,) = Example("partitionable_gpu", root).prepare("gpu1-quarter-2")
    assert edits.env == {"GPU_PARTITION_GPU1_QUARTER_2": "/dev/gpu1"}
    assert [(node.path, node.host_path) for node in edits.device_nodes] == [("/dev/gpu1", f"{root}/dev/gpu1")]


def test_two_partitions_of_one_gpu_in_a_claim_keep_what_each_is(dev):
    first, second = Example("partitionable_gpu", dev("gpu0")).prepare("gpu0-half-0", "gpu0-quarter-3")
    assert set(first.env) & set(second.env) == set()
    assert evolve(first, env={}) == evolve(second, env={})
