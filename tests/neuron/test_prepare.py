"""What containers get, and how claims that cannot be served are refused."""

from __future__ import annotations

import pytest
from drakit import InvalidDeviceConfig
from drakit.errors import DeviceNotFound


def core_size(value):
    return {"apiVersion": "neuron.aws.com/v1", "kind": "NeuronConfig", "logicalNeuronCore": value}


def ultraserver(value):
    return {"apiVersion": "neuron.aws.com/v1", "kind": "UltraServerConfig", "ultraserverMode": value}


def environments(prepared):
    return [dict(device.edits.env) for device in prepared]


def test_a_whole_device_is_its_node_and_no_environment(node, claim_of):
    plugin = node.lay_out("trn1.32xlarge").plugin()
    claim = claim_of(3, 12)
    prepared = plugin.prepare(claim)
    assert [device.key for device in prepared] == [device.key for device in claim.devices]
    for device, name in zip(prepared, ("neuron3", "neuron12"), strict=True):
        (path,) = device.edits.device_nodes
        assert path.path == f"/dev/{name}"
        assert path.host_path == f"{node.root}/dev/{name}"
    assert environments(prepared) == [{}, {}]


def test_on_a_real_root_the_host_path_is_the_path_and_is_left_out(node, claim_of):
    plugin = node.lay_out("trn1.2xlarge").plugin(host_root="/")
    ((path,),) = [device.edits.device_nodes for device in plugin.prepare(claim_of(0))]
    assert (path.path, path.host_path) == ("/dev/neuron0", None)


def test_preparing_again_gives_the_same_also_in_another_process(node, claim_of):
    claim = claim_of(0, 1, 2, 3, configs=[core_size(1)])
    first = node.lay_out("trn2.48xlarge").plugin()
    assert first.prepare(claim) == first.prepare(claim) == node.plugin().prepare(claim)


def test_unprepare_needs_nothing_and_may_be_repeated(node, claim_of):
    claim = claim_of(0).claim
    plugin = node.plugin()
    plugin.unprepare(claim, ())
    plugin.unprepare(claim, ())


def test_a_device_that_has_gone_is_refused_by_name(node, claim_of):
    plugin = node.lay_out("trn1.32xlarge").plugin()
    plugin.discover()
    node.remove(5)
    with pytest.raises(DeviceNotFound, match=r"neuron-device-5 is not on node node-1.*delete the pod"):
        plugin.prepare(claim_of(4, 5))


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("node_type", ["trn2.48xlarge", "trn2.3xlarge", "trn3.48xlarge"])
def test_the_size_of_logical_cores_is_environment(node, claim_of, node_type, size):
    prepared = node.lay_out(node_type).plugin().prepare(claim_of(0, configs=[core_size(size)]))
    assert environments(prepared) == [{"NEURON_LOGICAL_NC_CONFIG": str(size)}]


def test_of_two_configurations_of_a_kind_the_last_counts(node, claim_of):
    prepared = node.lay_out("trn2.48xlarge").plugin().prepare(claim_of(0, configs=[core_size(1), core_size(2)]))
    assert environments(prepared) == [{"NEURON_LOGICAL_NC_CONFIG": "2"}]


@pytest.mark.parametrize("node_type", ["trn1.2xlarge", "trn1.32xlarge", "inf2.48xlarge"])
@pytest.mark.parametrize("size", [1, 2])
def test_hardware_with_one_core_size_refuses_any_and_says_which_has_several(node, claim_of, node_type, size):
    plugin = node.lay_out(node_type).plugin()
    with pytest.raises(InvalidDeviceConfig, match=rf"cannot be set on {node_type}.*Trn2 or Trn3"):
        plugin.prepare(claim_of(0, configs=[core_size(size)]))


def test_of_an_unknown_type_the_device_itself_says_what_it_can(node, claim_of):
    node.lay_out("trn2.48xlarge")
    (node.root / "sys/devices/virtual/dmi/id/product_name").write_text("trn2x.96xlarge\n")
    claim = claim_of(0, configs=[core_size(1)])
    assert environments(node.plugin().prepare(claim)) == [{"NEURON_LOGICAL_NC_CONFIG": "1"}]
    (node.device_dir(0) / "info/architecture/instance_type").unlink()
    with pytest.raises(InvalidDeviceConfig, match=r"trn2x\.96xlarge"):
        node.plugin().prepare(claim)


def test_one_claim_with_two_sizes_is_refused_naming_both_requests(node, claim_of):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    with pytest.raises(InvalidDeviceConfig, match=r"'request-0' and 'request-1'.*NEURON_LOGICAL_NC_CONFIG"):
        plugin.prepare(claim_of(0, 1, configs={0: [core_size(1)], 1: [core_size(2)]}))


def test_two_claims_with_two_sizes_live_side_by_side(node, claim_of):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    one, two = (plugin.prepare(claim_of(size, configs=[core_size(size)])) for size in (1, 2))
    assert environments(one) + environments(two) == [
        {"NEURON_LOGICAL_NC_CONFIG": "1"},
        {"NEURON_LOGICAL_NC_CONFIG": "2"},
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (core_size(3), r"logicalNeuronCore must be one of 1, 2, not 3"),
        (core_size("1"), r"logicalNeuronCore: must be an integer, not '1'"),
        (core_size(True), r"logicalNeuronCore: must be an integer, not True"),
        (ultraserver(3), r"ultraserverMode must be one of 1, 2, 4, not 3"),
        (core_size(1) | {"logicalNeuronCoreCount": 1}, r"unknown key 'logicalNeuronCoreCount'.*logicalNeuronCore"),
        ({"apiVersion": "neuron.aws.com/v1", "kind": "NeuronConfig"}, r"missing key 'logicalNeuronCore'"),
        (core_size(1) | {"apiVersion": "neuron.aws.com/v2"}, r"this driver takes NeuronConfig of neuron.aws.com/v1"),
        (core_size(1) | {"kind": "Other"}, r"kind 'Other'"),
    ],
)
def test_a_bad_configuration_is_refused_in_the_words_of_the_claim(claim_of, document, message):
    with pytest.raises(InvalidDeviceConfig, match=message):
        claim_of(0, configs=[document])


@pytest.mark.parametrize(
    ("listed", "nodes", "mode"), [("1,2,4", 4, "1"), ("1,2,4", 2, "2"), ("1,2,3,4", 2, "3"), ("1,2,4", 1, "4")]
)
def test_an_ultraserver_mode_is_the_kernels_number_for_it(node, claim_of, listed, nodes, mode):
    node.lay_out("trn2u.48xlarge")
    directory = node.root / "sys/class/neuron_device"
    (directory / "ultraserver_mode").write_text(f"{listed}\n")
    (environment,) = environments(node.plugin().prepare(claim_of(0, configs=[ultraserver(nodes)])))
    assert environment["NEURON_RT_ULTRASERVER_MODE"] == mode
    identity = {
        "NEURON_RT_ULTRASERVER_SERVER_ID": f"server_id_{nodes}",
        "NEURON_RT_ULTRASERVER_NODE_ID": f"node_id_{nodes}",
    }
    for name, file in identity.items():
        assert environment.get(name) == ((directory / file).read_text().strip() if nodes > 1 else None)


def test_on_trn3_one_identity_serves_every_size(node, claim_of):
    node.lay_out("trn3.48xlarge")
    reservation = (node.root / "sys/class/neuron_device/reservation_id").read_text().strip()
    for nodes in (2, 4):
        (environment,) = environments(node.plugin().prepare(claim_of(0, configs=[ultraserver(nodes)])))
        assert environment["NEURON_RT_ULTRASERVER_SERVER_ID"] == reservation
        assert environment["NEURON_RT_ULTRASERVER_NODE_ID"] == "0"


def test_core_size_and_ultraserver_mode_go_together(node, claim_of):
    prepared = node.lay_out("trn2u.48xlarge").plugin().prepare(claim_of(0, configs=[ultraserver(2), core_size(1)]))
    assert {"NEURON_LOGICAL_NC_CONFIG", "NEURON_RT_ULTRASERVER_MODE"} <= set(environments(prepared)[0])


def test_a_node_of_no_ultraserver_refuses_a_mode_with_the_reason(node, claim_of):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    with pytest.raises(InvalidDeviceConfig, match=r"ultraserverMode 4 needs a node of an UltraServer") as caught:
        plugin.prepare(claim_of(0, configs=[ultraserver(4)]))
    assert "cannot read /sys/class/neuron_device/ultraserver_mode (No such file or directory)" in str(caught.value)
    assert str(node.root) not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("ultraserver_mode", "2,4", r"ultraserverMode 4 is not possible here.*over 1, 2 nodes"),
        ("ultraserver_mode", "-1", r"over no number of nodes now"),
        ("ultraserver_mode", "busy", r"in use by another job"),
        ("server_id_4", "0000000000000000", r"server_id_4 is 0000000000000000"),
        ("node_id_4", "-1", r"node_id_4 is -1"),
        ("node_id_4", "", r"none of node_id_4, node_id can be read"),
    ],
)
def test_a_mode_the_fabric_does_not_support_is_refused_with_the_reason(node, claim_of, file, content, message):
    node.lay_out("trn2u.48xlarge")
    (node.root / "sys/class/neuron_device" / file).write_text(content)
    with pytest.raises(InvalidDeviceConfig, match=message):
        node.plugin().prepare(claim_of(0, configs=[ultraserver(4)]))
