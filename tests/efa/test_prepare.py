"""What containers get, and what they get when the hardware is not as it was."""

from __future__ import annotations

import shutil

import pytest
from drakit import Condition, NetworkData, PluginContext
from drakit.errors import ClaimError, DeviceNotFound
from drakit.testing import lay_out
from drakit_efa.plugin import EfaPlugin

FIRST, SECOND, LAST = "pci-0000-10-1b-0", "pci-0000-20-1b-0", "pci-0000-a0-1b-0"


def nodes(prepared):
    return [device.edits.device_nodes for device in prepared]


def test_an_adapter_is_its_verbs_node_and_nothing_else(node, record, claim_of):
    plugin = node.lay_out("p4d.24xlarge").plugin()
    claim = claim_of(FIRST, LAST)
    prepared = record.prepare(plugin, claim)
    assert [device.key for device in prepared] == [device.key for device in claim.devices]
    for device, name in zip(prepared, ("uverbs0", "uverbs3"), strict=True):
        (path,) = device.edits.device_nodes
        assert path.path == f"/dev/infiniband/{name}"
        assert path.host_path == f"{node.root}/dev/infiniband/{name}"
        assert not device.edits.env
        assert not device.edits.mounts
        assert not device.edits.additional_gids
        assert not device.state


def test_on_a_real_root_the_host_path_is_the_path_and_is_left_out(node, record, claim_of):
    plugin = node.lay_out("p4d.24xlarge").plugin(host_root="/")
    (((path,),)) = nodes(record.prepare(plugin, claim_of(FIRST)))
    assert (path.path, path.host_path) == ("/dev/infiniband/uverbs0", None)


def test_preparing_again_gives_the_same_also_in_another_process(node, record, claim_of, efa_config):
    claim = claim_of(FIRST, SECOND, configs=[efa_config(deviceListVariable="FI_EFA_IFACE")])
    plugin = node.lay_out("p4d.24xlarge").plugin()
    assert record.prepare(plugin, claim) == record.prepare(plugin, claim) == record.prepare(node.plugin(), claim)


def test_the_number_of_the_verbs_node_is_the_one_of_this_moment(node, record, claim_of):
    plugin = node.lay_out("p4d.24xlarge").plugin()
    plugin.discover()
    directory = node.root / "sys/class/infiniband_verbs"
    (directory / "uverbs0").rename(directory / "uverbs40")
    (device,) = record.prepare(plugin, claim_of(FIRST))
    assert [path.path for path in device.edits.device_nodes] == ["/dev/infiniband/uverbs40"]
    assert device.status.data["verbsNode"] == "/dev/infiniband/uverbs40"


class Counted(PluginContext):
    """A context that counts the places it is asked for, each of which is then read."""

    asked = 0

    def path(self, path):
        Counted.asked += 1
        return super().path(path)


def test_what_one_more_adapter_costs_does_not_depend_on_how_many_the_node_has(tmp_path, record, claim_of):
    def places_of_one_more(node_type):
        root = lay_out(node_type, tmp_path / node_type).root
        plugin = EfaPlugin(Counted(driver="dra.net", node="node-1", pool="node-1", root=root))
        names = [device.name for device in plugin.discover()[0].devices]
        asked = []
        for count in (1, 2):
            Counted.asked = 0
            assert len(record.prepare(plugin, claim_of(*names[:count]))) == count
            asked.append(Counted.asked)
        return asked[1] - asked[0]

    assert places_of_one_more("p5.48xlarge") == places_of_one_more("p4d.24xlarge") > 0


@pytest.mark.parametrize("lost", ["driver", "infiniband", "infiniband_verbs"])
def test_an_adapter_that_cannot_be_used_now_is_refused_with_the_reason(node, record, claim_of, lost):
    plugin = node.lay_out("p4d.24xlarge").plugin()
    part = node.function("0000:20:1b.0") / lost
    if part.is_symlink():
        part.unlink()
    else:
        shutil.rmtree(part)
    with pytest.raises(DeviceNotFound, match=r"pci-0000-20-1b-0 cannot be used on node node-1: .*delete the pod"):
        record.prepare(plugin, claim_of(FIRST, SECOND))


@pytest.mark.parametrize("name", ["pci-0000-77-00-0", "no-adapter-at-all"])
def test_a_device_that_is_not_there_is_refused_by_name(node, record, claim_of, name):
    plugin = node.lay_out("p4d.24xlarge").plugin()
    with pytest.raises(DeviceNotFound, match=name):
        record.prepare(plugin, claim_of(name))


def test_unprepare_needs_nothing_and_may_be_repeated(node, claim_of):
    claim = claim_of(FIRST).claim
    plugin = node.plugin()
    plugin.unprepare(claim, ())
    plugin.unprepare(claim, ())


@pytest.mark.reliability(
    fault="RDMA devices belong to the host's network namespace alone",
    injected="The kernel is in exclusive RDMA netns mode",
    promise="Claims are refused with the remedy, the log warns, and check finds an error; no pod starts in vain",
)
def test_a_claim_is_refused_where_no_pod_could_open_its_adapters(node, record, claim_of):
    plugin = node.lay_out("p4d.24xlarge@netns-exclusive").plugin()
    with pytest.raises(ClaimError, match=r"node node-1 cannot hand out EFA adapters.*netns_mode=1"):
        record.prepare(plugin, claim_of("pci-0000-10-1b-0"))
    (node.root / "sys/module/ib_core/parameters/netns_mode").write_text("Y\n")
    assert len(record.prepare(plugin, claim_of("pci-0000-10-1b-0"))) == 1


def test_verbs_nodes_are_found_by_their_device_whatever_their_order(node, record, claim_of):
    plugin = node.lay_out("p4d.24xlarge@uverbs-permuted").plugin()
    given = [path.path for (path,) in nodes(record.prepare(plugin, claim_of("pci-0000-10-1b-0", "pci-0000-a0-1b-0")))]
    assert given == ["/dev/infiniband/uverbs3", "/dev/infiniband/uverbs0"]
    for number, verbs in ((3, "rdmap16s27"), (0, "rdmap160s27")):
        assert (node.root / f"sys/class/infiniband_verbs/uverbs{number}/ibdev").read_text().strip() == verbs


def test_adapters_beside_foreign_verbs_devices_get_their_own_nodes(node, record, claim_of, devices):
    plugin = node.lay_out("p6-b200.48xlarge").plugin()
    for name, device in devices(plugin).items():
        (((path,),)) = nodes(record.prepare(plugin, claim_of(name)))
        ibdev = node.root / "sys/class/infiniband_verbs" / path.path.rpartition("/")[2] / "ibdev"
        assert ibdev.read_text().strip() == device.attributes["dra.net/rdmaDevice"]


def test_the_status_says_which_adapter_it_is_and_that_it_is_ready_as_dranet_does(node, record, claim_of):
    (device,) = record.prepare(node.lay_out("p4d.24xlarge").plugin(), claim_of(SECOND))
    assert device.status.data == {
        "rdmaDevice": "rdmap32s27",
        "verbsNode": "/dev/infiniband/uverbs1",
        "pciAddress": "0000:20:1b.0",
    }
    assert device.status.conditions == (Condition("Ready", "True", "RDMAOnlyDeviceReady"),)
    assert device.status.network == NetworkData(hardware_address="02:00:00:20:1b:00")


def test_the_hardware_address_is_the_mac_that_the_first_gid_is_made_of(node, record, claim_of):
    plugin = node.lay_out("p4d.24xlarge").plugin()
    (node.root / "sys/class/infiniband/rdmap16s27/ports/1/gids/0").write_text(
        "fe80:0000:0000:0000:14b0:33ff:fef8:77cd\n"
    )
    (device,) = record.prepare(plugin, claim_of(FIRST))
    assert device.status.network.hardware_address == "16:b0:33:f8:77:cd"


@pytest.mark.parametrize(
    "gid",
    [
        None,
        b"",
        b"\xff\xfe\n",
        b"0000:0000:0000:0000:0000:0000:0000:0000\n",
        b"fe80:0000:0000:0000:14b0:33ff:aaf8:77cd\n",
        b"2001:0db8:0000:0000:14b0:33ff:fef8:77cd\n",
    ],
)
def test_a_gid_that_tells_no_mac_costs_the_hardware_address_only(node, record, claim_of, gid):
    plugin = node.lay_out("p4d.24xlarge").plugin()
    file = node.root / "sys/class/infiniband/rdmap16s27/ports/1/gids/0"
    file.unlink()
    if gid is not None:
        file.write_bytes(gid)
    (device,) = record.prepare(plugin, claim_of(FIRST))
    assert device.status.network is None
    assert device.status.data["rdmaDevice"] == "rdmap16s27"


def test_whoever_only_looks_on_gets_the_node_and_is_told_nothing(node, record, claim_of, efa_config, environments):
    plugin = node.lay_out("p4d.24xlarge").plugin()
    config = efa_config(provider=True, deviceListVariable="FI_EFA_IFACE", additionalGids=[7])
    looking = record.prepare(plugin, claim_of(FIRST, configs=[config], name="monitor", admin_access=True))
    assert environments(looking) == [{}]
    assert looking[0].edits.additional_gids == (7,)
    assert [path.path for path in looking[0].edits.device_nodes] == ["/dev/infiniband/uverbs0"]
