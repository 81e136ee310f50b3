"""What `drakit check` is told of a node's Neuron devices: what is lost, of which device, and what to do."""

from __future__ import annotations

import contextlib
import os

import pytest
from drakit import Severity
from drakit_neuron.addresses import Addresses
from drakit_neuron.findings import findings as all_findings
from drakit_neuron.instances import INSTANCE_TYPES, UltraServerDevices
from drakit_neuron.membership import LABELS, Membership
from drakit_neuron.node import NeuronDevice, Node, Unread, read_node
from drakit_neuron.options import NeuronOptions


def findings(node, labels, options=None):
    return all_findings(node, labels, options or NeuronOptions())


def told(node, labels=None):
    """What is found on a node, by what was looked at; every finding says what to do about it."""
    found = findings(read_node(node.context(), Addresses(node.context())), labels or {})
    assert all(finding.severity is Severity.WARNING for finding in found)
    return {finding.what: finding.found for finding in found}


def described(node_type, numbers=None, **facts):
    """A node of a type, as it would be read."""
    known = INSTANCE_TYPES[node_type]
    present = range(known.devices) if numbers is None else numbers
    return Node(devices=tuple(NeuronDevice(number=number) for number in present), known=known, **facts)


@pytest.mark.parametrize("node_type", ["trn1.2xlarge", "inf2.48xlarge", "inf1.xlarge"])
def test_a_good_node_needs_no_finding(node, node_type):
    assert told(node.lay_out(node_type)) == {}


def test_a_node_without_devices_needs_no_finding(node):
    assert told(node) == {}


def test_devices_that_are_missing_are_named_with_the_gap_they_leave():
    (finding,) = findings(described("trn2.48xlarge", [n for n in range(16) if n not in (3, 7)]), {})
    assert (finding.what, finding.severity) == ("devices", Severity.WARNING)
    assert "neuron3, neuron7 of the 16 of trn2.48xlarge" in finding.found
    assert "replace the node" in finding.found


def test_many_devices_are_counted_rather_than_listed():
    (finding,) = findings(described("trn2.48xlarge", [15]), {})
    assert "neuron0, neuron1, neuron2, neuron3 and 11 more" in finding.found


def test_more_devices_than_the_type_is_known_to_have_are_pointed_out():
    (finding,) = findings(described("trn1.2xlarge", [0, 1]), {})
    assert "neuron1" in finding.found
    assert "option instances" in finding.found


@contextlib.contextmanager
def another_user():
    """Be somebody who may not read what is root's alone."""
    if os.geteuid() != 0:  # the files are this user's: as long as nobody may read them, it may not either
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.reliability(
    fault="Files of a device may be read by root alone, as before kernel module 2.28",
    injected="The agent's user may not read what cores devices have, nor what they are linked to",
    promise="Devices are published with what the tables know; check names the files, devices and remedy",
)
def test_files_that_may_not_be_read_cost_their_attributes_and_check_says_so(node, devices, short_path):
    short_path.chmod(0o755)
    node.root = short_path
    plugin = node.lay_out("inf2.48xlarge").plugin()
    devices(plugin)  # what is imported late is read as the user that may
    for number in range(12):
        for file in ("core_count", "connected_devices"):
            (node.device_dir(number) / file).chmod(0)
    with another_user():
        found, said = devices(plugin), told(node)
    assert [device.attributes["neuron.drakit/physicalCores"] for device in found.values()] == [2] * 12
    assert not any("neuron.drakit/connectedDevices" in device.attributes for device in found.values())
    assert set(said) == {"core_count", "connected_devices"}
    for text in said.values():
        for part in ("neuron0, neuron1", "8 more", "Permission denied", "2.28", "root"):
            assert part in text
    assert node.warnings() == []


def test_a_file_that_is_not_there_costs_its_attribute_and_the_table_says_the_cores(node, devices):
    node.lay_out("trn1.2xlarge")
    for file in ("core_count", "connected_devices"):
        (node.device_dir(0) / file).unlink()
    found = told(node)
    assert set(found) == {"core_count", "connected_devices"}
    for text in found.values():
        assert "update the Neuron driver" in text
        assert "root" not in text
    attributes = devices(node.plugin())["neuron-device-0"].attributes
    assert attributes["neuron.drakit/physicalCores"] == 2
    assert "neuron.drakit/connectedDevices" not in attributes
    assert node.warnings() == []


@pytest.mark.parametrize("content", ["", "\n", "  \n"])
def test_a_blank_serial_is_absent_and_check_says_of_which_device(node, devices, content):
    node.lay_out("trn1.2xlarge")
    (node.device_dir(0) / "info/serial_number").write_text(content)
    assert "neuron.drakit/serialNumber" not in devices(node.plugin())["neuron-device-0"].attributes
    assert "neuron0" in told(node)["info/serial_number"]
    assert node.warnings() == []


@pytest.mark.parametrize(
    ("content", "shown", "cut"),
    [
        ("12, 1, 3, 4\n", "1,3,4,12", False),
        ("11, 14, 3, 12\n", "3,11,12,14", False),
        ("10, 11, 12, 13, 14\n", "10,11,12,13,14", False),  # fits to the last byte
        ("10, 11, 12, 13, 14,", "10,11,12,13", True),
        ("10, 11, 12, 13, 1, 1", "1,10,11,12,13", True),  # of the last number, who knows how much
        ("\n", None, False),
        ("", None, True),  # the module found no room, and wrote nothing
    ],
)
def test_neighbours_are_told_as_far_as_the_module_s_buffer_holds_them(node, devices, content, shown, cut):
    node.lay_out("trn1.2xlarge")
    (node.device_dir(0) / "connected_devices").write_text(content)
    assert devices(node.plugin())["neuron-device-0"].attributes.get("neuron.drakit/connectedDevices") == shown
    found = told(node)
    assert set(found) == ({"connected_devices"} if cut else set())
    # The module's room is what is too small: neither another user nor another release helps.
    assert not any(word in text for text in found.values() for word in ("root", "update"))


def test_devices_whose_files_fail_for_different_reasons_are_told_apart():
    unread = {"connected_devices": {0: Unread("cut"), 1: Unread("denied", "be root"), 2: Unread("denied", "be root")}}
    found = [finding.found for finding in findings(described("trn2.48xlarge", unread=unread), {})]
    assert len(found) == 2
    assert "of neuron0: cut" in found[0]
    assert "of neuron1, neuron2: denied" in found[1]
    assert found[1].endswith("; be root")
    assert "root" not in found[0]


@pytest.mark.parametrize(
    ("file", "content", "lost"),
    [
        ("core_count", "many", "physicalCores"),
        ("core_count", "0", "physicalCores"),
        ("core_count", "4096", "physicalCores"),
        ("connected_devices", "1, x\n", "connectedDevices"),
        ("connected_devices", "1, -2\n", "connectedDevices"),
        ("connected_devices", "\x00\x01\n", "connectedDevices"),
        ("info/serial_number", "\x07\n", "serialNumber"),
        ("info/serial_number", "9" * 200, "serialNumber"),
    ],
)
def test_nonsense_costs_its_attribute_and_is_logged_once_with_device_file_and_remedy(
    node, devices, file, content, lost
):
    node.lay_out("inf2.24xlarge")
    (node.device_dir(2) / file).write_text(content)
    whole = devices(node.plugin())
    plugin = node.plugin()
    before = len(node.warnings())
    for _ in range(2):
        assert devices(plugin) == whole
    (warning,) = node.warnings()[before:]
    # The number of cores is in the table of types as well.
    how = "published with the 2 cores of inf2.24xlarge" if lost == "physicalCores" else "published without it"
    for part in ("neuron2", file, how, "reload the kernel module"):
        assert part in warning
    attributes = whole["neuron-device-2"].attributes
    assert attributes.get(f"neuron.drakit/{lost}") == (2 if lost == "physicalCores" else None)
    assert f"neuron.drakit/{lost}" in whole["neuron-device-3"].attributes


def test_addresses_that_nobody_tells_are_pointed_out_with_why_and_what_is_lost(node):
    found = told(node.lay_out("inf2.24xlarge"))
    for part in ("neuron0", "pciBusID", "pcieRoot", "numaNode", "option instances", "/dev/kmsg"):
        assert part in found["PCI addresses"]


def in_server(**facts):
    member = Membership(modes=(1, 2, 4), servers={2: "a", 4: "b"}, nodes={2: 0, 4: 1})
    return described("trn2u.48xlarge", **{"membership": member} | facts)


def test_a_node_of_an_ultraserver_without_its_labels_is_pointed_out():
    (finding,) = findings(in_server(), {"kubernetes.io/hostname": "node-1"})
    assert finding.what == "node labels"
    for part in ("exclusive-topology", "nodeLabels: true"):
        assert part in finding.found


def test_of_a_node_whose_labels_nobody_has_read_none_are_said_to_lack():
    assert findings(in_server(), {}) == []


@pytest.mark.parametrize("label", LABELS)
def test_a_node_of_an_ultraserver_with_labels_is_good_whoever_has_set_them(label):
    assert findings(in_server(), {label: "x"}) == []


@pytest.mark.parametrize("member", [None, Membership(busy=True), Membership(modes=(4,))])
def test_a_node_that_is_in_no_group_lacks_no_labels(member):
    found = findings(in_server(membership=member), {"kubernetes.io/hostname": "node-1"})
    assert [finding for finding in found if finding.what == "node labels"] == []


@pytest.mark.parametrize(
    ("member", "parts"),
    [
        (Membership(busy=True), ["still finding out", "if this lasts"]),
        (Membership(modes=(4,)), ["in no group of several", "its links are not down"]),
        (Membership(), ["in no group of several"]),
        (Membership(unclear="cannot read it"), ["cannot read it", "update the Neuron driver"]),
    ],
)
def test_a_node_that_can_take_part_in_no_job_over_several_is_pointed_out(member, parts):
    (finding,) = findings(in_server(membership=member), {})
    assert finding.what == "UltraServer"
    for part in (*parts, "ultraserverMode 2 or 4 are refused"):
        assert part in finding.found


@pytest.mark.parametrize("state", ["alone", "busy"])
def test_a_faked_node_that_is_alone_or_busy_is_pointed_out(node, state):
    assert "UltraServer" in told(node.lay_out(f"trn2u.48xlarge@{state}"))


def test_a_type_of_no_ultraserver_needs_no_place_in_one():
    assert findings(described("trn2.48xlarge", membership=Membership(unclear="no such file")), {}) == []


@pytest.mark.parametrize("wanted", UltraServerDevices)
def test_sharing_that_no_device_of_the_node_offers_is_pointed_out(wanted):
    options = NeuronOptions(core_sharing=True, ultra_server_devices=wanted)
    found = findings(in_server(), {}, options)
    if wanted is UltraServerDevices.DEVICES:
        assert found == []
        return
    (finding,) = found
    assert finding.what == "coreSharing"
    assert "ultraServerDevices: devices" in finding.found
    assert findings(described("trn2.48xlarge"), {}, options) == []
