"""A reload of the kernel module is noticed by what the kernel deals out for it: an inode, and a major."""

from __future__ import annotations

import pytest
from drakit_mock.rehearsal import Rehearsal


@pytest.fixture
def said() -> list[None]:
    return []


@pytest.fixture
def plugin(node, said):
    plugin = node.lay_out("trn2.48xlarge").plugin(renumbered=lambda: said.append(None))
    plugin.discover()
    return plugin


def test_nothing_is_said_while_the_module_stays(plugin, claim_of, record, said):
    plugin.discover()
    record.prepare(plugin, claim_of(0))
    assert said == []


@pytest.mark.parametrize("what", ["renumber", "reload"])
def test_discovery_says_so_once(node, plugin, said, what):
    getattr(Rehearsal(root=node.root), what)()
    plugin.discover()
    plugin.discover()
    assert said == [None]


def test_prepare_says_so_where_it_is_the_first_to_see_it(node, plugin, claim_of, record, said):
    Rehearsal(root=node.root).reload()
    record.prepare(plugin, claim_of(0))
    assert said == [None]
    plugin.discover()
    assert said == [None]


def test_a_module_that_is_away_for_a_while_is_noticed_when_it_is_back(node, plugin, said):
    devices = node.root / "sys/class/neuron_device"
    devices.rename(devices.with_name("away"))
    plugin.discover()
    assert said == []
    devices.with_name("away").rename(devices)
    for path in devices.iterdir():
        if (path / "dev").is_file():
            (path / "dev").write_text("500:0\n")
    plugin.discover()
    assert said == [None]


def test_what_cannot_be_read_is_no_news(node, plugin, said):
    for path in (node.root / "sys/class/neuron_device").iterdir():
        (path / "dev").unlink(missing_ok=True)
    plugin.discover()
    assert said == []
