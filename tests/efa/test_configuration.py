"""Opaque configuration: what it becomes in a container, and what is refused."""

from __future__ import annotations

import pytest
from drakit import InvalidDeviceConfig
from drakit_efa.configuration import EfaConfig
from hypothesis import given
from hypothesis import strategies as st

FIRST, SECOND, LAST = "pci-0000-10-1b-0", "pci-0000-20-1b-0", "pci-0000-a0-1b-0"


@pytest.fixture
def plugin(node):
    return node.lay_out("p4d.24xlarge").plugin()


@pytest.mark.parametrize(
    ("fields", "env"),
    [
        ({}, {}),
        ({"provider": True}, {"FI_PROVIDER": "efa"}),
        ({"provider": False}, {}),
        ({"deviceRdma": True}, {"FI_EFA_USE_DEVICE_RDMA": "1"}),
        ({"deviceRdma": False}, {"FI_EFA_USE_DEVICE_RDMA": "0"}),
        ({"forkSafe": True}, {"FI_EFA_FORK_SAFE": "1", "RDMAV_FORK_SAFE": "1"}),
        # rdma-core looks only whether its variable is set: 0 would switch it on.
        ({"forkSafe": False}, {"FI_EFA_FORK_SAFE": "0"}),
        ({"deviceListVariable": "FI_EFA_IFACE"}, {"FI_EFA_IFACE": "rdmap16s27,rdmap160s27"}),
    ],
)
def test_each_field_is_the_variables_of_libfabric_and_rdma_core(
    plugin, record, claim_of, efa_config, environments, fields, env
):
    prepared = record.prepare(plugin, claim_of(FIRST, LAST, configs=[efa_config(**fields)]))
    assert environments(prepared) == [env, env]


def test_additional_groups_are_those_of_the_container(plugin, record, claim_of, efa_config):
    (prepared,) = record.prepare(plugin, claim_of(FIRST, configs=[efa_config(additionalGids=[0, 1000, 2**32 - 2])]))
    assert prepared.edits.additional_gids == (0, 1000, 2**32 - 2)


def test_of_several_configurations_the_last_counts_as_a_whole(plugin, record, claim_of, efa_config, environments):
    configs = [efa_config(provider=True, deviceRdma=True), efa_config(deviceRdma=False), {"profile": "fast"}]
    assert environments(record.prepare(plugin, claim_of(FIRST, configs=configs))) == [{"FI_EFA_USE_DEVICE_RDMA": "0"}]


def test_a_device_list_has_the_devices_of_its_request_each_once(plugin, record, claim_of, efa_config, environments):
    claim = claim_of(
        FIRST,
        SECOND,
        SECOND,
        LAST,
        requests=["one", "one", "one", "other"],
        configs={name: [efa_config(deviceListVariable=name.upper())] for name in ("one", "other")},
    )
    one, other = {"ONE": "rdmap16s27,rdmap32s27"}, {"OTHER": "rdmap160s27"}
    assert environments(record.prepare(plugin, claim)) == [one, one, one, other]


def test_a_device_list_has_the_names_that_the_kernel_has_now(node, plugin, record, claim_of, efa_config, environments):
    function = node.function("0000:10:1b.0")
    (function / "infiniband/rdmap16s27").rename(function / "infiniband/efa_0")
    (function / "infiniband_verbs/uverbs0/ibdev").write_text("efa_0\n")
    claim = claim_of(FIRST, configs=[efa_config(deviceListVariable="FI_EFA_IFACE")])
    assert environments(record.prepare(plugin, claim)) == [{"FI_EFA_IFACE": "efa_0"}]


def test_one_variable_with_lists_of_two_requests_is_refused_naming_both_and_the_remedy(
    plugin, record, claim_of, efa_config
):
    config = efa_config(deviceListVariable="FI_EFA_IFACE")
    with pytest.raises(InvalidDeviceConfig) as caught:
        record.prepare(plugin, claim_of(FIRST, LAST, requests=["near", "far"], configs=[config]))
    assert str(caught.value) == (
        "requests 'near' and 'far' ask for different values of FI_EFA_IFACE (rdmap16s27 and rdmap160s27), and a "
        "container with both could get one only; give each request a deviceListVariable of its own, or ask for all "
        "adapters in one request"
    )


def test_requests_of_one_claim_that_differ_in_a_setting_are_refused(plugin, record, claim_of, efa_config):
    configs = {"near": [efa_config(deviceRdma=True)], "far": [efa_config(deviceRdma=False)]}
    with pytest.raises(InvalidDeviceConfig, match=r"'near' and 'far'.*FI_EFA_USE_DEVICE_RDMA.*use a claim for each"):
        record.prepare(plugin, claim_of(FIRST, LAST, requests=["near", "far"], configs=configs))


def test_a_request_that_leaves_a_setting_open_agrees_with_any(plugin, record, claim_of, efa_config, environments):
    claim = claim_of(FIRST, LAST, requests=["near", "far"], configs={"near": [efa_config(provider=True)]})
    assert environments(record.prepare(plugin, claim)) == [{"FI_PROVIDER": "efa"}, {}]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"provider": "efa"}, r": provider: must be true or false, not 'efa'"),
        ({"deviceRdma": 1}, r": deviceRdma: must be true or false, not 1"),
        ({"forkSafe": "true"}, r": forkSafe: must be true or false"),
        ({"additionalGids": ["video"]}, r": additionalGids\[0\]: must be an integer"),
        ({"additionalGids": 44}, r"additionalGids: must be a list"),
        ({"additionalGids": [1, -1]}, r"additionalGids\[1\] must be a group id from 0 to 4294967294, not -1"),
        ({"additionalGids": [2**32 - 1]}, r"group id from 0 to 4294967294, not 4294967295"),
        ({"deviceListVariable": ""}, r"deviceListVariable must be the name of an environment variable"),
        ({"deviceListVariable": "A=B"}, r"deviceListVariable must be the name of an environment variable"),
        ({"deviceListVariable": "1ST"}, r"deviceListVariable must be the name of an environment variable"),
        ({"deviceListVariable": "A\n"}, r"deviceListVariable must be the name of an environment variable"),
        ({"deviceListVariable": "A" * 129}, r"at most 128"),
        (
            {"deviceListVariable": "FI_PROVIDER"},
            r"must be none of FI_PROVIDER, .*, which other fields set.*, not 'FI_PROVIDER'",
        ),
        ({"deviceListVariable": "RDMAV_FORK_SAFE"}, r"must be none of .*, not 'RDMAV_FORK_SAFE'"),
        ({"deviceListVariable": 5}, r"deviceListVariable: must be a string"),
        ({"deviceList": "X"}, r"unknown key 'deviceList'; known keys are additionalGids, deviceListVariable"),
        ({"apiVersion": "efa.drakit/v2"}, r"this driver takes EfaConfig of efa.drakit/v1 or NetworkConfig without"),
        ({"kind": "NetworkConfig"}, r"kind 'NetworkConfig'; this driver takes"),
    ],
)
def test_a_bad_configuration_is_refused_in_the_words_of_the_claim(claim_of, efa_config, fields, message):
    with pytest.raises(InvalidDeviceConfig, match=message):
        claim_of(FIRST, configs=[efa_config(**fields)])


def test_who_forgets_the_header_of_an_efa_config_is_told_so(claim_of):
    with pytest.raises(InvalidDeviceConfig, match=r"unknown key 'provider'.*if they are meant to be EfaConfig of efa"):
        claim_of(FIRST, configs=[{"provider": True}])


@given(name=st.text(max_size=12), gids=st.lists(st.integers(-5, 2**32 + 5), max_size=4))
def test_whatever_is_taken_can_stand_in_a_container(name, gids):
    try:
        config = EfaConfig(device_list_variable=name, additional_gids=tuple(gids))
    except ValueError:
        return
    (entry,) = [f"{key}={value}" for key, value in config.environment(["rdmap16s27"]).items()]
    assert entry.split("=") == [name, "rdmap16s27"]
    assert entry.isascii()
    assert entry.isprintable()
    assert all(0 <= gid < 2**32 - 1 for gid in gids)
