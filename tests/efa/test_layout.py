"""Faked nodes: every type there is, with the adapters it can have at most, and some in variants."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from drakit.testing import lay_out, read_layout
from drakit_efa.faked import NODE_TYPES, VARIANTS, faked_node
from drakit_efa.instances import MOST_ADAPTERS, most_adapters
from drakit_efa.plugin import EfaPlugin

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())
REFERENCE = Path(__file__).parents[2].parent / "shared/reference/efa-instances.json"
INFERRED = {
    "trn2.3xlarge": 1,
    **{
        f"{family}.48xlarge": 16
        for family in ("trn2e", "trn2u", "trn3", "trn3p", "trn3pd98", "trn3s", "trn3-dev0", "trn3-dev1")
    },
}
"""What AWS's map of Neuron devices to adapters tells of types that are in no list."""
FAKED_NODES = {name: faked_node(name) for name in NODE_TYPES}
SHAPES = {
    (
        tuple((adapter.place.root, adapter.place.numa_node) for adapter in node.adapters),
        node.generation,
        node.provider,
    ): name
    for name, node in reversed(FAKED_NODES.items())
    if "@" not in name
}
"""One type for each number, places, generation and peers of adapters."""
VARIED = [name for name in NODE_TYPES if "@" in name]


def test_every_recorded_type_can_be_faked_with_the_recorded_number_of_adapters():
    counts = {name: int(most) for most, names in RECORDED["most"].items() for name in " ".join(names).split()}
    assert dict(MOST_ADAPTERS) == counts | INFERRED
    assert {name: len(FAKED_NODES[name].adapters) for name in MOST_ADAPTERS} == dict(MOST_ADAPTERS)


@pytest.mark.parametrize("facts", RECORDED["topology"], ids=lambda facts: facts["types"].split()[0])
def test_every_recorded_topology_is_faked_with_its_roots_numa_nodes_and_generation(facts):
    roots = {(root, -1 if numa is None else numa): count for root, (count, numa) in facts["roots"].items()}
    for name in facts["types"].split():
        node = FAKED_NODES[name]
        places = Counter((adapter.place.root, adapter.place.numa_node) for adapter in node.adapters)
        assert (name, places, node.generation) == (name, roots, facts["generation"])
        assert facts.get("gbps", node.gbps) == node.gbps


@pytest.mark.parametrize("names", RECORDED["addresses"])
def test_recorded_addresses_are_the_faked_ones(names):
    recorded = [f"0000:{address}" for address in " ".join(RECORDED["addresses"][names]).split()]
    for name in names.split():
        assert [adapter.place.address for adapter in FAKED_NODES[name].adapters] == recorded


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference they were taken from is not beside this checkout")
def test_what_is_recorded_here_is_what_the_reference_has():
    reference = json.loads(REFERENCE.read_text())
    assert {int(most): set(" ".join(names).split()) for most, names in RECORDED["most"].items()} == {
        most: {name for name, facts in reference["types"].items() if facts[0] == most}
        for most in {facts[0] for facts in reference["types"].values()}
    }
    assert [(facts["generation"], facts.get("gbps"), facts["roots"]) for facts in RECORDED["topology"]] == [
        (int(facts["gen"].removeprefix("efa")), facts.get("gbpsPerEfa"), facts["roots"])
        for facts in reference["topology"].values()
    ]


def test_a_type_of_sagemaker_has_as_many_adapters_as_that_of_ec2():
    assert most_adapters("ml.p5.48xlarge") == most_adapters("p5.48xlarge") == 32
    assert most_adapters("p9z.96xlarge") is None


@pytest.mark.parametrize("node_type", SHAPES.values())
def test_what_is_laid_out_is_found_as_it_was_meant_and_nothing_is_wrong_with_it(node, devices, node_type):
    plugin = node.lay_out(node_type).plugin()
    faked = FAKED_NODES[node_type]
    found = devices(plugin).values()
    assert [
        (
            one.attributes["dra.net/pciAddress"],
            one.attributes["resource.kubernetes.io/pcieRoot"],
            one.attributes.get("dra.net/numaNode", -1),
            one.attributes["dra.net/pciSubsystem"],
            one.attributes.get("efa.drakit/peerProvider", ""),
        )
        for one in found
    ] == [
        (
            adapter.place.address,
            adapter.place.root,
            adapter.place.numa_node,
            f"efa{faked.generation}",
            faked.provider,
        )
        for adapter in faked.adapters
    ]
    assert all("efa.drakit/interfaceType" in one.attributes for one in found)
    assert len({one.attributes["efa.drakit/mac"] for one in found}) == len(found)
    assert node.warnings() == []
    assert plugin.check() == []


def test_every_node_that_can_be_faked_has_functions_of_its_own_places():
    for name, node in FAKED_NODES.items():
        places = [
            *(adapter.place for adapter in node.adapters),
            *(interface.place for interface in node.interfaces),
            *(place for _, place in node.controllers),
        ]
        assert len({place.address for place in places}) == len(places), name
        assert [adapter.place.address for adapter in node.adapters] == sorted(
            adapter.place.address for adapter in node.adapters
        )


@pytest.mark.parametrize("node_type", ["p4d.24xlarge", "p5.48xlarge", "p6-b200.48xlarge", "trn2.48xlarge"])
def test_the_adapters_of_a_type_fit_beside_what_other_plugins_fake_of_it(tmp_path, node_type):
    laid = lay_out(node_type, tmp_path / "node")
    assert laid.problems == ()
    assert len([one for one in laid.functions["efa"] if one.published_as]) == most_adapters(node_type)


def tree(root):
    """Everything below a directory: files with what they hold, links with where they lead, devices with numbers."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            found[path] = os.readlink(path)
        elif path.is_file():
            found[path] = path.read_bytes()
        elif not path.is_dir():
            found[path] = path.lstat().st_rdev
    return found


@pytest.mark.parametrize("node_type", ["p4d.24xlarge", "p6-b200.48xlarge", "p4d.24xlarge@uverbs-permuted"])
def test_a_layout_written_twice_is_the_same_tree(node, node_type):
    first = tree(node.lay_out(node_type).root)
    assert tree(node.lay_out(node_type).root) == first


def test_a_type_without_adapters_lays_out_nothing(node):
    assert node.plugin().layout("trn1.2xlarge", node.root) == ()
    assert list(node.root.iterdir()) == []


@pytest.mark.parametrize("node_type", ["p6-b200.48xlarge", "trn1.32xlarge"])
def test_permuted_numbers_go_the_other_way_round_over_all_verbs_devices_of_a_node(tmp_path, node_type):
    def numbered(laid):
        classes = laid.root / "sys/class/infiniband_verbs"
        names = sorted(classes.glob("uverbs*"), key=lambda path: int(path.name.removeprefix("uverbs")))
        return [(name / "ibdev").read_text() for name in names]

    plain = numbered(lay_out(node_type, tmp_path / "plain"))
    permuted = numbered(lay_out(f"{node_type}@uverbs-permuted", tmp_path / "permuted"))
    assert len(set(plain)) > 1
    assert permuted == plain[::-1]


def test_variants_are_few_and_of_types_that_are_faked():
    assert {name.partition("@")[2] for name in VARIED} == set(VARIANTS)
    assert len(VARIED) <= 20
    assert EfaPlugin.node_types == NODE_TYPES
    assert faked_node("c5n.18xlarge@fewer") is None


@pytest.mark.parametrize("node_type", VARIED)
def test_a_variant_can_be_laid_out_and_keeps_the_type_of_the_machine(node, devices, node_type):
    machine, _, variant = node_type.partition("@")
    found = devices(node.lay_out(node_type).plugin())
    most = MOST_ADAPTERS[machine]
    expected = {"unloaded": 0, "fewer": most // 2}
    assert len(found) == expected.get(variant, most)
    assert (node.root / "sys/class/dmi/id/product_name").read_text() == f"{machine}\n"
    assert [one.published_as for one in read_layout(node.root).functions["efa"] if one.published_as] == list(found)
