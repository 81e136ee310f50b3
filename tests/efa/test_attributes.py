"""What is published of an adapter beyond what DRANET does, and what each bad file costs."""

from __future__ import annotations

import pytest
from drakit import PciFunction, PluginContext, Quantity
from drakit_efa.ports import read_link_gbps, read_mac, read_state
from drakit_efa.sysfs import Unreadable
from hypothesis import given
from hypothesis import strategies as st

ADDRESS, NAME, VERBS = "0000:10:1b.0", "pci-0000-10-1b-0", "rdmap16s27"
OWN = "efa.drakit/"


def own(device):
    return {name.removeprefix(OWN): value for name, value in device.attributes.items() if name.startswith(OWN)}


def verbs_file(node, name):
    return node.root / "sys/class/infiniband" / VERBS / name


def change(path, content):
    """Give a file other content, or take it away."""
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(
    ("node_type", "name", "expected", "bandwidth"),
    [
        (
            "p4d.24xlarge",
            NAME,
            {"generation": 0, "mac": "02:00:00:10:1b:00", "linkGbps": 100, "peerProvider": "NVIDIA"},
            "100G",
        ),
        (
            "p6-b200.48xlarge",
            "pci-0000-4f-00-0",
            {
                "generation": 3,
                "mac": "02:00:00:4f:00:00",
                "linkGbps": 400,
                "peerProvider": "NVIDIA",
                "cardId": "0000:4f",
            },
            "400G",
        ),
        (
            "trn2.48xlarge",
            "pci-0000-56-00-0",
            {"generation": 2, "mac": "02:00:00:56:00:00", "linkGbps": 200, "peerProvider": "NEURON"},
            "200G",
        ),
        ("hpc7g.16xlarge", "pci-0000-00-06-0", {"generation": 1, "mac": "02:00:00:00:06:00", "linkGbps": 100}, "100G"),
    ],
)
def test_an_adapter_says_what_it_is_and_what_it_can_do(node, devices, node_type, name, expected, bandwidth):
    device = devices(node.lay_out(node_type).plugin())[name]
    assert own(device) == {**expected, "interfaceType": "efa", "health": "Healthy"}
    assert dict(device.capacity) == {"efa.drakit/bandwidth": Quantity(bandwidth)}
    assert node.warnings() == []


@pytest.mark.reliability(
    fault="A file of an adapter is missing, or holds nonsense",
    injected="Each file that is read of an adapter is taken away, or holds something else",
    promise="The adapter is published without that attribute; one line in the log names file and attribute",
)
@pytest.mark.parametrize(
    ("file", "content", "attribute", "also"),
    [
        *(("ports/1/gids/0", content, "mac", {"interfaceType"}) for content in (None, "fe80::1\n", "\n", b"\xff\xfe")),
        ("ports/1/gids/0", "2001:0000:0000:0000:0000:00ff:fe10:1b00\n", "mac", {"interfaceType"}),
        *(
            ("ports/1/rate", content, "linkGbps", set())
            for content in (None, "fast\n", "0 Gb/sec\n", "2.5 Gb/sec (1X)\n")
        ),
        ("ports/1/rate", "1" * 500, "linkGbps", set()),
        *(("ports/1/state", content, "health", set()) for content in (None, "ACTIVE\n", "\n")),
        *(("../../p2p", content, "peerProvider", set()) for content in ("N" * 65, b"\xff\n")),
    ],
)
def test_a_bad_file_costs_its_attribute_and_what_is_told_by_it(node, devices, file, content, attribute, also):
    whole = devices(node.lay_out("p4d.24xlarge").plugin())
    change(verbs_file(node, file) if ".." not in file else node.function(ADDRESS) / "p2p", content)
    plugin = node.plugin()
    found = devices(plugin)
    assert devices(plugin) == found
    lost = set(own(whole[NAME])) - set(own(found[NAME]))
    assert lost == (also | {attribute} if attribute != "health" else set())
    assert own(found[NAME])["health"] == ("Unknown" if attribute == "health" else "Healthy")
    assert bool(found[NAME].capacity) == (attribute != "linkGbps")
    assert {name: device for name, device in found.items() if name != NAME} == {
        name: device for name, device in whole.items() if name != NAME
    }
    (warning,) = node.warnings()
    assert warning.startswith(f"{ADDRESS}: {attribute} is ")
    assert "Error" not in warning


def test_a_port_that_is_not_active_makes_its_adapter_unhealthy(node, devices):
    node.lay_out("p4d.24xlarge")
    verbs_file(node, "ports/1/state").write_text("1: DOWN\n")
    assert own(devices(node.plugin())[NAME])["health"] == "Unhealthy"
    assert node.warnings() == []


@pytest.mark.parametrize("content", [None, "\n"])
def test_a_peer_provider_that_nobody_names_is_absent_without_a_warning(node, devices, content):
    node.lay_out("p4d.24xlarge")
    change(node.function(ADDRESS) / "p2p", content)
    assert "peerProvider" not in own(devices(node.plugin())[NAME])
    assert node.warnings() == []


@pytest.mark.parametrize(
    ("device", "subsystem", "generation"),
    [("0xefa9", "0xefa9", 9), ("0xefa9", "0x0000", 9), ("0x1234", "0xefa4", 4), ("0x1234", "0x0000", None)],
)
def test_the_generation_comes_from_the_pci_id_or_the_subsystem(node, devices, device, subsystem, generation):
    node.lay_out("p4d.24xlarge")
    (node.function(ADDRESS) / "device").write_text(f"{device}\n")
    (node.function(ADDRESS) / "subsystem_device").write_text(f"{subsystem}\n")
    assert own(devices(node.plugin())[NAME]).get("generation") == generation


def test_adapters_of_one_card_have_one_card_id_and_those_of_others_have_others(node, devices):
    cards = [own(device)["cardId"] for device in devices(node.lay_out("p6-b300.48xlarge").plugin()).values()]
    assert cards[::2] == cards[1::2]
    assert len(set(cards)) == 8


def test_a_card_is_not_named_where_ids_tell_no_cards_apart(node, devices):
    """Before efa3 the node GUIDs of different cards may name one card."""
    assert not any("cardId" in own(device) for device in devices(node.lay_out("p5en.48xlarge").plugin()).values())


def test_a_bad_guid_costs_the_card(node, devices):
    node.lay_out("p6-b200.48xlarge")
    change(node.root / "sys/class/infiniband/rdmap79s0/node_guid", "0000:00\n")
    assert "cardId" not in own(devices(node.plugin())["pci-0000-4f-00-0"])
    (warning,) = node.warnings()
    assert warning.startswith("0000:4f:00.0: cardId is not published: node_guid holds '0000:00'")


def types(devices, plugin):
    return [own(device).get("interfaceType") for device in devices(plugin).values()]


def test_an_adapter_whose_mac_an_interface_has_is_efa_and_others_are_efa_only(node, devices):
    assert types(devices, node.lay_out("p5.48xlarge").plugin()) == ["efa"] + ["efa-only"] * 31


def test_on_a_type_whose_first_card_has_no_adapter_all_are_efa_only(node, devices):
    assert types(devices, node.lay_out("p6-b300.48xlarge").plugin()) == ["efa-only"] * 16


def test_how_an_adapter_was_attached_is_not_told_where_an_interface_has_gone_into_a_pod(node, devices):
    node.lay_out("p4d.24xlarge")
    change(node.function("0000:20:1a.0") / "net/enp32s26/address", None)
    (node.function("0000:20:1a.0") / "net/enp32s26").rmdir()
    assert types(devices, node.plugin()) == ["efa", None, "efa", "efa"]
    assert node.warnings() == []


def test_how_an_adapter_was_attached_is_not_told_where_a_function_has_a_driver_without_interfaces(node, devices):
    other = PciFunction(address="0000:01:00.0", vendor=0x1D0F, device=0xEC20, class_code=0x020000, driver="vfio-pci")
    node.lay_out("p5.48xlarge", other)
    assert types(devices, node.plugin()) == ["efa"] + [None] * 31


def test_how_adapters_were_attached_is_not_told_where_no_interface_is_seen(node, devices):
    node.lay_out("p4d.24xlarge")
    for bus in ("10", "20", "90", "a0"):
        (node.function(f"0000:{bus}:1a.0") / "vendor").write_text("0x0000\n")
    assert types(devices, node.plugin()) == [None] * 4


def test_where_attributes_may_be_lists_the_standard_numa_node_is_one_and_dranets_is_not(node, devices):
    found = devices(node.lay_out("p4d.24xlarge").plugin(list_attributes=True))[NAME].attributes
    assert found["resource.kubernetes.io/numaNode"] == (0,)
    assert found["dra.net/numaNode"] == 0


@given(st.binary(min_size=6, max_size=6))
def test_every_mac_is_what_its_link_local_address_was_made_of(tmp_path_factory, mac):
    root = tmp_path_factory.mktemp("node")
    gid = bytes((0xFE, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2)) + mac[1:3] + b"\xff\xfe" + mac[3:]
    assert read_mac(context_of(root, "gids/0", gid.hex(":", 2)), "v") == mac.hex(":")


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_whatever_files_hold_is_read_or_refused_in_words(tmp_path_factory, text):
    root = tmp_path_factory.mktemp("node")
    for reader, file in ((read_mac, "gids/0"), (read_link_gbps, "rate"), (read_state, "state")):
        context = context_of(root, file, text)
        try:
            found = reader(context, "v")
        except Unreadable as error:
            found = str(error) if file.rpartition("/")[2] in str(error) else ""
        assert found


def context_of(root, file, text):
    """The context of a node where a file of the port of the verbs device v holds a text."""
    path = root / "sys/class/infiniband/v/ports/1" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n", encoding="utf-8")
    return PluginContext(driver="dra.net", node="n", pool="n", root=root)
