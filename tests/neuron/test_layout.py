"""Faked nodes: every type there is, with the files that the kernel module of a release shows."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from drakit import DeviceUnfit, Severity
from drakit.testing import lay_out, read_layout
from drakit_neuron.faked import FAKED_NODES, places
from drakit_neuron.instances import INSTANCE_TYPES
from drakit_neuron.layout import NODE_TYPES
from drakit_neuron.plugin import NeuronPlugin

REFERENCE = Path(__file__).parents[2].parent / "shared/reference/device-maps.json"
SHAPES = {node.shape: name for name, node in reversed(FAKED_NODES.items()) if "@" not in name}
"""One type for each generation and number of devices."""
SERVER = ["trn2u.48xlarge", *(f"trn2u.48xlarge@node-{number}" for number in (1, 2, 3))]
RACK = ["trn3.48xlarge", *(f"trn3.48xlarge@node-{number}" for number in (1, 2, 3))]


def text(node, name):
    return (node.root / "sys/class/neuron_device" / name).read_text().strip()


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def laid(node, tmp_path):
    """Lay out nodes beside each other."""

    def lay(node_type):
        return type(node)(tmp_path / node_type, node.told).lay_out(node_type)

    return lay


def test_every_type_that_is_known_can_be_faked():
    assert set(INSTANCE_TYPES) <= set(NODE_TYPES) == set(NeuronPlugin.node_types)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the shared reference is not here")
def test_every_type_of_the_published_maps_can_be_faked():
    maps = json.loads(REFERENCE.read_text())
    assert {*maps["instances"], *maps["config"]["efa_enabled_instances"]} <= set(NODE_TYPES)


@pytest.mark.parametrize("node_type", SHAPES.values(), ids=SHAPES)
def test_a_node_has_the_devices_of_its_type_and_nothing_to_complain_of(node, node_type):
    (pool,) = node.lay_out(node_type).plugin().discover()
    known = INSTANCE_TYPES[node_type]
    numbers = [device.attributes["deviceId"] for device in pool.devices if "deviceId" in device.attributes]
    assert numbers == list(range(known.devices))
    assert {device.attributes["instanceType"] for device in pool.devices} == {node_type}
    assert node.warnings() == []


@pytest.mark.parametrize("node_type", SHAPES.values(), ids=SHAPES)
def test_a_check_finds_no_error_on_a_node_and_no_device_that_is_ill(node, node_type):
    plugin = node.lay_out(node_type).plugin()
    plugin.discover()
    assert [finding for finding in plugin.check() if finding.severity is Severity.ERROR] == []
    reports = plugin.health()
    assert len(reports) >= INSTANCE_TYPES[node_type].devices
    assert [fault for report in reports for fault in report.faults if fault.count is None or fault.count] == []
    plugin.close()


@pytest.mark.parametrize("node_type", SHAPES.values(), ids=SHAPES)
def test_each_device_has_a_place_of_its_own_and_links_that_go_both_ways(node, node_type):
    node.lay_out(node_type)
    functions = read_layout(node.root).functions["neuron"]
    assert len({function.address for function in functions}) == len(functions) == INSTANCE_TYPES[node_type].devices
    listed = [text(node, f"neuron{number}/connected_devices") for number in range(len(functions))]
    linked = {(one, int(other)) for one, line in enumerate(listed) for other in line.split(", ") if line}
    assert {(other, one) for one, other in linked} == linked
    assert all(len(f"{line}\n") < 20 for line in listed)  # what the kernel module has room for


def test_faked_devices_are_where_published_tables_have_them():
    published = {name: known.addresses for name, known in INSTANCE_TYPES.items() if known.addresses}
    assert published
    assert {name: tuple(place[0] for place in places(FAKED_NODES[name])) for name in published} == published


def test_a_layout_written_again_is_the_same_tree_also_where_files_are_read_only(laid):
    node = laid("trn1.32xlarge@driver-2.26")
    before = {path: path.read_bytes() for path in node.root.rglob("*") if path.is_file()}
    node.lay_out("trn1.32xlarge@driver-2.26")
    assert {path: path.read_bytes() for path in node.root.rglob("*") if path.is_file()} == before


def test_a_machine_does_not_know_that_it_is_a_variant(laid):
    node = laid("trn2.48xlarge@driver-2.26")
    assert (node.root / "sys/devices/virtual/dmi/id/product_name").read_text() == "trn2.48xlarge\n"
    functions = read_layout(node.root).functions
    assert {name: len(own) for name, own in functions.items()} == {"neuron": 16}
    everything = lay_out("trn2.48xlarge@driver-2.26", node.root.with_name("all"))
    assert len([one for one in everything.functions["efa"] if one.published_as]) == 16


@pytest.mark.parametrize(
    ("release", "version", "readable", "health_status"),
    [
        ("@driver-2.25", "2.25.4.0", False, None),
        ("@driver-2.26", "2.26.10.0", False, None),
        ("@driver-2.28", "2.28.0.0", True, False),
        ("", "2.30.2.0", True, True),
    ],
)
def test_files_and_their_permissions_are_those_of_the_kernel_modules_release(
    laid, release, version, readable, health_status
):
    node = laid(f"trn2.48xlarge{release}")
    device = node.device_dir(7)
    assert (node.root / "sys/module/neuron/version").read_text() == f"{version}\n"
    assert (mode(device / "core_count"), mode(device / "reset")) == (0o444 if readable else 0o400, 0o400)
    assert (device / "stats/hardware/mem_ecc_uncorrected").is_file()
    assert (device / "stats/hardware/mem_ecc_corrected").exists() == bool(health_status)
    status = device / "stats/hardware/health_status"
    assert status.exists() == (health_status is not None)
    assert (status / "unhealthy_components").exists() == bool(health_status)


def test_inferentia1_has_neither_serial_numbers_nor_counters_of_memory_errors(laid):
    device = laid("inf1.6xlarge").device_dir(3)
    assert not (device / "info/serial_number").exists()
    assert not (device / "stats/hardware").exists()
    assert (device / "neuron_core0/stats/status/hw_error/total").read_text() == "0\n"


def test_counters_of_every_core_are_there_where_they_are_asked_for(laid):
    few, every = (laid(f"trn1.32xlarge{variant}").device_dir(0) for variant in ("", "@all-counters"))
    assert [path.name for path in few.glob("neuron_core*")] == ["neuron_core0"]
    cores = sorted(every.glob("neuron_core*"))
    assert [core.name for core in cores] == ["neuron_core0", "neuron_core1"]
    shown = {str(path.relative_to(few / "neuron_core0")) for path in few.glob("neuron_core0/**/total")}
    for core in cores:
        assert shown < {str(path.relative_to(core)) for path in core.rglob("total")}


def test_a_device_that_did_not_start_is_on_the_bus_and_nowhere_else(laid):
    node = laid("trn2.48xlarge@missing-3")
    (pool,) = node.plugin().discover()
    assert [device.attributes["deviceId"] for device in pool.devices] == [0, 1, 2, *range(4, 16)]
    functions = read_layout(node.root).functions["neuron"]
    assert [function.address for function in functions if function.driver is None] == [functions[3].address]
    assert (functions[3].published_as, functions[3].companions) == (None, ())
    assert {text(node, f"neuron{number}/connected_devices") for number in (0, 2, 7)} == {""}


def test_a_node_of_an_ultraserver_may_lack_a_device_and_its_claims_are_refused(laid, record, claim_of):
    plugin = laid("trn2u.48xlarge@missing-3").plugin()
    with pytest.raises(DeviceUnfit, match="lacks neuron3"):
        record.prepare(plugin, claim_of("neuron-node"))


@pytest.mark.parametrize("node_type", ["ml.trn1.32xlarge", "ml.inf2.24xlarge"])
def test_a_node_of_sagemaker_has_the_devices_of_the_type_that_it_is(laid, devices, node_type):
    node, same = laid(node_type), laid(node_type.removeprefix("ml."))
    assert (node.root / "sys/devices/virtual/dmi/id/product_name").read_text() == f"{node_type}\n"
    found, expected = devices(node.plugin()), devices(same.plugin())
    assert {device.attributes["instanceType"] for device in found.values()} == {node_type}
    for name, device in expected.items():
        assert dict(found[name].attributes) == {**device.attributes, "instanceType": node_type}
    assert node.warnings() == []


@pytest.mark.parametrize(("nodes", "server"), [(SERVER, "server_id_4"), (RACK, "reservation_id")])
def test_the_nodes_of_an_ultraserver_have_one_server_and_places_of_their_own(laid, nodes, server):
    laid_out = [laid(node_type) for node_type in nodes]
    place = "node_id_4" if server == "server_id_4" else "node_id"
    assert [text(node, place) for node in laid_out] == ["0", "1", "2", "3"]
    assert len({text(node, server) for node in laid_out}) == 1
    assert len({text(node, "neuron0/info/serial_number") for node in laid_out}) == 4


def test_two_nodes_of_a_trn2_ultraserver_are_a_server_of_their_own(laid):
    nodes = [laid(node_type) for node_type in SERVER]
    pairs = [(text(node, "server_id_2"), text(node, "node_id_2")) for node in nodes]
    assert [node_id for _, node_id in pairs] == ["0", "1", "0", "1"]
    assert pairs[0][0] == pairs[1][0] != pairs[2][0] == pairs[3][0]


@pytest.mark.parametrize(("state", "mode_file"), [("alone", "4"), ("busy", "busy")])
def test_a_node_that_is_in_no_server_says_so(laid, state, mode_file):
    node = laid(f"trn2u.48xlarge@{state}")
    assert text(node, "ultraserver_mode") == mode_file
    assert {text(node, f"server_id_{size}") for size in (2, 4)} == {"0" * 16}


@pytest.mark.parametrize("node_type", SHAPES.values(), ids=SHAPES)
def test_what_can_go_wrong_shows_in_files_that_are_there(node, node_type):
    node.lay_out(node_type)
    for function in read_layout(node.root).functions["neuron"]:
        assert "unhealthy" in function.faults
        for path, change in ((path, change) for files in function.faults.values() for path, change in files.items()):
            assert (node.root / path).is_file(), path
            assert not change.startswith("+") or (node.root / path).read_text().strip().isdecimal(), path
