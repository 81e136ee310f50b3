"""DRANET's own configuration: taken where it worked, refused in one message where an EFA cannot do what it says."""

from __future__ import annotations

import pytest
from drakit import InvalidDeviceConfig

DEVICE = "pci-0000-10-1b-0"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"interface": {}},
        {"profile": "gke-rdma"},
        {"interface": {"forwarding": True}},
        {"interface": {"forwarding": False, "vrf": {"name": "vrf0", "table": 1001}}},
        {"interface": {"name": "", "addresses": [], "mtu": None}},
        {"interface": None, "routes": [], "rules": [], "neighbors": [], "ethtool": None},
    ],
)
def test_what_has_no_effect_on_an_efa_in_dranet_either_is_accepted(node, record, claim_of, document):
    plugin = node.lay_out("p4d.24xlarge").plugin()
    plain = record.prepare(plugin, claim_of(DEVICE))
    assert record.prepare(plugin, claim_of(DEVICE, configs=[document])) == plain


def refusal(claim_of, document):
    with pytest.raises(InvalidDeviceConfig) as caught:
        claim_of(DEVICE, configs=[document])
    return str(caught.value)


def test_everything_that_cannot_apply_is_named_at_once_with_what_to_use_instead(claim_of):
    document = {
        "interface": {"name": "efa0", "mtu": 9001, "forwarding": True},
        "routes": [{"destination": "10.0.0.0/8", "gateway": "10.0.0.1", "scope": 0}],
    }
    assert refusal(claim_of, document) == (
        "opaque parameters (NetworkConfig without apiVersion and kind): interface.name, interface.mtu, routes cannot "
        "be applied: an EFA adapter has no network interface, and nothing is moved into the pod, which keeps its own "
        "network; leave out what is named, and set what containers are to know of their adapters by "
        "EfaConfig of efa.drakit/v1"
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "efa0"),
        ("addresses", ["192.0.2.5/24"]),
        ("dhcp", False),
        ("mtu", 1500),
        ("hardwareAddr", "02:00:00:00:00:01"),
        ("gsoMaxSize", 65536),
        ("groMaxSize", 65536),
        ("gsoIPv4MaxSize", 65536),
        ("groIPv4MaxSize", 65536),
        ("disableEbpfPrograms", False),
        ("arpIgnore", 0),
        ("arpAnnounce", 2),
    ],
)
def test_each_setting_of_an_interface_is_refused_by_name(claim_of, field, value):
    message = refusal(claim_of, {"interface": {field: value}})
    assert f"interface.{field} cannot be applied" in message
    assert "leave out what is named," in message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("routes", [{"destination": "10.0.0.0/8", "source": "10.0.0.2", "table": 7}]),
        ("rules", [{"priority": 100, "source": "10.0.0.0/8", "destination": "10.1.0.0/16", "table": 7}]),
        ("neighbors", [{"destination": "10.0.0.1", "hardwareAddr": "02:00:00:00:00:01"}]),
        ("ethtool", {"features": {"tcp-segmentation-offload": False}, "privateFlags": {"flag": True}}),
        ("ethtool", {}),
    ],
)
def test_what_else_needs_an_interface_is_refused_by_name(claim_of, field, value):
    assert f"{field} cannot be applied" in refusal(claim_of, {field: value})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"interfaces": {}}, "unknown key 'interfaces'"),
        ({"interface": {"speed": 100}}, ": interface: unknown key 'speed'"),
        ({"interface": {"vrf": {"id": 1}}}, ": interface.vrf: unknown key 'id'"),
        ({"routes": [{"destination": "10.0.0.0/8"}, {"via": "10.0.0.1"}]}, ": routes[1]: unknown key 'via'"),
        ({"ethtool": {"rings": {}}}, ": ethtool: unknown key 'rings'"),
        ({"interface": {"mtu": "9001"}}, ": interface.mtu: must be an integer, not '9001'"),
        ({"ethtool": {"features": {"tso": "off"}}}, ": ethtool.features.tso: must be true or false"),
        ({"routes": {}}, ": routes: must be a list"),
        ({"interface": [1]}, ": interface: must be a mapping"),
    ],
)
def test_what_dranet_does_not_know_or_take_is_refused_with_its_place(claim_of, document, said):
    assert said in refusal(claim_of, document)
