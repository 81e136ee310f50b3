"""A node of an UltraServer: what it publishes, how it is named, and how its Node object is labelled."""

from __future__ import annotations

import pytest
from drakit import Quantity
from drakit_neuron.devices import CAPACITY_BLOCK_LABEL, NODE_DEVICE, published
from drakit_neuron.instances import INSTANCE_TYPES, InstanceEntry, UltraServerDevices
from drakit_neuron.membership import LABELS, NODE_LABELS, SERVER_LABELS, labels, read_membership
from drakit_neuron.node import Node
from drakit_neuron.options import NeuronOptions

TYPE = "trn2u.48xlarge"
CLASS = "sys/class/neuron_device"
OWN = "neuron.drakit/"


def options(wanted):
    return NeuronOptions(ultra_server_devices=UltraServerDevices(wanted))


def class_file(node, name, content):
    (node.root / CLASS).mkdir(parents=True, exist_ok=True)
    (node.root / CLASS / name).write_text(content)


@pytest.fixture
def member(node):
    """The files of a node that is the second of a pair and the fourth of four, and no devices."""
    files = {
        "server_id_2": "aaaa",
        "server_id_4": "bbbb",
        "node_id_2": "1",
        "node_id_4": "3",
        "ultraserver_mode": "1,3,4",
    }
    for name, text in files.items():
        class_file(node, name, f"{text}\n")
    return node


def test_by_default_the_node_is_one_device_with_what_aws_s_driver_says_of_it(node, devices):
    node.labels |= {CAPACITY_BLOCK_LABEL: "cb-1", "topology.k8s.aws/network-node-layer-2": "nn-2"}
    (device,) = devices(node.lay_out(TYPE).plugin()).values()
    attributes = device.attributes
    assert device.name == NODE_DEVICE
    assert {name: attributes[name] for name in ("resourceType", "instanceType", "capacityBlockId")} == {
        "resourceType": "neuron_node",
        "instanceType": TYPE,
        "capacityBlockId": "cb-1",
    }
    assert (attributes["networkNodeLayer2"], attributes["neuronDriverVersion"]) == ("nn-2", "2.30.2.0")
    assert not any(name.startswith("topology") for name in attributes)
    # A selector by ids would fail on a device without one, and with it the claim; and it is no device's.
    assert attributes["deviceId"] == -1
    assert not device.capacity
    assert node.warnings() == []


def test_the_ids_of_an_ultraserver_can_be_selected_by(node, devices):
    (device,) = devices(node.lay_out(f"{TYPE}@node-3").plugin()).values()
    ids = {
        name: device.attributes[f"{OWN}{name}"] for name in ("nodeId2", "nodeId4", "serverId2", "serverId4", "devices")
    }
    read = {
        name: (node.root / CLASS / f"server_id_{name[-1]}").read_text().strip() for name in ("serverId2", "serverId4")
    }
    assert ids == {"nodeId2": 1, "nodeId4": 3, "devices": 16} | read


def test_devices_may_be_published_instead_and_have_no_grid(node, devices):
    found = devices(node.lay_out(TYPE).plugin(options=options("devices")))
    assert list(found) == [f"neuron-device-{number}" for number in range(16)]
    assert all(device.attributes["resourceType"] == "neuron_device" for device in found.values())
    assert not any(name.startswith("topology") for name in found["neuron-device-3"].attributes)


def test_of_both_the_node_takes_what_all_its_devices_take(node):
    node.lay_out(TYPE)
    node.remove(5)
    (pool,) = node.plugin(options=options("both")).discover()
    (counters,) = pool.counters
    assert counters.counters == {"devices": Quantity(15)}
    taken = {device.name: [c.counters for c in device.consumes] for device in pool.devices}
    assert taken.pop(NODE_DEVICE) == [{"devices": Quantity(15)}]
    assert list(taken.values()) == [[{"devices": Quantity(1)}]] * 15


@pytest.mark.parametrize("wanted", UltraServerDevices)
def test_nodes_of_no_ultraserver_publish_their_devices_whatever_is_wanted(wanted):
    for name, known in INSTANCE_TYPES.items():
        expected = (wanted or known.ultra_server) if known.ultra_server else "devices"
        assert published(Node(known=known), wanted) == expected, name
    assert published(Node(), wanted) == "devices"


def test_trn2_ultraservers_publish_nodes_by_default_and_trn3_ones_devices():
    by_default = {name: known.ultra_server for name, known in INSTANCE_TYPES.items() if known.ultra_server}
    assert {name for name, kind in by_default.items() if kind == "node"} == {TYPE}
    assert {name for name, kind in by_default.items() if kind == "devices"} >= {"trn3.48xlarge", "trn3e.24xlarge"}


def test_a_type_of_the_options_may_be_one_of_an_ultraserver(node, devices):
    node.lay_out("trn1.2xlarge")
    entry = InstanceEntry(architecture="Trn1", devices=1, ultra_server="node")
    found = devices(node.plugin(options=NeuronOptions(instances={"trn1.2xlarge": entry})))
    assert list(found) == [NODE_DEVICE]


def test_a_node_without_devices_publishes_nothing(member, devices):
    assert devices(member.plugin()) == {}


def test_the_labels_are_those_aws_s_device_plugin_sets(node):
    plugin = node.lay_out(f"{TYPE}@node-1").plugin()
    server = {size: (node.root / CLASS / f"server_id_{size}").read_text().strip() for size in (2, 4)}
    assert plugin.node_labels() == {
        "neuron.amazonaws.com/ultraserver-mode": "1_2_4",
        "neuron.amazonaws.com/ultraserver-server-id-2": server[2],
        "neuron.amazonaws.com/ultraserver-server-id-4": server[4],
        "neuron.amazonaws.com/ultraserver-node-id-2": "1",
        "neuron.amazonaws.com/ultraserver-node-id-4": "1",
    }
    assert set(plugin.node_labels()) == set(plugin.node_label_keys) == set(LABELS)


@pytest.mark.parametrize(("modes", "sizes"), [("1,3,4", (1, 2, 4)), ("2,4", (1, 2)), ("4", (1,)), ("9", ()), ("x", ())])
def test_modes_are_told_by_how_many_nodes_work_together(member, modes, sizes):
    class_file(member, "ultraserver_mode", f"{modes}\n")
    assert read_membership(member.context()).sizes == sizes


def test_trn3_has_one_id_for_all_sizes(member):
    for name in ("server_id_2", "server_id_4", "node_id_2", "node_id_4"):
        (member.root / CLASS / name).unlink()
    class_file(member, "reservation_id", "cccc\n")
    class_file(member, "node_id", "2\n")
    found = read_membership(member.context())
    assert (found.servers, found.nodes) == ({2: "cccc", 4: "cccc"}, {2: 2, 4: 2})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("server_id_4", "0000000000000000"),
        ("server_id_4", "not/a/label"),
        ("server_id_4", ""),
        ("server_id_4", "é" * 8),
    ],
)
def test_a_server_id_that_is_none_or_no_label_is_left_out(member, name, content):
    class_file(member, name, f"{content}\n")
    found = labels(read_membership(member.context()), {})
    assert SERVER_LABELS[4] not in found
    assert SERVER_LABELS[2] in found


@pytest.mark.parametrize(("name", "content"), [("server_id_4", "garb/age"), ("node_id_4", "9"), ("node_id_2", None)])
def test_a_file_of_the_server_that_is_garbage_or_missing_is_named_once_with_what_is_lost(node, devices, name, content):
    plugin = node.lay_out(TYPE).plugin()
    if content is None:
        (node.root / CLASS / name).unlink()
    else:
        class_file(node, name, f"{content}\n")
    devices(plugin)
    devices(plugin)
    (warning,) = node.warnings()
    for part in (name, "left out", "refused", "load the kernel module anew"):
        assert part in warning


@pytest.mark.parametrize("content", ["-1", "invalid", ""])
def test_a_node_id_that_is_none_is_left_out(member, content):
    class_file(member, "node_id_4", f"{content}\n")
    found = labels(read_membership(member.context()), {})
    assert NODE_LABELS[4] not in found
    assert NODE_LABELS[2] in found


@pytest.mark.reliability(
    fault="An UltraServer's nodes find out anew how they are linked",
    injected="The kernel module's files say busy, as they do meanwhile; also when the agent restarts",
    promise="Ids and labels stay as they were until the nodes know more",
)
def test_while_the_nodes_look_for_each_other_labels_and_ids_stay(node, devices):
    plugin = node.lay_out(TYPE).plugin()
    before, labelled = devices(plugin), plugin.node_labels()
    for name in ("ultraserver_mode", "node_id_2", "node_id_4"):
        class_file(node, name, "busy\n")
    for size in (2, 4):
        class_file(node, f"server_id_{size}", "0000000000000000\n")
    assert devices(plugin) == before
    assert plugin.node_labels() == labelled
    node.labels |= {**labelled, "kubernetes.io/hostname": "node-1"}
    assert node.plugin().node_labels() == labelled


@pytest.mark.reliability(
    fault="The kernel module does not say any more how an UltraServer's node is linked",
    injected="Its file of modes is gone, blank, garbage, or cannot be read, under an agent or before one starts",
    promise="Ids and labels stay as they were, and the log names the file and the remedy",
)
@pytest.mark.parametrize("content", [None, "", "xyz", "a/b,!", "directory"])
def test_where_the_modes_cannot_be_told_labels_and_ids_stay(node, devices, content):
    plugin = node.lay_out(TYPE).plugin()
    before, labelled = devices(plugin), plugin.node_labels()
    assert labelled
    file = node.root / CLASS / "ultraserver_mode"
    file.unlink()
    if content == "directory":
        file.mkdir()  # root may read any file, but nobody a directory
    elif content is not None:
        file.write_text(f"{content}\n")
    assert devices(plugin) == before
    assert plugin.node_labels() == labelled
    (warning,) = node.warnings()
    for part in ("/sys/class/neuron_device/ultraserver_mode", "stay as they are", "load the kernel module anew"):
        assert part in warning
    node.labels |= labelled
    assert node.plugin().node_labels() == labelled


def test_what_a_server_was_is_known_again_after_its_devices_were_away(node, devices):
    plugin = node.lay_out(TYPE).plugin()
    before = devices(plugin)
    (node.root / CLASS).rename(node.root / "aside")
    assert devices(plugin) == {}
    (node.root / "aside").rename(node.root / CLASS)
    class_file(node, "ultraserver_mode", "busy\n")
    assert devices(plugin) == before


def test_a_node_of_no_ultraserver_has_no_labels(node):
    assert node.lay_out("trn1.2xlarge").plugin().node_labels() == {}
    class_file(node, "ultraserver_mode", "4\n")
    assert node.plugin().node_labels() == {}
