"""What the EFA backend publishes, and what a malformed tree costs."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from drakit import PciFunction
from drakit.decoding import structure
from drakit.errors import ConfigError
from drakit_efa.devices import address_of, device_name
from drakit_efa.options import EfaOptions
from drakit_efa.plugin import EfaPlugin
from drakit_efa.sysfs import ADDRESS
from hypothesis import given
from hypothesis import strategies as st

INSTANCES = Path(__file__).parents[2].parent / "shared/reference/efa-instances.json"
ROOT = "resource.kubernetes.io/pcieRoot"


def attributes(address, root, numa, *, generation, verbs):
    bus = address[5:7]
    return {
        "efa.drakit/mac": f"02:00:00:{bus}:1b:00",
        "efa.drakit/health": "Healthy",
        "dra.net/pciAddress": address,
        "dra.net/pciVendor": "Amazon.com, Inc.",
        "dra.net/pciDevice": "Elastic Fabric Adapter (EFA)",
        "dra.net/pciSubsystem": generation,
        "dra.net/numaNode": numa,
        "dra.net/rdma": True,
        "dra.net/rdmaDevice": verbs,
        "resource.kubernetes.io/pciBusID": address,
        "resource.kubernetes.io/pcieRoot": root,
        "resource.kubernetes.io/numaNode": numa,
    }


def typed(values):
    return {name: (type(value), value) for name, value in values.items()}


def test_a_p4d_publishes_each_adapter_as_dranet_does(node, devices):
    found = devices(node.lay_out("p4d.24xlarge").plugin())
    assert {name: typed(device.attributes) for name, device in found.items()} == {
        name: typed(attributes(address, root, numa, generation="efa0", verbs=verbs))
        for name, address, root, numa, verbs in [
            ("pci-0000-10-1b-0", "0000:10:1b.0", "pci0000:10", 0, "rdmap16s27"),
            ("pci-0000-20-1b-0", "0000:20:1b.0", "pci0000:20", 0, "rdmap32s27"),
            ("pci-0000-90-1b-0", "0000:90:1b.0", "pci0000:90", 1, "rdmap144s27"),
            ("pci-0000-a0-1b-0", "0000:a0:1b.0", "pci0000:a0", 1, "rdmap160s27"),
        ]
    }
    assert list(found) == sorted(found)
    assert node.warnings() == []


@pytest.mark.parametrize(
    ("node_type", "count"),
    [
        ("trn1.32xlarge", 8),
        ("trn1n.32xlarge", 16),
        ("trn2.48xlarge", 16),
        ("trn3.48xlarge", 16),
        ("p5.48xlarge", 32),
        ("p5e.48xlarge", 32),
        ("p5en.48xlarge", 16),
        ("p6-b200.48xlarge", 8),
    ],
)
def test_every_adapter_of_a_type_is_published(node, devices, node_type, count):
    assert len(devices(node.lay_out(node_type).plugin())) == count
    assert node.warnings() == []


@pytest.mark.skipif(not INSTANCES.exists(), reason="the recorded instance types are not beside this checkout")
@pytest.mark.parametrize("name", EfaPlugin.node_types)
def test_roots_counts_and_numa_nodes_are_the_recorded_ones(node, devices, name):
    recorded = json.loads(INSTANCES.read_text())
    found = devices(node.lay_out(name).plugin()).values()
    if name in recorded["types"]:
        assert len(found) == recorded["types"][name][0]
    for names, facts in recorded["topology"].items():
        if name in names.split("|"):
            places = Counter((d.attributes[ROOT], d.attributes.get("dra.net/numaNode")) for d in found)
            assert places == {(root, numa): count for root, (count, numa) in facts["roots"].items()}
            assert {d.attributes["dra.net/pciSubsystem"] for d in found} == {facts["gen"]}


def test_a_layout_written_twice_is_the_same_tree(node, devices):
    plugin = node.lay_out("p5.48xlarge").plugin()
    before = devices(plugin)
    assert len(plugin.layout("p5.48xlarge", node.root)) == 32
    assert devices(plugin) == before


def test_an_instance_type_without_adapters_lays_out_nothing(node, devices):
    assert node.plugin().layout("trn1.2xlarge", node.root) == ()
    assert list(node.root.iterdir()) == []
    assert devices(node.plugin()) == {}
    assert node.warnings() == []


def test_the_drivers_name_changes_no_attribute(node, devices):
    node.lay_out("p4d.24xlarge")
    assert devices(node.plugin("efa.example.com")) == devices(node.plugin("dra.net"))


def test_a_generation_nobody_knows_yet_is_published(node, devices):
    node.lay_out("p4d.24xlarge")
    for name in ("device", "subsystem_device"):
        (node.function("0000:10:1b.0") / name).write_text("0xefa9\n")
    assert devices(node.plugin())["pci-0000-10-1b-0"].attributes["dra.net/pciSubsystem"] == "efa9"


@pytest.mark.parametrize(
    ("vendor", "driver", "class_code"),
    [
        (0x15B3, "mlx5_core", 0x020700),  # an NVLink controller
        (0x1D0F, "ena", 0x020000),  # the network function of an interface with EFA
        (0x1D0F, None, 0x020000),
        (0x1D0F, "vfio-pci", 0x020000),
        (0x1D0F, "neuron-driver", 0x088000),
    ],
)
def test_a_function_without_the_efa_driver_is_never_published(node, devices, vendor, driver, class_code):
    other = PciFunction(address="0000:73:00.0", vendor=vendor, device=0xEFA3, class_code=class_code, driver=driver)
    node.lay_out("p4d.24xlarge", other)
    (node.function("0000:73:00.0") / "infiniband/ibp115s0f0").mkdir(parents=True)
    assert len(devices(node.plugin())) == 4
    assert node.warnings() == []


@pytest.mark.parametrize(
    ("name", "content"), [("vendor", "0x15b3\n"), ("class", "0x010802\n"), ("vendor", "garbage\n"), ("class", None)]
)
def test_a_bound_function_that_is_no_efa_is_left_out_and_named_once(node, devices, name, content):
    node.lay_out("p4d.24xlarge")
    file = node.function("0000:20:1b.0") / name
    file.unlink()
    if content is not None:
        file.write_text(content)
    plugin = node.plugin()
    for _ in range(3):
        assert "pci-0000-20-1b-0" not in devices(plugin)
        assert len(devices(plugin)) == 3
    (warning,) = node.warnings()
    assert "0000:20:1b.0 is not published" in warning
    assert name in warning
    assert "Error" not in warning


@pytest.mark.parametrize(
    ("file", "content", "lost"),
    [
        ("numa_node", "garbage\n", {"dra.net/numaNode", "resource.kubernetes.io/numaNode"}),
        ("numa_node", None, {"dra.net/numaNode", "resource.kubernetes.io/numaNode"}),
        ("subsystem_device", "\n", {"dra.net/pciSubsystem"}),
        ("subsystem_device", None, {"dra.net/pciSubsystem"}),
    ],
)
def test_a_bad_file_costs_its_attribute_only(node, devices, file, content, lost):
    whole = devices(node.lay_out("p4d.24xlarge").plugin())
    (node.function("0000:90:1b.0") / file).unlink()
    if content is not None:
        (node.function("0000:90:1b.0") / file).write_text(content)
    plugin = node.plugin()
    devices(plugin)
    found = devices(plugin)
    assert set(found) == set(whole)
    assert set(whole["pci-0000-90-1b-0"].attributes) - set(found["pci-0000-90-1b-0"].attributes) == lost
    (warning,) = node.warnings()
    assert "0000:90:1b.0" in warning
    assert file in warning
    assert "Error" not in warning


def test_a_numa_node_the_kernel_does_not_know_is_absent_without_a_warning(node, devices):
    node.lay_out("p4d.24xlarge")
    (node.function("0000:10:1b.0") / "numa_node").write_text("-1\n")
    found = devices(node.plugin())["pci-0000-10-1b-0"].attributes
    assert not {"dra.net/numaNode", "resource.kubernetes.io/numaNode"} & set(found)
    assert node.warnings() == []


def test_the_rdma_device_is_read_and_never_computed(node, devices):
    node.lay_out("p4d.24xlarge")
    function = node.function("0000:10:1b.0")
    (function / "infiniband/rdmap16s27").rename(function / "infiniband/efa_0")
    (function / "infiniband_verbs/uverbs0/ibdev").write_text("efa_0\n")
    assert devices(node.plugin())["pci-0000-10-1b-0"].attributes["dra.net/rdmaDevice"] == "efa_0"


def test_an_rdma_device_hidden_below_its_function_is_found_by_its_link_back(node, devices):
    whole = devices(node.lay_out("p4d.24xlarge").plugin())
    function, link = node.function("0000:10:1b.0"), node.root / "sys/class/infiniband/rdmap16s27"
    link.unlink()
    shutil.copytree(function / "infiniband/rdmap16s27/ports", link / "ports")
    (link / "device").symlink_to("/sys/bus/pci/devices/0000:10:1b.0")
    shutil.rmtree(function / "infiniband")
    assert devices(node.plugin()) == whole


@pytest.mark.parametrize("name", ["x" * 200, "efa 0"])
def test_an_rdma_device_with_an_impossible_name_costs_its_adapter_only(node, devices, name):
    node.lay_out("p4d.24xlarge")
    function = node.function("0000:10:1b.0")
    (function / "infiniband/rdmap16s27").rename(function / "infiniband" / name)
    assert len(devices(node.plugin())) == 3
    assert len(node.warnings()) == 1


def test_a_function_that_is_a_circle_of_links_costs_itself_only(node, devices):
    node.lay_out("p4d.24xlarge")
    function = node.function("0000:10:1b.0")
    function.unlink()
    function.symlink_to(function.name)
    assert len(devices(node.plugin())) == 3


@pytest.mark.parametrize("missing", ["infiniband", "infiniband_verbs"])
def test_an_adapter_no_container_could_use_is_not_published(node, devices, missing):
    node.lay_out("p4d.24xlarge")
    shutil.rmtree(node.function("0000:10:1b.0") / missing)
    assert len(devices(node.plugin())) == 3
    (warning,) = node.warnings()
    assert "0000:10:1b.0 is not published" in warning


def test_garbage_among_the_verbs_nodes_costs_nothing_else(node, devices):
    whole = devices(node.lay_out("p4d.24xlarge").plugin())
    nodes = node.root / "sys/class/infiniband_verbs"
    (nodes / "abi_version").write_text("6\n")
    (nodes / "uverbs77").mkdir()
    (nodes / "uverbs78").mkdir()
    (nodes / "uverbs78/ibdev").write_bytes(b"\xff\xfe")
    (node.root / "sys/bus/pci/devices/not-an-address").mkdir()
    assert devices(node.plugin()) == whole
    assert node.warnings() == []


def test_addresses_select_adapters_so_that_two_drivers_can_be_disjoint(node, devices):
    node.lay_out("p4d.24xlarge")
    one = devices(node.plugin(options=EfaOptions(("0000:10:1b.0", "0000:20:1b.0"))))
    two = devices(node.plugin("efa.example.com", options=EfaOptions(("0000:90:1b.0",))))
    assert set(one) == {"pci-0000-10-1b-0", "pci-0000-20-1b-0"}
    assert set(two) == {"pci-0000-90-1b-0"}


@pytest.mark.parametrize(("mode", "warnings"), [("N\n", 1), ("Y\n", 0), ("\n", 0), (None, 0)])
def test_rdma_devices_that_pods_cannot_open_are_published_with_a_warning(node, devices, mode, warnings):
    node.lay_out("p4d.24xlarge")
    file = node.root / "sys/module/ib_core/parameters/netns_mode"
    file.parent.mkdir(parents=True)
    if mode is not None:
        file.write_text(mode)
    plugin = node.plugin()
    for _ in range(2):
        assert len(devices(plugin)) == 4
    assert len(node.warnings()) == warnings
    assert all("rdma system set netns shared" in warning for warning in node.warnings())


def test_an_address_that_selects_nothing_is_named_once(node, devices):
    plugin = node.lay_out("p4d.24xlarge").plugin(options=EfaOptions(("0000:11:1b.0",)))
    assert devices(plugin) == devices(plugin) == {}
    (warning,) = node.warnings()
    assert "0000:11:1b.0" in warning


@pytest.mark.parametrize("value", [["10:1b.0"], ["0000:10:1B.0"], [""], "0000:10:1b.0", [5]])
def test_options_that_are_no_addresses_are_refused(value):
    with pytest.raises(ConfigError, match="addresses"):
        structure(EfaOptions, {"addresses": value}, "backends[0].options")


@given(st.from_regex(ADDRESS, fullmatch=True))
def test_a_name_stands_for_one_address_and_back(address):
    assert address_of(device_name(address)) == address


@pytest.mark.parametrize("name", ["", "pci-", "eth0", "pci-0000-10-1b", "pci-0000-10-1b-0-0", "pci-0000-zz-1b-0"])
def test_other_names_stand_for_no_address(name):
    assert address_of(name) is None
