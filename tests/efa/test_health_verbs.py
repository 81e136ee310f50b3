"""Health where little is left to look at: a verbs node that another adapter has, files that cannot be read."""

from __future__ import annotations

import shutil

import pytest

ADDRESS, NAME, NODE, LAST = "0000:20:1b.0", "pci-0000-20-1b-0", "uverbs1", "uverbs3"


@pytest.fixture
def plugin(node):
    plugin = node.lay_out("p4d.24xlarge").plugin()
    plugin.discover()
    return plugin


def faults_of(plugin):
    """By device, what is wrong with it at this moment."""
    return {
        report.device.name: [fault.name for fault in report.faults if fault.count is None] for report in plugin.health()
    }


@pytest.mark.reliability(
    fault="An EFA adapter has no verbs node any more, and another one has its number",
    injected="the number changes hands in a faked sysfs",
    promise="The adapter that lost it has a fault; the one that has the number now has none",
)
def test_a_verbs_node_that_is_another_adapters_by_now_is_lost(node, plugin):
    classes = node.root / "sys/class/infiniband_verbs"
    shutil.rmtree(node.function(ADDRESS) / "infiniband_verbs")
    (classes / NODE).unlink()
    (classes / LAST).rename(classes / NODE)
    found = faults_of(plugin)
    assert found.pop(NAME) == ["verbs_lost"]
    assert set(map(tuple, found.values())) == {()}
    assert NAME not in [device.name for device in plugin.discover()[0].devices]


def test_a_verbs_node_with_another_number_is_none_that_was_lost(node, plugin):
    classes = node.root / "sys/class/infiniband_verbs"
    (classes / NODE).rename(classes / "uverbs40")
    assert faults_of(plugin)[NAME] == []


def test_all_that_cannot_be_told_of_an_adapter_is_one_message(node, plugin):
    verbs = node.function(ADDRESS) / "infiniband/rdmap32s27"
    shutil.rmtree(verbs / "hw_counters")
    shutil.rmtree(verbs / "ports")
    (message,) = [report.message for report in plugin.health() if report.device.name == NAME]
    assert message.startswith(f"the health of EFA adapter {ADDRESS} (rdmap32s27) is not known: ")
    assert message.count("is not known") == 1
    assert "ports/1/state cannot be read" in message
    assert "no counter below" in message
