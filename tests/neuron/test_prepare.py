"""What containers get, and how claims that cannot be served are refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from drakit import DeviceUnfit, Toleration, TolerationOperator
from drakit.errors import ClaimError, DeviceBusy, DeviceNotFound
from drakit_neuron.devices import NODE_DEVICE
from drakit_neuron.instances import INSTANCE_TYPES, InstanceEntry
from drakit_neuron.links import linked_pairs
from drakit_neuron.options import HealthOptions, NeuronOptions

QUIET = NeuronOptions(health=HealthOptions(kmsg=False))
MAPS = Path(__file__).parents[2].parent / "shared/reference/device-maps.json"


def test_a_whole_device_is_its_node_and_no_environment(node, record, claim_of, environments):
    plugin = node.lay_out("trn1.32xlarge").plugin()
    claim = claim_of(3, 12)
    prepared = record.prepare(plugin, claim)
    assert [device.key for device in prepared] == [device.key for device in claim.devices]
    for device, name in zip(prepared, ("neuron3", "neuron12"), strict=True):
        (path,) = device.edits.device_nodes
        assert path.path == f"/dev/{name}"
        assert path.host_path == f"{node.root}/dev/{name}"
    assert environments(prepared) == [{}, {}]


def test_on_a_real_root_the_host_path_is_the_path_and_is_left_out(node, record, claim_of):
    plugin = node.lay_out("trn1.2xlarge").plugin(host_root="/")
    ((path,),) = [device.edits.device_nodes for device in record.prepare(plugin, claim_of(0))]
    assert (path.path, path.host_path) == ("/dev/neuron0", None)


def test_preparing_again_gives_the_same_also_in_another_process(node, record, claim_of, core_size):
    claim = claim_of(0, 1, 2, 3, configs=[core_size(1)])
    first = node.lay_out("trn2.48xlarge").plugin()
    assert record.prepare(first, claim) == record.prepare(first, claim) == record.prepare(node.plugin(), claim)


def test_unprepare_needs_nothing_and_may_be_repeated(node, claim_of):
    claim = claim_of(0).claim
    plugin = node.plugin()
    plugin.unprepare(claim, ())
    plugin.unprepare(claim, ())


def test_a_device_that_has_gone_is_refused_by_name(node, record, claim_of):
    plugin = node.lay_out("trn1.32xlarge").plugin()
    plugin.discover()
    node.remove(5)
    with pytest.raises(DeviceNotFound, match=r"neuron-device-5 is not on node node-1.*delete the pod"):
        record.prepare(plugin, claim_of(4, 5))


def paths(prepared):
    return [[path.path for path in device.edits.device_nodes] for device in prepared]


def test_the_node_is_all_its_devices_and_one_lacking_is_a_fault_of_it(node, record, claim_of):
    plugin = node.lay_out("trn2u.48xlarge").plugin()
    assert paths(record.prepare(plugin, claim_of(NODE_DEVICE))) == [[f"/dev/neuron{number}" for number in range(16)]]
    node.remove(3)
    node.remove(11)
    with pytest.raises(DeviceUnfit, match=r"lacks neuron3, neuron11; delete the pod") as caught:
        record.prepare(plugin, claim_of(NODE_DEVICE))
    assert (caught.value.fault, caught.value.devices) == ("missing-devices", (NODE_DEVICE,))


def test_the_node_of_an_unknown_type_is_the_devices_it_has(node, record, claim_of):
    node.lay_out("trn2u.48xlarge")
    (node.root / "sys/devices/virtual/dmi/id/product_name").write_text("trn9u.48xlarge\n")
    node.remove(3)
    (found,) = paths(record.prepare(node.plugin(), claim_of(NODE_DEVICE)))
    assert len(found) == 15
    assert "/dev/neuron3" not in found


@pytest.mark.reliability(
    fault="A whole UltraServer node and one of its devices are allocated at once",
    injected="a claim is prepared while another holds the node device, and the other way round",
    promise="the later claim is refused and told which claim holds what it overlaps with",
)
def test_the_node_and_a_device_of_it_are_not_held_at_once(node, record, claim_of):
    plugin = node.lay_out("trn2u.48xlarge").plugin()
    whole, single = claim_of(NODE_DEVICE, name="whole"), claim_of(7, name="single")
    record.prepare(plugin, whole)
    with pytest.raises(DeviceBusy, match=r"neuron-device-7 overlaps with neuron-node, which claim default/whole"):
        record.prepare(plugin, single)
    record.claims.clear()
    record.prepare(plugin, single)
    with pytest.raises(DeviceBusy, match=r"neuron-node overlaps with neuron-device-7, which claim default/single"):
        record.prepare(plugin, whole)
    with pytest.raises(DeviceBusy, match=r"neuron-node has all devices of the node in it"):
        record.prepare(plugin, claim_of(NODE_DEVICE, 2, name="both"))


def test_looking_on_overlaps_with_nothing(node, record, claim_of):
    plugin = node.lay_out("trn2u.48xlarge").plugin()
    record.prepare(plugin, claim_of(7, name="monitor", admin_access=True))
    record.prepare(plugin, claim_of(NODE_DEVICE, name="whole"))
    record.prepare(plugin, claim_of(7, NODE_DEVICE, name="later-monitor", admin_access=True))


def show_links(node, number, text):
    (node.device_dir(number) / "connected_devices").write_text(text)


@pytest.mark.reliability(
    fault="Devices of a claim that their instance type links are not linked",
    injected="the driver's list of a device's neighbours lacks one that is in the claim",
    promise="Prepare refuses the claim, names both devices, and they count as faulty",
)
@pytest.mark.parametrize(("text", "shown"), [("12, 3, 4\n", "shows links to 3, 4, 12 only"), ("\n", "shows no links")])
def test_devices_that_should_be_linked_and_are_not_are_refused(node, record, claim_of, text, shown):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    show_links(node, 0, text)
    with pytest.raises(
        DeviceUnfit, match=rf"neuron-device-0 and neuron-device-1 are linked on every.*{shown}"
    ) as caught:
        record.prepare(plugin, claim_of(0, 1, 2, 3))
    assert (caught.value.fault, caught.value.devices) == ("link", ("neuron-device-0", "neuron-device-1"))


def test_a_broken_link_to_a_device_outside_the_claim_costs_it_nothing(node, record, claim_of):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    show_links(node, 0, "\n")
    record.prepare(plugin, claim_of(0, name="alone"))
    record.prepare(plugin, claim_of(0, 5, name="not-neighbours"))
    record.prepare(plugin, claim_of(4, 5, 6, 7, name="another-row"))
    record.prepare(plugin, claim_of(0, 1, name="monitor", admin_access=True))


def test_a_broken_link_is_a_fault_of_the_node_that_was_claimed_whole(node, record, claim_of):
    plugin = node.lay_out("trn2u.48xlarge").plugin()
    show_links(node, 5, "\n")
    with pytest.raises(DeviceUnfit, match=r"neuron-device-4 and neuron-device-5|neuron-device-5") as caught:
        record.prepare(plugin, claim_of(NODE_DEVICE))
    assert caught.value.devices == (NODE_DEVICE,)


@pytest.mark.parametrize("text", ["11, 12, 13, 14, 15, ", "", "nonsense\n", "\xff"])
def test_links_that_cannot_be_read_or_may_be_cut_off_are_not_broken(node, record, claim_of, text):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    (node.device_dir(0) / "connected_devices").write_bytes(text.encode("latin-1"))
    record.prepare(plugin, claim_of(0, 1))
    (node.device_dir(0) / "connected_devices").unlink()
    record.prepare(plugin, claim_of(0, 1))


@pytest.mark.parametrize(
    ("links", "refused"), [("torus", True), ("ring", True), ("line", True), ("none", False), (None, False)]
)
def test_links_are_checked_as_the_options_describe_the_type(node, record, claim_of, links, refused):
    node.lay_out("trn2.48xlarge")
    show_links(node, 0, "\n")
    facts = {"links": links} if links else {}
    entry = InstanceEntry(architecture="Trn2", devices=16, **facts)
    plugin = node.plugin(options=NeuronOptions(instances={"trn2.48xlarge": entry}))
    with pytest.raises(DeviceUnfit, match="linked on every trn2") if refused else contextlib.nullcontext():
        record.prepare(plugin, claim_of(0, 1))


@pytest.mark.parametrize(
    ("links", "pairs"),
    [
        ("ring", {(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)}),
        ("line", {(0, 1), (1, 2), (2, 3), (3, 4)}),
        ("none", set()),
    ],
)
def test_a_shape_is_of_as_many_devices_as_the_type_has(links, pairs):
    known = InstanceEntry(architecture="Inf2", devices=5, links=links).named("inf9.5xlarge")
    assert set(linked_pairs(known, range(5))) == pairs


@pytest.mark.skipif(not MAPS.exists(), reason="the published maps are not beside this checkout")
@pytest.mark.parametrize(
    ("published", "types"),
    [
        ("trn1.32xlarge,trn1n.32xlarge", ["trn1.32xlarge", "trn1n.32xlarge"]),
        ("trn2.48xlarge,trn2u.48xlarge (intra-node)", ["trn2.48xlarge", "trn2e.48xlarge", "trn2u.48xlarge"]),
        ("inf2.48xlarge", ["inf2.48xlarge"]),
        ("inf2.24xlarge", ["inf2.24xlarge"]),
    ],
)
def test_links_are_those_of_the_published_tables(published, types):
    table = json.loads(MAPS.read_text())["neighbors"][published]["table"]
    pairs = {(min(one, other), max(one, other)) for one, others in enumerate(table) for other in others}
    for instance_type in types:
        assert set(linked_pairs(INSTANCE_TYPES[instance_type], range(len(table)))) == pairs
    assert linked_pairs(INSTANCE_TYPES["trn3.48xlarge"], range(16)) == []


def show_ill(node, number, text):
    directory = node.device_dir(number) / "stats/hardware/health_status"
    directory.mkdir(exist_ok=True)
    (directory / "unhealthy_components").write_text(f"{text}\n")


@pytest.mark.reliability(
    fault="A device goes bad between its allocation and the start of the pod",
    injected="its firmware names an unhealthy component before any round of health has seen it",
    promise="Prepare refuses it by name and component, and its health is asked for at once",
)
def test_a_device_that_has_gone_bad_since_it_was_allocated_is_refused(node, record, claim_of):
    told = []
    plugin = node.lay_out("trn2.3xlarge").plugin(changed=lambda: told.append("changed"))
    show_ill(node, 0, "")
    record.prepare(plugin, claim_of(0, name="before"))
    assert told == []
    show_ill(node, 0, "hbm,link_intraserver")
    with pytest.raises(ClaimError, match=r"neuron-device-0 has gone bad.*hbm, link_intraserver unhealthy.*placed anew"):
        record.prepare(plugin, claim_of(0, name="after"))
    assert told == ["changed"]


@pytest.mark.reliability(
    fault="A device counts an error between its allocation and the start of the pod",
    injected="its counter goes up after a round of health, before the next one",
    promise="Prepare refuses it by name and counter, and its health is asked for at once",
)
def test_a_device_that_has_counted_errors_since_it_was_allocated_is_refused(node, record, claim_of):
    told = []
    plugin = node.lay_out("trn2.3xlarge").plugin(changed=lambda: told.append("changed"), options=QUIET)
    counter = node.device_dir(0) / "stats/hardware/sram_ecc_uncorrected"
    counter.write_text("3\n")
    plugin.discover()
    record.prepare(plugin, claim_of(0, name="before-any-round"))
    plugin.health()
    record.prepare(plugin, claim_of(0, name="known-before"))
    assert told == []
    counter.write_text("5\n")
    with pytest.raises(ClaimError, match=r"neuron-device-0 has gone bad.*counted 2 more .*\(sram_ecc_uncorrected\)"):
        record.prepare(plugin, claim_of(0, name="after"))
    assert told == ["changed"]
    record.prepare(plugin, claim_of(0, name="monitor", admin_access=True))
    plugin.health()  # from here on the core judges
    record.prepare(plugin, claim_of(0, name="later"))
    plugin.close()


@pytest.mark.parametrize(("limit", "refused"), [(2, True), (3, False), (0, False)])
def test_fewer_errors_than_are_a_fault_refuse_no_claim(node, record, claim_of, limit, refused):
    options = NeuronOptions(health=HealthOptions(kmsg=False, corrected_ecc=limit))
    plugin = node.lay_out("trn2.3xlarge").plugin(options=options)
    plugin.discover()
    plugin.health()
    (node.device_dir(0) / "stats/hardware/mem_ecc_corrected").write_text("2\n")
    with pytest.raises(ClaimError, match="mem_ecc_corrected") if refused else contextlib.nullcontext():
        record.prepare(plugin, claim_of(0))
    plugin.close()


def test_a_bad_device_is_there_for_whoever_looks_for_its_fault(node, record, claim_of):
    node.lay_out("trn2.3xlarge")
    show_ill(node, 0, "hbm")
    toleration = Toleration(key="neuron.aws.com/unhealthy", operator=TolerationOperator.EXISTS)
    record.prepare(node.plugin(), claim_of(0, admin_access=True))
    record.prepare(node.plugin(), claim_of(0, tolerations=[toleration]))
    indifferent = NeuronOptions(health=HealthOptions(components=False))
    record.prepare(node.plugin(options=indifferent), claim_of(0))
