"""A reload of the kernel's modules is noticed by the verbs nodes that adapters have."""

from __future__ import annotations

import pytest
from drakit_mock.rehearsal import Rehearsal


@pytest.fixture
def said() -> list[None]:
    return []


@pytest.fixture
def plugin(node, said):
    return node.lay_out("trn2.48xlarge").plugin(renumbered=lambda: said.append(None))


@pytest.fixture
def adapters(plugin) -> list[str]:
    return [device.name for device in plugin.discover()[0].devices]


def test_nothing_is_said_while_numbers_stay(plugin, record, claim_of, adapters, said):
    plugin.discover()
    record.prepare(plugin, claim_of(adapters[0]))
    assert said == []


def test_discovery_says_that_adapters_have_other_nodes(node, plugin, adapters, said):
    Rehearsal(root=node.root).renumber()
    plugin.discover()
    plugin.discover()
    assert said == [None]


def test_prepare_says_so_where_it_is_the_first_to_see_it(node, plugin, record, claim_of, adapters, said):
    Rehearsal(root=node.root).renumber()
    record.prepare(plugin, claim_of(adapters[0]))
    assert said == [None]
    plugin.discover()
    assert said == [None]


def test_an_adapter_that_comes_back_with_another_node_is_noticed(node, plugin, adapters, said):
    nodes = node.root / "sys/class/infiniband_verbs"
    links = {link.name: link.readlink() for link in nodes.iterdir()}
    (nodes / "uverbs0").unlink()
    plugin.discover()
    assert said == []
    (nodes / "uverbs99").symlink_to(links["uverbs0"])
    plugin.discover()
    assert said == [None]


def test_a_module_that_is_not_there_is_no_news(node, plugin, adapters, said):
    nodes = node.root / "sys/class/infiniband_verbs"
    nodes.rename(nodes.with_name("away"))
    plugin.discover()
    nodes.with_name("away").rename(nodes)
    plugin.discover()
    assert said == []
