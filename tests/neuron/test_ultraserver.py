"""UltraServer modes: what a job is told, and what is refused and for how long."""

from __future__ import annotations

import contextlib

import pytest
from drakit import DeviceUnfit, InvalidDeviceConfig
from drakit.errors import ClaimError, DeviceBusy
from drakit_neuron.devices import NODE_DEVICE

MODE = "NEURON_RT_ULTRASERVER_MODE"
SERVER = "NEURON_RT_ULTRASERVER_SERVER_ID"
NODE = "NEURON_RT_ULTRASERVER_NODE_ID"


FILES = {
    "ultraserver_mode": "1,2,4",
    **{f"server_id_{nodes}": "00a1b2c3d4e5f607" for nodes in (2, 4)},
    **{f"node_id_{nodes}": "1" for nodes in (2, 4)},
}


@pytest.fixture
def member(node):
    """A plugin on a node of an UltraServer, of whose devices the first is enough; its class files as given."""
    node.lay_out("trn2.3xlarge")

    def plugin(instance_type="trn2u.48xlarge", **files):
        (node.root / "sys/devices/virtual/dmi/id/product_name").write_text(f"{instance_type}\n")
        for name, text in (FILES | files).items():
            (node.root / "sys/class/neuron_device" / name).write_text(f"{text}\n")
        return node.plugin()

    return plugin


@pytest.mark.parametrize(
    ("listed", "nodes", "mode"), [("1,2,4", 4, "1"), ("1,2,4", 2, "2"), ("1,2,3,4", 2, "3"), ("3,4", 2, "3")]
)
def test_a_mode_is_the_kernels_number_for_it(member, record, claim_of, ultraserver, environments, listed, nodes, mode):
    plugin = member(ultraserver_mode=listed)
    (environment,) = environments(record.prepare(plugin, claim_of(0, configs=[ultraserver(nodes)])))
    assert environment == {MODE: mode, SERVER: "00a1b2c3d4e5f607", NODE: "1"}


@pytest.mark.parametrize("listed", ["4", "1,2,4", "2"])
def test_a_job_on_one_node_is_told_of_no_server(member, record, claim_of, ultraserver, environments, listed):
    prepared = record.prepare(member(ultraserver_mode=listed), claim_of(0, configs=[ultraserver(1)]))
    assert environments(prepared) == [{MODE: "4", SERVER: "0000000000000000", NODE: "-1"}]


def test_on_trn3_one_identity_serves_every_size(node, member, record, claim_of, ultraserver, environments):
    plugin = member("trn3.48xlarge", reservation_id="00000000000000aa", node_id="0")
    for name in FILES.keys() - {"ultraserver_mode"}:
        (node.root / "sys/class/neuron_device" / name).unlink()
    for nodes in (2, 4):
        record.claims.clear()
        (environment,) = environments(record.prepare(plugin, claim_of(0, configs=[ultraserver(nodes)])))
        assert (environment[SERVER], environment[NODE]) == ("00000000000000aa", "0")


def test_core_size_and_mode_go_together_for_a_whole_node(node, record, claim_of, core_size, ultraserver, environments):
    claim = claim_of(NODE_DEVICE, configs=[ultraserver(2), core_size(1)])
    (environment,) = environments(record.prepare(node.lay_out("trn2u.48xlarge").plugin(), claim))
    assert set(environment) == {"NEURON_LOGICAL_NC_CONFIG", MODE, SERVER, NODE}


@pytest.mark.parametrize("nodes", [1, 4])
def test_hardware_of_no_ultraserver_refuses_a_mode_with_the_reason(node, record, claim_of, ultraserver, nodes):
    plugin = node.lay_out("trn2.3xlarge").plugin()
    with pytest.raises(InvalidDeviceConfig, match=rf"ultraserverMode {nodes} needs a node of an UltraServer") as caught:
        record.prepare(plugin, claim_of(0, configs=[ultraserver(nodes)]))
    assert "cannot read /sys/class/neuron_device/ultraserver_mode (No such file or directory)" in str(caught.value)
    assert str(node.root) not in str(caught.value)


@pytest.mark.reliability(
    fault="A node's UltraServer cannot work in the mode that a claim needs",
    injected="the driver's class files list other modes, or no server and node for this size of job, or garbage",
    promise="Prepare refuses and names the file; the node counts as faulty, so that the pod is placed anew",
)
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"ultraserver_mode": "2,4"}, r"ultraserverMode 4 is not possible.*over 1 or 2 nodes only"),
        ({"ultraserver_mode": "-1"}, r"over 1 nodes only"),
        ({"ultraserver_mode": ""}, r"ultraserver_mode holds ''.*nothing else says how it is linked"),
        ({"server_id_4": "0000000000000000"}, r"server_id_4 is 0000000000000000"),
        ({"node_id_4": "-1"}, r"node_id_4 is -1"),
        ({"node_id_4": ""}, r"node_id_4 holds ''"),
        ({"node_id_4": "nonsense"}, r"node_id_4 holds 'nonsense', which is no number from 0 to 3"),
        ({"node_id_4": "4"}, r"node_id_4 holds '4', which is no number from 0 to 3"),
        ({"server_id_4": "garb age/!"}, r"server_id_4 holds 'garb age/!', which is no id of letters and digits"),
        ({"ultraserver_mode": "four"}, r"ultraserver_mode holds 'four', which is no list of modes"),
    ],
)
def test_a_mode_the_fabric_does_not_support_is_a_lasting_refusal(member, record, claim_of, ultraserver, files, message):
    plugin = member(**files)
    with pytest.raises(DeviceUnfit, match=message) as caught:
        record.prepare(plugin, claim_of(0, configs=[ultraserver(4)]))
    assert (caught.value.fault, caught.value.devices) == ("ultraserver-mode", ("neuron-device-0",))


def test_a_size_whose_files_are_not_there_is_refused_by_their_names(node, member, record, claim_of, ultraserver):
    plugin = member()
    (node.root / "sys/class/neuron_device/node_id_4").unlink()
    with pytest.raises(DeviceUnfit, match=r"has no file node_id_4 or node_id"):
        record.prepare(plugin, claim_of(0, configs=[ultraserver(4)]))
    record.prepare(plugin, claim_of(0, configs=[ultraserver(2)]))


@pytest.mark.parametrize(("node_id", "fits"), [("3", True), ("7", False)])
def test_a_number_for_every_size_counts_within_the_largest_server(
    node, member, record, claim_of, ultraserver, node_id, fits
):
    plugin = member("trn3.48xlarge", reservation_id="00000000000000aa", node_id=node_id)
    for name in FILES.keys() - {"ultraserver_mode"}:
        (node.root / "sys/class/neuron_device" / name).unlink()
    refusal = contextlib.nullcontext() if fits else pytest.raises(DeviceUnfit, match=r"node_id holds '7'")
    with refusal:
        record.prepare(plugin, claim_of(0, configs=[ultraserver(2)]))


@pytest.mark.parametrize("files", [{"ultraserver_mode": "busy"}, {"node_id_4": "busy"}])
def test_a_fabric_that_is_being_set_up_is_waited_for(member, record, claim_of, ultraserver, files):
    plugin = member(**files)
    with pytest.raises(ClaimError, match=r"cannot be set up yet.*tried again") as caught:
        record.prepare(plugin, claim_of(0, configs=[ultraserver(4)]))
    assert type(caught.value) is ClaimError


def test_a_node_works_in_one_mode_at_a_time(node, record, claim_of, ultraserver):
    plugin = node.lay_out("trn2u.48xlarge").plugin()
    record.prepare(plugin, claim_of(0, name="pair", configs=[ultraserver(2)]))
    record.prepare(plugin, claim_of(1, name="another-of-it", configs=[ultraserver(2)]))
    record.prepare(plugin, claim_of(2, name="of-no-mode"))
    with pytest.raises(DeviceBusy, match=r"claim default/pair has neuron-device-0.*mode 2, and mode 1 is needed"):
        record.prepare(plugin, claim_of(3, name="four", configs=[ultraserver(4)]))


def test_two_modes_in_one_claim_are_refused(node, record, claim_of, ultraserver):
    plugin = node.lay_out("trn2u.48xlarge").plugin()
    with pytest.raises(InvalidDeviceConfig, match=r"'request-0' and 'request-1'.*NEURON_RT_ULTRASERVER_"):
        record.prepare(plugin, claim_of(0, 1, configs={0: [ultraserver(2)], 1: [ultraserver(4)]}))
