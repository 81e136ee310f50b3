"""What the EFA backend publishes, and what a malformed tree costs."""

from __future__ import annotations

import shutil

import pytest
from drakit import PciFunction
from drakit.decoding import structure
from drakit.errors import ConfigError
from drakit_efa.devices import address_of, device_name
from drakit_efa.options import EfaOptions
from drakit_efa.sysfs import ADDRESS
from hypothesis import given
from hypothesis import strategies as st

OWN = "efa.drakit/"


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
    """What is published, but for the domain of our own, each value with its type."""
    return {name: (type(value), value) for name, value in values.items() if not name.startswith(OWN)}


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
        ("p6-b300.48xlarge", 16),
        ("g6e.48xlarge", 4),
        ("hpc6a.48xlarge", 1),
        ("hpc7a.96xlarge", 2),
    ],
)
def test_every_adapter_of_a_type_is_published(node, devices, node_type, count):
    assert len(devices(node.lay_out(node_type).plugin())) == count
    assert node.warnings() == []


def test_a_node_without_adapters_publishes_nothing_and_says_nothing(node, devices):
    assert devices(node.plugin()) == {}
    assert node.warnings() == []


def test_an_instance_type_nobody_knows_is_published_as_any_other(node, devices):
    known = devices(node.lay_out("p4d.24xlarge").plugin())
    (node.root / "sys/devices/virtual/dmi/id/product_name").write_text("p9z.96xlarge\n")
    assert devices(node.plugin()) == known
    (node.root / "sys/devices/virtual/dmi/id/product_name").unlink()
    assert devices(node.plugin()) == known
    assert node.warnings() == []


def test_verbs_devices_of_nvlink_controllers_are_never_published(node, devices):
    found = devices(node.lay_out("p6-b200.48xlarge").plugin())
    verbs = sorted(path.name for path in (node.root / "sys/class/infiniband").iterdir())
    assert {"ibp115s0f0", "ibp116s0f0"} < set(verbs)
    assert {device.attributes["dra.net/rdmaDevice"] for device in found.values()} == set(verbs[2:])


def test_the_drivers_name_changes_no_attribute(node, devices):
    node.lay_out("p4d.24xlarge")
    assert devices(node.plugin("efa.example.com")) == devices(node.plugin("dra.net"))


def test_a_generation_nobody_knows_yet_is_published(node, devices):
    node.lay_out("p4d.24xlarge")
    for name in ("device", "subsystem_device"):
        (node.function("0000:10:1b.0") / name).write_text("0xefa9\n")
    assert devices(node.plugin())["pci-0000-10-1b-0"].attributes["dra.net/pciSubsystem"] == "efa9"


@pytest.mark.parametrize(
    ("vendor", "device", "driver", "class_code"),
    [
        (0x15B3, 0x1021, "mlx5_core", 0x020700),  # an NVLink controller
        (0x15B3, 0xEFA3, None, 0x020000),
        (0x1D0F, 0xEC20, "ena", 0x020000),  # the network function of an interface with EFA
        (0x1D0F, 0x7064, "neuron-driver", 0x088000),
        (0x1D0F, 0xEFA3, None, 0x010802),
    ],
)
def test_a_function_that_is_no_efa_is_never_published_and_not_spoken_of(
    node, devices, vendor, device, driver, class_code
):
    other = PciFunction(address="0000:73:00.0", vendor=vendor, device=device, class_code=class_code, driver=driver)
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
    link = node.root / "sys/class/infiniband/rdmap16s27"
    link.unlink()
    link.with_name("efa_0").symlink_to("../../devices/pci0000:10/0000:10:1b.0/infiniband/efa_0")
    (function / "infiniband_verbs/uverbs0/ibdev").write_text("efa_0\n")
    assert devices(node.plugin())["pci-0000-10-1b-0"].attributes["dra.net/rdmaDevice"] == "efa_0"
    assert node.warnings() == []


def test_the_kernels_own_names_of_rdma_devices_change_nothing_else(node, devices):
    named = devices(node.lay_out("trn2.48xlarge@efa-0-names").plugin())
    assert [device.attributes["dra.net/rdmaDevice"] for device in named.values()] == [f"efa_{n}" for n in range(16)]
    assert node.warnings() == []


def test_an_rdma_device_hidden_below_its_function_is_found_by_its_link_back(node, devices):
    whole = devices(node.lay_out("p4d.24xlarge").plugin())
    function, link = node.function("0000:10:1b.0"), node.root / "sys/class/infiniband/rdmap16s27"
    link.unlink()
    (function / "infiniband/rdmap16s27/device").unlink()
    (function / "infiniband/rdmap16s27").rename(link)
    (link / "device").symlink_to("/sys/bus/pci/devices/0000:10:1b.0")
    (function / "infiniband").rmdir()
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
    file.unlink()
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


@pytest.mark.reliability(
    fault="The EFA kernel module is not loaded, or did not take an adapter",
    injected="Functions on the bus have no driver",
    promise="Nothing is published for them; one line in the log, however often it is looked, says why and what to do",
)
def test_adapters_without_the_kernel_module_are_not_published_and_named_in_one_line(node, devices):
    plugin = node.lay_out("p5.48xlarge@unloaded").plugin()
    assert devices(plugin) == devices(plugin) == {}
    (warning,) = node.warnings()
    assert warning.startswith("0000:4f:00.0, 0000:50:00.0, 0000:51:00.0, 0000:52:00.0 and 28 more: not published")
    assert "modprobe efa" in warning


def test_an_adapter_the_loaded_module_did_not_take_is_named_and_costs_no_other(node, devices):
    node.lay_out("p4d.24xlarge")
    (node.function("0000:10:1b.0") / "driver").unlink()
    assert len(devices(node.plugin())) == 3
    (warning,) = node.warnings()
    assert "0000:10:1b.0: not published, the efa kernel module is loaded" in warning
    assert "dmesg" in warning


def test_an_adapter_with_another_driver_is_named_with_it(node, devices):
    node.lay_out("p4d.24xlarge")
    driver = node.function("0000:10:1b.0") / "driver"
    driver.unlink()
    driver.symlink_to("../../../bus/pci/drivers/vfio-pci")
    assert len(devices(node.plugin())) == 3
    (warning,) = node.warnings()
    assert "0000:10:1b.0: not published, bound to vfio-pci" in warning


def test_adapters_that_were_not_asked_for_are_not_spoken_of(node, devices):
    node.lay_out("p4d.24xlarge")
    for address in ("0000:10:1b.0", "0000:20:1b.0"):
        (node.function(address) / "driver").unlink()
    assert devices(node.plugin(options=EfaOptions(("0000:20:1b.0", "0000:90:1b.0")))).keys() == {"pci-0000-90-1b-0"}
    (warning,) = node.warnings()
    assert warning.startswith("0000:20:1b.0: not published")
    assert "0000:10:1b.0" not in warning


def test_what_is_wrong_again_after_it_was_right_is_said_again(node, devices):
    plugin = node.lay_out("p4d.24xlarge").plugin()
    driver = node.function("0000:10:1b.0") / "driver"
    for bound in (False, False, True, False):
        driver.unlink(missing_ok=True)
        if bound:
            driver.symlink_to("../../../bus/pci/drivers/efa")
        assert len(devices(plugin)) == 3 + bound
    assert len(node.warnings()) == 2
