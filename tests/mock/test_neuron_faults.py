"""The words that the Neuron plugin has for faults of its hardware: each is seen by its health, or at Prepare."""

from __future__ import annotations

import pytest
from drakit import AllocatedDevice, ClaimAllocation, ClaimRef, DeviceRef, PluginContext
from drakit.errors import DeviceUnfit
from drakit.host import PluginHost
from drakit.loading import inspect
from drakit.testing import lay_out
from drakit_mock.rehearsal import Rehearsal
from drakit_neuron.faked import FAKED_NODES, faults
from drakit_neuron.plugin import NeuronPlugin

DRIVER = "neuron.aws.com"
SEEN = {
    "unhealthy": {"mem_ecc_uncorrected"},
    "ecc": {"mem_ecc_uncorrected"},
    "sram-ecc": {"sram_ecc_uncorrected"},
    "repairable-ecc": {"mem_ecc_repairable_uncorrected"},
    "corrected-ecc": {"mem_ecc_corrected"},
    "core-error": {"hw_error", "health_hw_error_event"},
    "link-down": {"unhealthy_link_intraserver"},
    "hbm-down": {"unhealthy_hbm"},
    "unlinked": set(),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return lay_out("trn2.48xlarge", tmp_path_factory.mktemp("trn2") / "node").root


@pytest.fixture
def host(root, monkeypatch):
    monkeypatch.delenv("DRAKIT_CONFIG", raising=False)
    host = PluginHost()
    context = PluginContext(driver=DRIVER, node="n", pool="n", root=root, options=NeuronPlugin.options())
    host.add(DRIVER, inspect("neuron", NeuronPlugin), context)
    host.discover(DRIVER)
    yield host
    Rehearsal(root=root).clear()
    assert host.close() == []


def seen(host):
    """By device, what it has counted and what its firmware says of it."""
    found = {}
    for report in host.health(DRIVER):
        counted = {name for name, count in report.counters.items() if count and "heartbeat" not in name}
        if told := counted | {fault.name for fault in report.faults if fault.count is None}:
            found[report.device.name] = told
    return found


def test_every_word_there_is_has_its_line_here():
    assert set(faults(FAKED_NODES["trn2.48xlarge"])) == set(SEEN)


@pytest.mark.parametrize("word", SEEN)
def test_each_word_is_seen_of_its_device_alone_until_a_reset(root, host, word):
    Rehearsal(root=root).do("neuron-device-9", word)
    assert seen(host) == ({"neuron-device-9": SEEN[word]} if SEEN[word] else {})
    Rehearsal(root=root).do("neuron-device-9", "reset")
    assert seen(host) == {}


def test_devices_that_are_not_linked_are_refused_to_a_claim_of_both(root, host):
    Rehearsal(root=root).do("neuron-device-0", "unlinked")
    pair = [AllocatedDevice("r", DeviceRef(DRIVER, "n", f"neuron-device-{number}")) for number in (0, 1)]
    claim = ClaimAllocation(ClaimRef("uid-1", "default", "claim"), pair)
    with pytest.raises(DeviceUnfit, match="neuron-device-0"):
        host.prepare(DRIVER, claim)
    Rehearsal(root=root).do("neuron-device-0", "heal")
    assert len(host.prepare(DRIVER, claim)) == 2
