"""Devices divided by cores: who gets which, what containers are told, and what is refused."""

from __future__ import annotations

import pytest
from attrs import evolve
from drakit import (
    ClaimRef,
    ContainerEdits,
    CounterConsumption,
    Device,
    DeviceRef,
    InvalidDeviceConfig,
    PreparedDevice,
    Quantity,
)
from drakit.errors import ClaimError, DeviceBusy
from drakit_neuron.devices import CORE_SIZES, CORES, NODE_DEVICE
from drakit_neuron.options import NeuronOptions

VISIBLE = "NEURON_RT_VISIBLE_CORES"
SIZE = "NEURON_LOGICAL_NC_CONFIG"
SIZES = {CORE_SIZES: "1,2"}


@pytest.fixture
def share_of(claim_of):
    """A claim for so many cores of a device."""

    def build(cores, *devices, name="claim", **changes):
        consumed = {CORES: Quantity(cores)} if cores is not None else {}
        return claim_of(*(devices or (0,)), name=name, share_id=f"share-of-{name}", consumed=consumed, **changes)

    return build


@pytest.fixture
def plugin(node):
    return node.lay_out("trn2.3xlarge").plugin(options=NeuronOptions(core_sharing=True))


def cores(prepared):
    return [device.state.get("cores") for device in prepared]


def test_a_device_is_divided_only_where_the_operator_has_enabled_it(node, plugin):
    device = Device("neuron-device-0", SIZES, {CORES: 8, "neuron.drakit/memory": "96Gi"})
    assert node.plugin().share(device) is None
    policies = plugin.share(device).policies
    policy = policies[CORES]
    assert (policy.default, policy.valid_range.minimum, policy.valid_range.step) == tuple(map(Quantity, (8, 1, 1)))
    # Else the first claim that does not name it would take all of it, and be the only one.
    assert policies["neuron.drakit/memory"].default == Quantity("12Gi")


@pytest.mark.parametrize(
    "device",
    [
        Device(NODE_DEVICE),
        Device("neuron-device-0", SIZES),
        Device("neuron-device-0", SIZES, {CORES: 1}),
        Device("neuron-device-0", SIZES, {CORES: 8}, consumes=[CounterConsumption("devices", {"devices": 1})]),
        Device("neuron-device-0", capacity={CORES: 8}),
    ],
    ids=["the-node", "unknown-cores", "one-core", "part-of-the-node", "unknown-make"],
)
def test_what_cannot_be_divided_is_not(plugin, device):
    assert plugin.share(device) is None


def test_what_discovery_publishes_can_be_divided(plugin):
    (pool,) = plugin.discover()
    assert all(plugin.share(device).policies[CORES].default == Quantity(8) for device in pool.devices)


def test_shares_are_disjoint_and_told_in_logical_cores(plugin, record, share_of, environments):
    one, two = (record.prepare(plugin, share_of(4, name=name)) for name in ("one", "two"))
    assert cores(one) + cores(two) == ["0-3", "4-7"]
    assert environments(one) + environments(two) == [
        {VISIBLE: "0-1", SIZE: "2", "DRAKIT_NEURON_CORES": "neuron-device-0:0-3"},
        {VISIBLE: "2-3", SIZE: "2", "DRAKIT_NEURON_CORES": "neuron-device-0:4-7"},
    ]
    assert [device.edits.device_nodes[0].path for device in (*one, *two)] == ["/dev/neuron0"] * 2
    assert one[0].status.data == {"device": "neuron-device-0", "cores": "0-3"}


def test_with_cores_of_one_their_numbers_are_the_physical_ones(plugin, record, share_of, core_size, environments):
    claims = [share_of(count, name=f"of-{count}", configs=[core_size(1)]) for count in (1, 2, 3)]
    prepared = [record.prepare(plugin, claim) for claim in claims]
    assert [environments(one)[0][VISIBLE] for one in prepared] == ["0", "2-3", "4-6"]
    assert {environments(one)[0][SIZE] for one in prepared} == {"1"}


def test_hardware_with_one_core_size_is_told_none(node, record, share_of, environments):
    plugin = node.lay_out("trn1.2xlarge").plugin()
    one, two = (record.prepare(plugin, share_of(1, name=name)) for name in ("one", "two"))
    assert [set(env) for env in environments([*one, *two])] == [{VISIBLE, "DRAKIT_NEURON_CORES"}] * 2
    assert [env[VISIBLE] for env in environments([*one, *two])] == ["0", "1"]


def test_a_claim_that_names_no_cores_has_them_all_and_is_told_no_numbers(plugin, record, share_of, environments):
    for count in (None, 8):
        record.claims.clear()
        whole = record.prepare(plugin, share_of(count, name="whole"))
        assert environments(whole) == [{"DRAKIT_NEURON_CORES": "all"}]
        with pytest.raises(DeviceBusy, match=r"all 8 are held: claim default/whole has 0-7"):
            record.prepare(plugin, share_of(2, name="late"))


def test_the_whole_device_is_refused_while_it_is_shared(plugin, record, share_of):
    record.prepare(plugin, share_of(2, name="early"))
    with pytest.raises(DeviceBusy, match=r"all cores of neuron-device-0 are needed.*claim default/early has 0-1"):
        record.prepare(plugin, share_of(None, name="whole"))


@pytest.mark.reliability(
    fault="Two claims are given the same cores of a shared device",
    injected="more cores are allocated than the device has free, as by a scheduler with an outdated view",
    promise="the later claim is refused and told which claims hold which cores",
)
def test_cores_that_others_hold_are_refused_naming_the_holders(plugin, record, share_of):
    for name in ("one", "two"):
        record.prepare(plugin, share_of(4, name=name))
    with pytest.raises(DeviceBusy) as caught:
        record.prepare(plugin, share_of(2, name="three"))
    assert "claim default/one has 0-3; claim default/two has 4-7; this is tried again" in str(caught.value)


def test_the_same_share_gets_the_same_cores_again(plugin, node, record, share_of):
    first, second = share_of(2, name="first"), share_of(2, name="second")
    record.prepare(plugin, first)
    before = record.prepare(plugin, second)
    del record.claims[first.claim]
    assert record.prepare(node.plugin(), second) == before
    assert cores(before) == ["2-3"]
    assert cores(record.prepare(plugin, share_of(4, name="third"))) == ["4-7"]


def test_another_share_of_the_claim_begins_anew(plugin, record, share_of):
    other, claim = share_of(2, name="other"), share_of(2, name="claim")
    record.prepare(plugin, other)
    assert cores(record.prepare(plugin, claim)) == ["2-3"]
    del record.claims[other.claim]
    anew = evolve(claim, devices=[evolve(claim.devices[0], share_id="new")])
    assert cores(record.prepare(plugin, anew)) == ["0-1"]


@pytest.mark.parametrize("earlier", ["0-1", "3-4", "2", "rubbish"])
def test_earlier_cores_that_another_has_or_that_make_no_pairs_are_not_kept(plugin, record, share_of, earlier):
    record.prepare(plugin, share_of(2, name="other"))
    claim = share_of(2, name="claim")
    (device,) = claim.devices
    record.claims[claim.claim] = [PreparedDevice.of(device, ContainerEdits(), {"cores": earlier})]
    assert cores(record.prepare(plugin, claim)) == ["2-3"]


def test_core_sizes_go_side_by_side_on_a_device_and_pairs_stay_together(plugin, record, share_of, core_size):
    single = share_of(1, name="single", configs=[core_size(1)])
    assert cores(record.prepare(plugin, single)) == ["0"]
    assert cores(record.prepare(plugin, share_of(2, name="pair"))) == ["2-3"]
    for name in ("a", "b", "c"):
        record.prepare(plugin, share_of(1, name=name, configs=[core_size(1)]))
    record.claims = {claim: devices for claim, devices in record.claims.items() if claim.name != "b"}
    assert sorted(core for prepared in record.claims.values() for core in cores(prepared)) == ["0", "1", "2-3", "5"]
    assert cores(record.prepare(plugin, share_of(2, name="d"))) == ["6-7"]
    with pytest.raises(DeviceBusy, match=r"4 alone are free"):
        record.prepare(plugin, share_of(2, name="e"))
    record.claims = {claim: devices for claim, devices in record.claims.items() if claim.name != "single"}
    with pytest.raises(DeviceBusy, match=r"0,4 alone are free, of which 2 make a logical core"):
        record.prepare(plugin, share_of(2, name="e"))


def test_cores_that_do_not_follow_each_other_are_given_where_no_others_are_left(plugin, record, share_of, environments):
    for name in "abcd":
        record.prepare(plugin, share_of(2, name=name))
    record.claims = {claim: devices for claim, devices in record.claims.items() if claim.name in "bd"}
    prepared = record.prepare(plugin, share_of(4, name="scattered"))
    assert cores(prepared) == ["0-1,4-5"]
    assert environments(prepared)[0][VISIBLE] == "0,2"


@pytest.mark.parametrize(
    ("count", "configured", "message"),
    [
        (3, 2, r"3 physical cores of neuron-device-0, where 2 make a logical one: ask for a multiple of 2"),
        (1, None, r"or set logicalNeuronCore: 1 by a NeuronConfig"),
        ("1500m", 1, r"1500m cores of neuron-device-0, which is no number of cores"),
        (0, 1, r"0 cores of neuron-device-0, which is no number of cores"),
    ],
)
def test_a_number_that_makes_no_cores_is_refused(plugin, record, share_of, core_size, count, configured, message):
    configs = [core_size(configured)] if configured else []
    with pytest.raises(InvalidDeviceConfig, match=message):
        record.prepare(plugin, share_of(count, configs=configs))


def test_a_share_is_alone_in_its_claim(node, record, share_of, claim_of):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    with pytest.raises(InvalidDeviceConfig, match=r"given neuron-device-0, neuron-device-4: a container.*use a claim"):
        record.prepare(plugin, share_of(2, 0, 4))
    share, whole = share_of(2).devices[0], claim_of(4).devices[0]
    with pytest.raises(InvalidDeviceConfig, match=r"must see no other"):
        record.prepare(plugin, evolve(share_of(2), devices=[share, whole]))


def test_no_container_could_have_two_shares_or_a_share_and_a_device_unnoticed(node, record, share_of, environments):
    """Between any two such claims some variable differs: by that the core refuses them for one container."""
    plugin = node.lay_out("trn2.48xlarge").plugin()
    claims = [share_of(2, 3, name="a"), share_of(2, 4, name="b"), share_of(None, 5, name="c")]
    told = [env for claim in claims for env in environments(record.prepare(plugin, claim))]
    for position, one in enumerate(told):
        for other in told[position + 1 :]:
            assert any(one[name] != other[name] for name in one.keys() & other.keys())
    (again,) = environments(record.prepare(plugin, share_of(None, 6, name="d")))
    assert again == told[2]


def test_a_share_is_of_no_ultraserver(node, plugin, record, share_of, ultraserver):
    for name, text in {"ultraserver_mode": "1,4", "server_id_4": "00000000000000aa", "node_id_4": "2"}.items():
        (node.root / "sys/class/neuron_device" / name).write_text(text)
    with pytest.raises(InvalidDeviceConfig, match=r"ultraserverMode 4 is for whole devices"):
        record.prepare(plugin, share_of(2, configs=[ultraserver(4)]))


def test_whoever_only_looks_on_takes_no_cores_and_is_told_none(plugin, record, share_of, environments):
    looking = record.prepare(plugin, share_of(None, name="monitor", admin_access=True))
    assert environments(looking) == [{}]
    assert environments(record.prepare(plugin, share_of(None, name="whole"))) == [{"DRAKIT_NEURON_CORES": "all"}]


@pytest.mark.parametrize("text", [None, "rubbish", "3-1", "4-", "-1", "90"])
def test_what_is_not_on_record_as_it_should_be_holds_the_whole_device(plugin, record, share_of, text):
    device = DeviceRef("neuron.aws.com", "node-1", "neuron-device-0")
    state = {} if text is None else {"cores": text}
    record.claims[ClaimRef("uid-of-old", "default", "old")] = [PreparedDevice("r", device, ContainerEdits(), state)]
    with pytest.raises(DeviceBusy, match=r"claim default/old has 0-7"):
        record.prepare(plugin, share_of(2))


def test_a_device_of_unknown_make_is_given_as_a_whole_only(node, plugin, record, share_of, environments):
    (node.root / "sys/devices/virtual/dmi/id/product_name").write_text("trn9.48xlarge\n")
    (node.device_dir(0) / "info/architecture/instance_type").write_text("Trn9\n")
    with pytest.raises(ClaimError, match=r"neuron-device-0 cannot be shared.*trn9\.48xlarge.*option instances"):
        record.prepare(plugin, share_of(2))
    assert environments(record.prepare(plugin, share_of(None))) == [{"DRAKIT_NEURON_CORES": "all"}]


def test_where_the_driver_hides_the_number_of_cores_the_table_has_it(node, plugin, record, share_of):
    (node.device_dir(0) / "core_count").unlink()
    assert cores(record.prepare(plugin, share_of(6))) == ["0-5"]
