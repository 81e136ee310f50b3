"""The words that the EFA plugin has for faults of its hardware: each is seen by its health."""

from __future__ import annotations

import pytest
from drakit import PluginContext
from drakit.host import PluginHost
from drakit.loading import inspect
from drakit.testing import lay_out, read_layout
from drakit_efa.plugin import EfaPlugin
from drakit_mock.rehearsal import Rehearsal

DRIVER = "dra.net"
ADAPTER = "pci-0000-a0-1b-0"
SEEN = {
    "unhealthy": {"port_down"},
    "port-down": {"port_down"},
    "command-timeout": {"no_completion_cmds", "cmds_err", "submitted_cmds"},
    "rx-drops": {"rx_drops"},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return lay_out("p4d.24xlarge", tmp_path_factory.mktemp("p4d") / "node").root


@pytest.fixture
def host(root, monkeypatch):
    monkeypatch.delenv("DRAKIT_CONFIG", raising=False)
    host = PluginHost()
    context = PluginContext(driver=DRIVER, node="n", pool="n", root=root, options=EfaPlugin.options())
    host.add(DRIVER, inspect("efa", EfaPlugin), context)
    host.discover(DRIVER)
    yield host
    Rehearsal(root=root).clear()
    assert host.close() == []


def seen(host):
    """By device, what it has counted and what else is wrong with it."""
    found = {}
    for report in host.health(DRIVER):
        counted = {name for name, count in report.counters.items() if count}
        if told := counted | {fault.name for fault in report.faults if fault.count is None}:
            found[report.device.name] = told
    return found


def test_every_word_there_is_has_its_line_here(root):
    words = {frozenset(one.faults) for one in read_layout(root).functions["efa"] if one.published_as}
    assert words == {frozenset(SEEN)}


@pytest.mark.parametrize("word", SEEN)
def test_each_word_is_seen_of_its_adapter_alone_until_a_reset(root, host, word):
    Rehearsal(root=root).do(ADAPTER, word)
    assert seen(host) == {ADAPTER: SEEN[word]}
    Rehearsal(root=root).do(ADAPTER, "reset")
    assert seen(host) == {}
