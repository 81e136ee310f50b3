"""One adapter for several claims: how it is published, who gets how much, and what is refused."""

from __future__ import annotations

import pytest
from attrs import evolve
from drakit import (
    AllocatedDevice,
    ClaimRef,
    ContainerEdits,
    DeviceRef,
    Hold,
    InvalidDeviceConfig,
    PreparedDevice,
    Quantity,
)
from drakit.decoding import structure
from drakit.documents import device_to_api
from drakit.errors import ConfigError, DeviceBusy
from drakit.testing import InMemoryApiServer
from drakit_efa.options import EfaOptions, SharingOptions
from drakit_efa.sharing import Division, amounts
from hypothesis import given
from hypothesis import strategies as st

DEVICE = "pci-0000-10-1b-0"
SHARES, BANDWIDTH = "efa.drakit/shares", "efa.drakit/bandwidth"
BY_SHARES = EfaOptions(sharing=SharingOptions(shares=4))
BY_BANDWIDTH = EfaOptions(sharing=SharingOptions(bandwidth=True))


@pytest.fixture
def share_of(claim_of):
    """A claim for some of an adapter, by capacity."""

    def build(consumed, *devices, name="claim", **changes):
        amounts = {capacity: Quantity(amount) for capacity, amount in consumed.items()}
        return claim_of(*(devices or (DEVICE,)), name=name, share_id=f"share-of-{name}", consumed=amounts, **changes)

    return build


@pytest.fixture
def p4d(node):
    return node.lay_out("p4d.24xlarge")


def set_rate(node, text):
    (node.root / "sys/class/infiniband/rdmap16s27/ports/1/rate").write_text(text)


def published(plugin):
    """Each device with its policies."""
    (pool,) = plugin.discover()
    return {device.name: (device, plugin.share(device)) for device in pool.devices}


def test_an_adapter_is_for_one_claim_at_a_time_unless_the_operator_says_otherwise(p4d):
    devices = published(p4d.plugin())
    assert len(devices) == 4
    for device, policy in devices.values():
        assert policy is None
        assert dict(device.capacity) == {BANDWIDTH: Quantity("100G")}


def test_by_shares_a_claim_that_names_none_has_all_and_shares_alone_decide_how_many_fit(p4d):
    device, policy = published(p4d.plugin(options=BY_SHARES))[DEVICE]
    assert dict(device.capacity) == {BANDWIDTH: Quantity("100G"), SHARES: Quantity(4)}
    shares = policy.policies[SHARES]
    assert (shares.default, shares.valid_range.minimum, shares.valid_range.step) == tuple(map(Quantity, (4, 1, 1)))
    # Else the first claim that does not name it would take all of it, and be the only one.
    assert policy.policies[BANDWIDTH].default == Quantity("25G")


def test_by_bandwidth_a_claim_that_names_none_has_the_whole_link(p4d):
    device, policy = published(p4d.plugin(options=BY_BANDWIDTH))[DEVICE]
    assert dict(device.capacity) == {BANDWIDTH: Quantity("100G")}
    bandwidth = policy.policies[BANDWIDTH]
    assert bandwidth.default == Quantity("100G")
    assert (bandwidth.valid_range.minimum, bandwidth.valid_range.step) == (Quantity("1G"), Quantity("1G"))


@pytest.mark.parametrize("rate", ["1 Gb/sec (1X SDR)\n", "unknown\n", "\n", "0 Gb/sec\n", "-4 Gb/sec\n"])
def test_a_link_of_unknown_speed_costs_its_adapter_only_that_it_is_shared_by_bandwidth(p4d, rate):
    set_rate(p4d, rate)
    plugin = p4d.plugin(options=BY_BANDWIDTH)
    for _ in range(2):
        devices = published(plugin)
        assert devices[DEVICE][1] is None
        assert all(policy is not None for name, (_, policy) in devices.items() if name != DEVICE)
    (warning,) = [line for line in p4d.warnings() if "shared" in line]
    assert DEVICE in warning
    assert published(p4d.plugin(options=BY_SHARES))[DEVICE][1] is not None


@pytest.mark.parametrize("minor", [34, 37])
@pytest.mark.parametrize("shares", [2, 3, 7, 1000])
def test_the_api_server_takes_an_adapter_with_so_many_shares(p4d, shares, minor):
    plugin = p4d.plugin(options=EfaOptions(sharing=SharingOptions(shares=shares)))
    pool = {"name": "node-1", "generation": 1, "resourceSliceCount": 1}
    devices = [device_to_api(device, policy) for device, policy in published(plugin).values()]
    spec = {"driver": "dra.net", "nodeName": "node-1", "pool": pool, "devices": devices}
    with InMemoryApiServer(git_version=f"v1.{minor}.0") as server:
        document = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "one"}}
        created = server.create(document | {"spec": spec})
    assert all(device["allowMultipleAllocations"] for device in created["spec"]["devices"])


@pytest.mark.parametrize(
    ("options", "capacity", "amounts"),
    [(BY_SHARES, SHARES, ("1", "3")), (BY_BANDWIDTH, BANDWIDTH, ("40G", "60G"))],
)
def test_claims_share_an_adapter_and_each_status_says_how_much_it_has(
    p4d, record, share_of, options, capacity, amounts
):
    plugin = p4d.plugin(options=options)
    for amount in amounts:
        (device,) = record.prepare(plugin, share_of({capacity: amount}, name=f"of-{amount}".lower()))
        assert [path.path for path in device.edits.device_nodes] == ["/dev/infiniband/uverbs0"]
        assert device.state == {capacity: amount}
        assert device.status.data[capacity.rpartition("/")[2]] == amount


@pytest.mark.reliability(
    fault="More of a shared EFA adapter is allocated than it has",
    injected="claims are prepared beyond its shares, as by a scheduler with an outdated view",
    promise="the later claim is refused and told which claims hold how much",
)
def test_more_than_there_is_is_refused_naming_the_holders(p4d, record, share_of):
    plugin = p4d.plugin(options=BY_SHARES)
    for name, shares in (("one", 1), ("two", 2)):
        record.prepare(plugin, share_of({SHARES: shares, BANDWIDTH: "25G"}, name=name))
    with pytest.raises(DeviceBusy) as caught:
        record.prepare(plugin, share_of({SHARES: 2, BANDWIDTH: "25G"}, name="three"))
    assert str(caught.value) == (
        "2 of efa.drakit/shares of pci-0000-10-1b-0 are needed, and 1 of 4 free: claim default/one has 1; claim "
        "default/two has 2; this is tried again until those claims' pods have ended"
    )
    record.prepare(plugin, share_of({SHARES: 1}, name="three"))
    record.prepare(plugin, share_of({SHARES: 4}, "pci-0000-20-1b-0", name="elsewhere"))


def test_more_bandwidth_than_the_link_has_now_is_refused(p4d, record, share_of):
    plugin = p4d.plugin(options=BY_BANDWIDTH)
    record.prepare(plugin, share_of({BANDWIDTH: "30G"}, name="one"))
    set_rate(p4d, "50 Gb/sec\n")
    with pytest.raises(DeviceBusy, match=r"40G of efa\.drakit/bandwidth.*20G of 50G free: claim default/one has 30G"):
        record.prepare(plugin, share_of({BANDWIDTH: "40G"}, name="two"))
    record.claims.clear()
    with pytest.raises(DeviceBusy, match=r"60G.*are needed, and 50G of 50G free: it has no more; delete the pod"):
        record.prepare(plugin, share_of({BANDWIDTH: "60G"}, name="two"))
    set_rate(p4d, "rubbish\n")
    record.prepare(plugin, share_of({BANDWIDTH: "60G"}, name="two"))


def test_a_claim_prepared_again_does_not_stand_in_its_own_way(p4d, node, record, share_of):
    claim = share_of({SHARES: 4}, name="whole")
    before = record.prepare(p4d.plugin(options=BY_SHARES), claim)
    assert record.prepare(node.plugin(options=BY_SHARES), claim) == before


def test_what_one_claim_has_of_an_adapter_by_several_requests_counts_together(p4d, record, share_of):
    plugin = p4d.plugin(options=BY_SHARES)
    record.prepare(plugin, share_of({SHARES: 1}, name="other"))
    twice = share_of({SHARES: 2}, DEVICE, DEVICE, requests=["near", "far"], name="twice")
    with pytest.raises(DeviceBusy, match=r"4 of efa\.drakit/shares .* are needed, and 3 of 4 free"):
        record.prepare(plugin, twice)


def test_whoever_only_looks_on_takes_nothing(p4d, record, share_of, claim_of):
    plugin = p4d.plugin(options=BY_SHARES)
    looking = claim_of(DEVICE, name="monitor", admin_access=True)
    record.prepare(plugin, looking)
    (whole,) = record.prepare(plugin, share_of({SHARES: 4}, name="whole"))
    assert whole.status.data["shares"] == "4"
    (again,) = record.prepare(plugin, evolve(looking, claim=ClaimRef("uid-of-late", "default", "late")))
    assert "shares" not in again.status.data


@pytest.mark.parametrize("state", [{}, {SHARES: "rubbish"}, {"colour": "red"}])
def test_what_is_not_on_record_as_it_should_be_holds_the_whole_adapter(p4d, record, share_of, state):
    device = DeviceRef("dra.net", "node-1", DEVICE)
    old = PreparedDevice("efas", device, ContainerEdits(), state, "old-share")
    record.claims[ClaimRef("uid-of-old", "default", "old")] = [old]
    with pytest.raises(DeviceBusy, match=r"0 of 4 free: claim default/old has 4;"):
        record.prepare(p4d.plugin(options=BY_SHARES), share_of({SHARES: 1}))


def test_claims_from_before_the_operator_changed_his_mind_are_served_as_they_were_allocated(p4d, record, share_of):
    by_shares, by_bandwidth, neither = (p4d.plugin(options=o) for o in (BY_SHARES, BY_BANDWIDTH, EfaOptions()))
    record.prepare(by_shares, share_of({SHARES: 3, BANDWIDTH: "25G"}, name="old"))
    record.prepare(by_bandwidth, share_of({SHARES: 1, BANDWIDTH: "25G"}, name="allocated-before"))
    record.prepare(by_bandwidth, share_of({BANDWIDTH: "50G"}, name="new"))
    record.prepare(neither, share_of({SHARES: 1, BANDWIDTH: "25G"}, name="late"))
    record.prepare(by_shares, share_of({SHARES: 1, BANDWIDTH: "25G"}, "pci-0000-20-1b-0", name="back"))


@pytest.mark.parametrize("amount", [0, -1, "-5G"])
def test_an_amount_that_is_none_is_refused(p4d, record, share_of, amount):
    with pytest.raises(InvalidDeviceConfig, match=rf"'efas' is for {amount} of efa\.drakit/shares .*ask for 1 at the"):
        record.prepare(p4d.plugin(options=BY_SHARES), share_of({SHARES: amount}))


def test_the_options_are_shares_or_bandwidth_and_none_is_the_default():
    assert structure(EfaOptions, {}, "options") == EfaOptions(sharing=SharingOptions())
    assert structure(EfaOptions, {"sharing": {"shares": 4}}, "options") == BY_SHARES
    assert structure(EfaOptions, {"sharing": {"bandwidth": True}}, "options") == BY_BANDWIDTH


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"shares": 1}, "shares must be from 2 to 1000, or left out for none, not 1"),
        ({"shares": 1001}, "shares must be from 2 to 1000"),
        ({"shares": True}, "must be an integer, not True"),
        ({"shares": "4"}, "must be an integer, not '4'"),
        ({"bandwidth": "yes"}, "must be true or false"),
        ({"shares": 4, "bandwidth": True}, "by shares or by bandwidth: give one of the two"),
        ({"cores": 4}, "unknown key 'cores'"),
        (True, "must be a mapping"),
    ],
)
def test_options_that_make_no_sense_are_refused(value, said):
    with pytest.raises(ConfigError, match=said):
        structure(EfaOptions, {"sharing": value}, "backends[0].options")


STEPS = st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=25)


@given(total=st.integers(2, 9), steps=STEPS)
def test_whatever_claims_come_and_go_no_more_is_held_than_there_is_and_what_fits_is_had(total, steps):
    ref, held = DeviceRef("dra.net", "node-1", DEVICE), {}
    for number, (arrives, amount) in enumerate(steps):
        if not arrives:
            held.pop(next(iter(held), None), None)
            continue
        wanted = AllocatedDevice("efas", ref, str(number), {SHARES: Quantity(amount)})
        holds = [
            Hold(claim, PreparedDevice.of(device, ContainerEdits(), amounts(device))) for claim, device in held.items()
        ]
        taken = sum(device.consumed[SHARES].nanos for device in held.values()) // 10**9
        try:
            Division.of(SHARES, Quantity(total), holds).check(DEVICE, wanted.consumed[SHARES].nanos)
        except DeviceBusy:
            assert taken + amount > total
            continue
        held[ClaimRef(str(number), "default", str(number))] = wanted
        assert taken + amount <= total
